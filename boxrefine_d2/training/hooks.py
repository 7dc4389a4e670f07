"""What happens around a step of any training: the progress bar, shared statistics, an early end."""

import sys
from typing import Any, TextIO

import torch.distributed as dist
from detectron2.engine import HookBase
from detectron2.utils import comm
from torch import nn
from tqdm import tqdm


class StopTraining(Exception):
    """Raised by a hook that has set `trainer.max_iter`: ends the loop as if it had reached its last iteration."""


class SharedStatistics(HookBase):
    """Before an evaluation all processes take over the main one's batch statistics, as the checkpoint holds them."""

    def __init__(self, period: int, model: nn.Module):
        """Args: period: of evaluations, iterations; 0: at the end alone."""
        self._period, self._model = period, model

    def after_step(self) -> None:
        """Sends them where an evaluation comes."""
        done = self.trainer.iter + 1
        if done == self.trainer.max_iter or (self._period > 0 and done % self._period == 0):
            for statistic in self._model.buffers():
                dist.broadcast(statistic, src=0)


class ProgressBar(HookBase):
    """Shows iterations, rate, time left, and what the job shows: in one line of a terminal, elsewhere in a line now and then."""

    def __init__(self, seconds: float = 15):
        """Args: seconds: between lines where stderr is no terminal."""
        self._seconds = seconds

    def before_train(self) -> None:
        """Opens the bar at the iteration the run starts from."""
        plain: dict[str, Any] = {
            "file": _Lines(sys.stderr),
            "mininterval": self._seconds,
            "miniters": 1,
            "bar_format": _PLAIN,
            "leave": False,
        }
        self._bar = tqdm(
            total=self.trainer.max_iter,
            initial=self.trainer.start_iter,
            unit="it",
            disable=not comm.is_main_process(),
            **({} if sys.stderr.isatty() else plain),
        )

    def after_step(self) -> None:
        """Moves the bar."""
        if not self._bar.disable:
            self._bar.set_postfix(**self.trainer.progress(), refresh=False)
        self._bar.update()
        end = self.trainer.max_iter
        if self._bar.n == end > self._bar.last_print_n:  # what follows has no bar
            self._bar.refresh()

    def after_train(self) -> None:
        """Leaves the finished line of a terminal."""
        self._bar.close()


_PLAIN = "{percentage:3.0f} %, {n_fmt} of {total_fmt} [{elapsed}<{remaining}, {rate_fmt}{postfix}]"


class _Lines:
    """What a bar writes over its own line becomes lines, for logs."""

    def __init__(self, file: TextIO):
        self._file = file

    def write(self, text: str) -> None:
        line = text.strip()
        if line:
            self._file.write(f"{line}\n")

    def flush(self) -> None:
        self._file.flush()
