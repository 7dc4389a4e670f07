"""Learning rate of the fine-tuning: a warm-up, then half a cosine that starts anew at its end.

It equals timm's `CosineLRScheduler` with a cycle limit and the warm-up inside of the first cycle.
"""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class JumpingCosine:
    """Schedule over iterations.

    Attributes:
        peak, start, least: rates at the start of a cycle, at iteration 0, and at the end.
        warmup: iterations of the warm-up; the first cosine goes on below it.
        cycle: iterations of a cycle.
        cycles: number of cycles; after the last one the rate stays at the least one.
    """

    peak: float
    start: float
    least: float
    warmup: int
    cycle: int
    cycles: int = 2

    def __call__(self, iteration: int) -> float:
        """Return the learning rate of an iteration."""
        if iteration < self.warmup:
            return self.start + (self.peak - self.start) * iteration / self.warmup
        number, place = divmod(iteration, self.cycle)
        if number >= self.cycles:
            return self.least
        share = (1 + math.cos(math.pi * place / self.cycle)) / 2
        return self.least + (self.peak - self.least) * share
