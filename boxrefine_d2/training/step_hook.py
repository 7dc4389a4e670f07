"""Hooks around a step: its seed, its time, and a call of the model before the step."""

import time
from typing import Any

from detectron2.engine import HookBase
from detectron2.utils import comm
from detectron2.utils.env import seed_all_rng
from torch import nn

from .product_model import ProductModel


class TimedSteps(HookBase):
    """Hook that measures the time of the steps and can seed the random numbers of a step.

    With the seeds, a resumed run draws the same numbers as an uninterrupted one.

    Attributes: seconds: wall time of the steps, including those before a resume.
    """

    def __init__(self, seed: int):
        self.seconds = 0.0
        self._seed = seed

    def seed_step(self) -> None:
        """Seed the random numbers; each step and rank has its own seed."""
        position = self.trainer.iter * comm.get_world_size() + comm.get_rank()
        seed_all_rng((self._seed * 1_000_003 + position) % 2**31)

    def before_step(self) -> None:
        """Start the clock."""
        self._start = time.perf_counter()

    def after_step(self) -> None:
        """Add the time of the step."""
        self.seconds += time.perf_counter() - self._start

    def state_dict(self) -> dict[str, Any]:
        """Return the seconds so far, for a resumed run."""
        return {"seconds": self.seconds}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Load the seconds of the interrupted run."""
        self.seconds = state["seconds"]


class SeededSteps(TimedSteps):
    """Hook that seeds the random numbers that the model draws in each step."""

    def __init__(self, model: nn.Module, seed: int):
        super().__init__(seed)
        self.model = model

    def before_train(self) -> None:
        """Seed each step after its batch is loaded and before the model runs.

        Loading the first batch of a run draws one more random number.
        """
        self.model.register_forward_pre_hook(lambda *_: self.seed_step())


class StepHook(SeededSteps):
    """Hook that tells the model the iteration before each step."""

    model: ProductModel

    def before_step(self) -> None:
        """Begin the step."""
        super().before_step()
        self.model.begin_step(self.trainer.iter)
