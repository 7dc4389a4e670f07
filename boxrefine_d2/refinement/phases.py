"""Schedule of the phases: a pure function of the iteration, the same for both profiles."""

from dataclasses import dataclass

from detectron2.config import CfgNode

from .phased_refiner import DETECTOR, REFINE


@dataclass(frozen=True)
class PhaseSchedule:
    """h alone for `warmup` iterations, then `refine` iterations of f and `detector` of h in turn.

    Paper: (3000, 10000, 0); f learns to the end. Release: epochs of 62 iterations; epoch e trains
    h iff e < 10 or (e - 10) mod (10 + 45) >= 45. In iterations this is (620, 2790, 620).
    """

    warmup: int
    refine: int
    detector: int

    @classmethod
    def from_config(cls, cfg: CfgNode) -> "PhaseSchedule":
        """Return the schedule under REFINE."""
        node = cfg.REFINE
        return cls(node.WARMUP_ITERS, node.REFINE_ITERS, node.DETECTOR_ITERS)

    @property
    def trains_detector(self) -> bool:
        """True if h learns in any iteration."""
        return bool(self.warmup or self.detector or not self.refine)

    def __call__(self, iteration: int) -> str:
        """Return the phase of an iteration, "detector" or "refine".

        >>> [PhaseSchedule(2, 3, 1)(i) for i in (1, 2, 4, 5, 6)]
        ['detector', 'refine', 'refine', 'detector', 'refine']
        """
        if iteration < self.warmup or self.refine == 0:
            return DETECTOR
        if self.detector == 0:
            return REFINE
        place = (iteration - self.warmup) % (self.refine + self.detector)
        return REFINE if place < self.refine else DETECTOR
