"""What happens around a step of the refiner."""

import sys
import time
from typing import Any, TextIO

import torch
import torch.distributed as dist
from detectron2.engine import HookBase
from detectron2.utils import comm
from torch import nn
from tqdm import tqdm

from boxrefine_d2.modeling.box_refiner import BoxRefiner
from boxrefine_d2.modeling.phased_refiner import REFINE

from .phases import PhaseSchedule


class StopTraining(Exception):
    """Raised by a hook that has set `trainer.max_iter`: ends the loop as if it had reached its last iteration."""


class PhaseHook(HookBase):
    """Sets the phase before each step; records which it was, its wall time, and that f's first block learns.

    Attributes: seconds: wall time per phase, over resumes; first_block_gradient: smallest and largest norm seen, of a
        segmenter its head's.
    """

    def __init__(self, model: BoxRefiner, schedule: PhaseSchedule, *, fresh_head_seed: int | None):
        """Args: fresh_head_seed: with it f's head starts anew, once, when f begins to learn."""
        self.model = model
        self.schedule = schedule
        self.fresh_head_seed = fresh_head_seed
        self.seconds: dict[str, float] = {}
        self.first_block_gradient: list[float] = []

    def before_step(self) -> None:
        """Switches when the phase changes."""
        phase = self.schedule(self.trainer.iter)
        begins = self.trainer.iter == self.schedule.warmup and phase == REFINE
        if begins and self.fresh_head_seed is not None:
            self.model.map_network.restart_head(self.fresh_head_seed)
        if phase != self.model.phase or self.trainer.iter == self.trainer.start_iter:
            self.model.set_phase(phase)
        self._start = time.perf_counter()

    def after_step(self) -> None:
        """Gradients are still there: Detectron2 clears them at the start of the next step."""
        phase, storage = self.model.phase, self.trainer.storage
        elapsed = time.perf_counter() - self._start
        self.seconds[phase] = self.seconds.get(phase, 0.0) + elapsed
        storage.put_scalar("phase_refine", float(phase == REFINE), smoothing_hint=False)
        if phase == REFINE:
            gradients = [p.grad.norm() for p in self.model.map_network.first_learner.parameters()]
            norm = torch.stack(gradients).norm().item()
            storage.put_scalar("gradient_norm_first_block", norm)
            seen = self.first_block_gradient or [norm]
            self.first_block_gradient = [min(*seen, norm), max(*seen, norm)]

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run continues to count."""
        return {"seconds": self.seconds, "first_block_gradient": self.first_block_gradient}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues the counts of the run that was interrupted."""
        self.seconds = dict(state["seconds"])
        self.first_block_gradient = list(state["first_block_gradient"])


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
        plain = {
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
        if self._bar.n == self._bar.total > self._bar.last_print_n:  # what follows has no bar
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
