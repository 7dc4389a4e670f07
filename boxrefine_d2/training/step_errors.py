"""User's mistakes that only a training step shows: a learning rate too high, a batch too small."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from boxrefine_d2.errors import UserError, expected_end

from .hooks import StopTraining


def mistake_of_step(error: Exception, position: str, learning_rates: str) -> UserError | None:
    """Return the user's mistake behind an error of a step; None if the error is a bug.

    Args:
        position: the step, such as "iteration 7".
        learning_rates: the keys that set the learning rates of the job.
    """
    if isinstance(error, FloatingPointError):
        return UserError(
            f"training broke down at {position}: {error}; lower {learning_rates}, "
            "or continue from an earlier checkpoint"
        )
    if "more than 1 value per channel" in str(error):  # PyTorch's batch norm
        return UserError(
            f"training cannot start at {position}: a batch norm has one value per channel; raise "
            "SOLVER.IMS_PER_BATCH above one image for each process, or INPUT.SQUARE_SIZE"
        )
    return None


@contextmanager
def without_tracebacks_of_expected_ends() -> Iterator[None]:
    """Keep Detectron2's loop from logging tracebacks of expected ends.

    The command reports a user's mistake, a full disk or a killed worker in one line. A hook that
    ends the training has logged its reason.
    """

    def is_logged(record: logging.LogRecord) -> bool:
        error = record.exc_info and record.exc_info[1]
        return not (error and (isinstance(error, StopTraining) or expected_end(error)))

    loop = logging.getLogger("detectron2.engine.train_loop")
    loop.addFilter(is_logged)
    try:
        yield
    finally:
        loop.removeFilter(is_logged)
