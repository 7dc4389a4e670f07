"""Two ways of doing the same thing, timed in turns."""

import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from time import perf_counter
from typing import TypeVar

import torch

T = TypeVar("T")


@dataclass
class Pairs:
    """Milliseconds of each way, one entry a pair; the two of a pair ran one right after the other."""

    published: list[float] = field(default_factory=list)
    ours: list[float] = field(default_factory=list)

    def add(self, published: Callable[[], T], ours: Callable[[], T], units: int) -> tuple[T, T]:
        """Times both, in an order that changes from pair to pair.

        Args: units: what the times are divided by, e.g. the images that both worked on.
        Returns: what the two returned.
        """
        turns = [(self.published, published), (self.ours, ours)]
        results = {}
        for times, run in turns if len(self.ours) % 2 else reversed(turns):
            results[run], milliseconds = timed(run)
            times.append(milliseconds / units)
        return results[published], results[ours]

    def spread(self) -> tuple[float, float]:
        """The quartiles of the pairs' ratios."""
        ratios = [a / b for a, b in zip(self.published, self.ours, strict=True)]
        lower, _, upper = statistics.quantiles(ratios, n=4, method="inclusive")
        return lower, upper


@dataclass
class Result:
    """What a benchmark found.

    Attributes:
        unit: what the milliseconds are of.
        target: the ratio to reach; None where it does not apply on this machine.
        notes: lines to print.  failed: the checks that did not hold.
    """

    pairs: Pairs
    unit: str
    target: float | None
    notes: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    @property
    def published_ms(self) -> float:
        """Median."""
        return statistics.median(self.pairs.published)

    @property
    def ours_ms(self) -> float:
        """Median."""
        return statistics.median(self.pairs.ours)

    @property
    def ratio(self) -> float:
        """How many times faster ours is."""
        return self.published_ms / self.ours_ms

    @property
    def verdict(self) -> str:
        """Whether target and checks were met."""
        if self.failed:
            return "CHECK FAILED"
        if self.target is None:
            return "no target here"
        return "met" if self.ratio >= self.target else "NOT MET"


def timed(run: Callable[[], T]) -> tuple[T, float]:
    """What `run` returns, and its milliseconds; waits for the GPU, if there is one."""
    _wait()
    start = perf_counter()
    result = run()
    _wait()
    return result, 1e3 * (perf_counter() - start)


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
