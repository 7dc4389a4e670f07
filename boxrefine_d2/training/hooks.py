"""What happens around a step of any training: the progress bar, shared statistics, an early end."""

import torch.distributed as dist
from detectron2.engine import HookBase
from detectron2.utils import comm
from torch import nn

from boxrefine_d2.progress import SECONDS_BETWEEN_LINES, progress_bar


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

    def __init__(self, seconds: float = SECONDS_BETWEEN_LINES):
        """Args: seconds: between lines where stderr is no terminal."""
        self._seconds = seconds

    def before_train(self) -> None:
        """Opens the bar at the iteration the run starts from."""
        self._bar = progress_bar(
            total=self.trainer.max_iter,
            done=self.trainer.start_iter,
            unit="it",
            delay=0,
            shown=comm.is_main_process(),
            seconds=self._seconds,
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
