"""Hooks around a step of any training: the progress bar, shared statistics, an early end."""

import torch.distributed as dist
from detectron2.engine import HookBase
from detectron2.utils import comm
from torch import nn

from boxrefine_d2.progress import SECONDS_BETWEEN_LINES, progress_bar


class StopTraining(Exception):
    """Exception of a hook that ends the loop as if it had reached its last iteration.

    The hook sets `trainer.max_iter` before.
    """


class SharedStatistics(HookBase):
    """Hook that copies the main process's batch statistics to all processes before an evaluation.

    The checkpoint holds the same statistics.
    """

    def __init__(self, period: int, model: nn.Module):
        """Store the model. Args: period: iterations between evaluations; 0 is only at the end."""
        self._period, self._model = period, model

    def after_step(self) -> None:
        """Send the statistics if an evaluation follows."""
        done = self.trainer.iter + 1
        if done == self.trainer.max_iter or (self._period > 0 and done % self._period == 0):
            for statistic in self._model.buffers():
                dist.broadcast(statistic, src=0)


class ProgressBar(HookBase):
    """Hook that shows iterations, rate, time left and the job's own values.

    A terminal has one line for them. If stderr is not a terminal, a line is written now and then.
    """

    def __init__(self, seconds: float = SECONDS_BETWEEN_LINES):
        """Store the interval. Args: seconds: time between lines if stderr is not a terminal."""
        self._seconds = seconds

    def before_train(self) -> None:
        """Open the bar at the iteration from which the run starts."""
        self._bar = progress_bar(
            total=self.trainer.max_iter,
            done=self.trainer.start_iter,
            unit="it",
            delay=0,
            shown=comm.is_main_process(),
            seconds=self._seconds,
        )

    def after_step(self) -> None:
        """Move the bar by one iteration."""
        if not self._bar.disable:
            self._bar.set_postfix(**self.trainer.progress(), refresh=False)
        self._bar.update()
        end = self.trainer.max_iter
        if self._bar.n == end > self._bar.last_print_n:  # no bar is shown after this
            self._bar.refresh()

    def after_train(self) -> None:
        """Close the bar; a terminal keeps its last line."""
        self._bar.close()
