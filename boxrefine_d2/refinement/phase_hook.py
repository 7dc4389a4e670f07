"""Hook that sets and records the phases of a refiner."""

import time
from typing import Any

import torch
from detectron2.engine import HookBase

from .phased_refiner import REFINE, PhasedRefiner
from .phases import PhaseSchedule


class PhaseHook(HookBase):
    """Hook that sets the phase before each step.

    It records the phase, its wall time, and the gradient norm of f's first block.

    Attributes:
        seconds: wall time per phase in seconds, summed over resumed runs.
        first_block_gradient: smallest and largest norm of the gradient of f's first block; for a
            segmenter, of its head.
    """

    def __init__(
        self, model: PhasedRefiner, schedule: PhaseSchedule, *, fresh_head_seed: int | None
    ):
        """Take the model and its schedule.

        Args: fresh_head_seed: if given, f's head is initialised with it, once, when f begins to
            learn.
        """
        self.model = model
        self.schedule = schedule
        self.fresh_head_seed = fresh_head_seed
        self.seconds: dict[str, float] = {}
        self.first_block_gradient: list[float] = []

    def before_step(self) -> None:
        """Set the phase if it changes at this iteration."""
        phase = self.schedule(self.trainer.iter)
        begins = self.trainer.iter == self.schedule.warmup and phase == REFINE
        if begins and self.fresh_head_seed is not None:
            self.model.map_network.restart_head(self.fresh_head_seed)
        if phase != self.model.phase or self.trainer.iter == self.trainer.start_iter:
            self.model.set_phase(phase)
        self._start = time.perf_counter()

    def after_step(self) -> None:
        """Record wall time and gradients; Detectron2 clears the gradients only in the next step."""
        phase, storage = self.model.phase, self.trainer.storage
        elapsed = time.perf_counter() - self._start
        self.seconds[phase] = self.seconds.get(phase, 0.0) + elapsed
        storage.put_scalar("phase_refine", float(phase == REFINE), smoothing_hint=False)
        if phase == REFINE:
            learners = self.model.map_network.first_learner.parameters()
            gradients = [p.grad.norm() for p in learners if p.grad is not None]
            norm = torch.stack(gradients).norm().item()
            storage.put_scalar("gradient_norm_first_block", norm)
            norms = self.first_block_gradient or [norm]
            self.first_block_gradient = [min(*norms, norm), max(*norms, norm)]

    def state_dict(self) -> dict[str, Any]:
        """Return the counts that a resumed run continues."""
        return {"seconds": self.seconds, "first_block_gradient": self.first_block_gradient}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the counts of the interrupted run."""
        self.seconds = dict(state["seconds"])
        self.first_block_gradient = list(state["first_block_gradient"])
