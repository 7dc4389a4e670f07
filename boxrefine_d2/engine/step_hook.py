"""What happens around a step of a job whose model knows by itself what each iteration is for."""

import time
from collections.abc import Callable
from typing import Any, Protocol

from detectron2.engine import HookBase
from detectron2.utils import comm
from detectron2.utils.env import seed_all_rng


class StepModel(Protocol):
    """A model that is told which iteration comes."""

    def begin_step(self, iteration: int) -> None:
        """Sets which part learns, and what the schedules say."""
        ...

    def register_forward_pre_hook(self, hook: Callable[..., None]) -> Any:
        """Of every module."""
        ...


class StepHook(HookBase):
    """Tells the model the iteration; seeds random numbers for it, so that a resumed run draws what the whole one would.

    Attributes: seconds: wall time of the steps, over resumes.
    """

    def __init__(self, model: StepModel, seed: int):
        self.model = model
        self.seconds = 0.0
        self._seed = seed

    def before_train(self) -> None:
        """Puts the seed between the batch and the model: the first batch of a run draws a number of its own."""
        self.model.register_forward_pre_hook(lambda *_: self._seed_step())

    def _seed_step(self) -> None:
        """Each step and rank has random numbers of its own."""
        position = self.trainer.iter * comm.get_world_size() + comm.get_rank()
        seed_all_rng((self._seed * 1_000_003 + position) % 2**31)

    def before_step(self) -> None:
        """Begins the step."""
        self._start = time.perf_counter()
        self.model.begin_step(self.trainer.iter)

    def after_step(self) -> None:
        """Counts the time."""
        self.seconds += time.perf_counter() - self._start

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run continues to count."""
        return {"seconds": self.seconds}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues the count of the run that was interrupted."""
        self.seconds = state["seconds"]
