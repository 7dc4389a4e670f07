"""Alternating timing of two implementations of one computation."""

import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from time import perf_counter
from typing import TypeVar

import torch

T = TypeVar("T")


@dataclass
class Pairs:
    """Milliseconds of both implementations, one entry per pair of runs.

    The two runs of a pair follow each other directly.
    """

    published: list[float] = field(default_factory=list)
    ours: list[float] = field(default_factory=list)

    def add(self, published: Callable[[], T], ours: Callable[[], T], units: int) -> tuple[T, T]:
        """Time both, in an order that alternates from pair to pair.

        Args: units: divisor of the times, e.g. the number of images that both read.
        Returns: results of `published` and of `ours`.
        """
        turns = [(self.published, published), (self.ours, ours)]
        results = {}
        for times, run in turns if len(self.ours) % 2 else reversed(turns):
            results[run], milliseconds = timed(run)
            times.append(milliseconds / units)
        return results[published], results[ours]

    def spread(self) -> tuple[float, float]:
        """Return the lower and upper quartile of the pairs' ratios."""
        ratios = [a / b for a, b in zip(self.published, self.ours, strict=True)]
        lower, _, upper = statistics.quantiles(ratios, n=4, method="inclusive")
        return lower, upper


@dataclass
class Result:
    """Times, checks and notes of one benchmark.

    Attributes:
        pairs: the times.
        unit: unit of work that the milliseconds refer to, e.g. "image".
        target: the ratio to reach; None if it does not apply on this machine.
        notes: lines to print.
        failed: the checks that failed.
    """

    pairs: Pairs
    unit: str
    target: float | None
    notes: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    @property
    def published_ms(self) -> float:
        """Median of the baseline's milliseconds."""
        return statistics.median(self.pairs.published)

    @property
    def ours_ms(self) -> float:
        """Median of our milliseconds."""
        return statistics.median(self.pairs.ours)

    @property
    def ratio(self) -> float:
        """The baseline's median time divided by ours."""
        return self.published_ms / self.ours_ms

    @property
    def verdict(self) -> str:
        """The word for the table: checks failed, no target, target met or not met."""
        if self.failed:
            return "CHECK FAILED"
        if self.target is None:
            return "no target here"
        return "met" if self.ratio >= self.target else "NOT MET"


def timed(run: Callable[[], T]) -> tuple[T, float]:
    """Return the result of `run` and its milliseconds; wait for the GPU if there is one."""
    _wait()
    start = perf_counter()
    result = run()
    _wait()
    return result, 1e3 * (perf_counter() - start)


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
