"""What happens around a step: its seed, its time, and, of a model that knows what each iteration is for, its begin."""

import time
from typing import Any

from detectron2.engine import HookBase
from detectron2.utils import comm
from detectron2.utils.env import seed_all_rng
from torch import nn

from .product_model import ProductModel


class TimedSteps(HookBase):
    """Counts the time of the steps, and seeds random numbers, so that a resumed run draws what the whole one would.

    Attributes: seconds: wall time of the steps, over resumes.
    """

    def __init__(self, seed: int):
        self.seconds = 0.0
        self._seed = seed

    def seed_step(self) -> None:
        """Each step and rank has random numbers of its own."""
        position = self.trainer.iter * comm.get_world_size() + comm.get_rank()
        seed_all_rng((self._seed * 1_000_003 + position) % 2**31)

    def before_step(self) -> None:
        """Starts the clock."""
        self._start = time.perf_counter()

    def after_step(self) -> None:
        """Counts the time."""
        self.seconds += time.perf_counter() - self._start

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run continues to count."""
        return {"seconds": self.seconds}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues the count of the run that was interrupted."""
        self.seconds = state["seconds"]


class SeededSteps(TimedSteps):
    """Seeds the model's own draws in each step."""

    def __init__(self, model: nn.Module, seed: int):
        super().__init__(seed)
        self.model = model

    def before_train(self) -> None:
        """Puts the seed between the batch and the model: the first batch of a run draws a number of its own."""
        self.model.register_forward_pre_hook(lambda *_: self.seed_step())


class StepHook(SeededSteps):
    """Tells the model the iteration."""

    model: ProductModel

    def before_step(self) -> None:
        """Begins the step."""
        super().before_step()
        self.model.begin_step(self.trainer.iter)
