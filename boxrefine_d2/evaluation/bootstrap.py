"""Intervals of scores and gains: a bootstrap over images, with seeds drawn within each draw.

Shapes: S seeds (runs), N values of each, D draws. A value is, for instance, 1 for a hit and 0 for a
miss. An image has one value, or several, for instance one per phrase. Values of one image are
similar, so an image is drawn with all of its values.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

DRAWS = 10_000
INTERVAL = (2.5, 97.5)  # percentiles: the middle 95 % of the draws

_VALUES_AT_ONCE = 10_000_000

Hits = Sequence[Sequence[float] | np.ndarray] | np.ndarray  # (S, N)


@dataclass(frozen=True)
class Estimate:
    """A mean and its 95 % interval, in percent (or percent points for a gain)."""

    mean: float
    low: float
    high: float

    def to_json(self) -> dict[str, Any]:
        """Return the estimate in the form of results.json."""
        return {"mean": self.mean, "ci95": [self.low, self.high]}


def paired_gain(
    before: Hits,
    after: Hits,
    *,
    images: Sequence[int] | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> Estimate:
    """Return the gain: the percent points that `after` hits more than `before`.

    Pairs stay together: a draw takes the same runs and the same images for both.

    Args:
        before, after: (S, N) hits of the same runs and images, in the same order.
        images: see `bootstrap_means`.
    Raises: ValueError if the shapes differ, or if there are no values.
    """
    before, after = np.asarray(before, np.float64), np.asarray(after, np.float64)
    if before.shape != after.shape:
        raise ValueError(f"hits before are {before.shape} and after {after.shape}: no pairs")
    return mean_with_interval(after - before, images=images, draws=draws, seed=seed)


def mean_with_interval(
    values: Hits,
    *,
    images: Sequence[int] | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> Estimate:
    """Return the mean of (S, N) values and the interval of the means of `draws` draws, times 100.

    Args: images: see `bootstrap_means`.

    >>> mean_with_interval([[1, 0]])  # a draw of two images has 0, 1 or 2 hits
    Estimate(mean=50.0, low=0.0, high=100.0)
    """
    values = np.asarray(values, np.float64)
    means = bootstrap_means(values, images=images, draws=draws, seed=seed)
    low, high = np.percentile(means, INTERVAL)
    return Estimate(100 * float(values.mean()), 100 * float(low), 100 * float(high))


def bootstrap_means(
    values: np.ndarray,
    *,
    images: Sequence[int] | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> np.ndarray:
    """Return the means of the draws, (D,).

    A draw takes as many images as there are, with replacement. For all of them it takes the same S
    runs, also with replacement. With one run only the images vary, and the interval says nothing
    about other seeds.

    Args:
        values: (S, N).
        images: (N,) index of the image of each value, from 0 without gaps; None if each value has
            an image of its own.
        seed: seed of the generator; equal arguments give equal draws.
    Raises: ValueError if there is no run or no image, or if `images` has another length.
    """
    if values.ndim != 2 or not values.size:
        raise ValueError(f"values must be (runs, images), at least one of each, not {values.shape}")
    sums, counts = _by_image(values, images)
    runs, image_count = sums.shape
    rng = np.random.default_rng(seed)
    at_once = max(1, _VALUES_AT_ONCE // sums.size)
    means = []
    for start in range(0, draws, at_once):
        count = min(at_once, draws - start)
        drawn_runs = rng.integers(runs, size=(count, runs))
        drawn_images = rng.integers(image_count, size=(count, image_count))
        per_image = sums[drawn_runs].mean(axis=1)
        drawn = np.take_along_axis(per_image, drawn_images, axis=1)
        means.append(drawn.sum(axis=1) / counts[drawn_images].sum(axis=1))
    return np.concatenate(means)


def _by_image(values: np.ndarray, images: Sequence[int] | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the sums of the values of each image, (S, I), and their number, (I,)."""
    if images is None:
        return values, np.ones(values.shape[1])
    if len(images) != values.shape[1]:
        raise ValueError(f"{values.shape[1]} values, but the images of {len(images)}")
    return np.stack([np.bincount(images, weights=run) for run in values]), np.bincount(images)
