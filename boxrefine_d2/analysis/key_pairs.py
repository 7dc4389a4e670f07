"""Pairs of keys of the same and of different classes, and how well a measure separates them.

Shapes: M keys of C channels, P pairs.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.stats import mannwhitneyu

CHUNK = 8192  # pairs whose keys are gathered at once


@dataclass(frozen=True)
class Measure:
    """Measure of the similarity of two keys.

    Attributes:
        title: name in words.
        of: function (P, C), (P, C) -> (P,).
        grows: whether the value grows with similarity; a distance falls.
    """

    title: str
    of: Callable[[np.ndarray, np.ndarray], np.ndarray]
    grows: bool


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    products: np.ndarray = np.einsum("pc,pc->p", a, b)
    return products


def _cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    cosines: np.ndarray = _dot(a, b) / np.maximum(
        np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1), 1e-12
    )
    return cosines


MEASURES = {
    "cosine": Measure("cosine similarity", _cosine, grows=True),
    "dot": Measure("dot product", _dot, grows=True),
    "l2": Measure("L2 distance", lambda a, b: np.linalg.norm(a - b, axis=1), grows=False),
    "l1": Measure("L1 distance", lambda a, b: np.abs(a - b).sum(axis=1), grows=False),
    "chebyshev": Measure("Chebyshev distance", lambda a, b: np.abs(a - b).max(axis=1), grows=False),
}


def class_pairs(
    classes: np.ndarray, *, same: bool, most: int, rng: np.random.Generator
) -> tuple[np.ndarray, int]:
    """Return pairs of different keys, each pair at most once and in one order only.

    The keys are sorted by class. The partners of a key are the later keys of its class (`same`), or
    all keys of later classes. Every pair therefore has a number, and numbers can be drawn without a
    list of all pairs.

    Args:
        classes: (M,).
        same: whether the keys of a pair have the same class or different classes.
        most: largest number of pairs; if there are more, this many are drawn.
        rng: source of the draws.
    Returns: (P, 2) int64, and the number of all pairs.
    """
    order = np.argsort(classes, kind="stable")
    ends = np.searchsorted(classes[order], classes[order], side="right")
    first, last = (np.arange(1, len(order) + 1), ends) if same else (ends, len(order))
    partners = last - first
    numbered = np.cumsum(partners)
    total = int(numbered[-1]) if len(order) else 0
    if total > most:
        numbers = np.sort(rng.choice(total, most, replace=False))
    else:
        numbers = np.arange(total)
    one = np.searchsorted(numbered, numbers, side="right")
    other = first[one] + numbers - (numbered - partners)[one]
    return order[np.stack([one, other], axis=1)], total


def measured(keys: np.ndarray, pairs: np.ndarray, measure: Measure) -> np.ndarray:
    """Return the (P,) float64 values of a measure for the pairs (P, 2) of keys (M, C)."""
    keys = keys.astype(np.float64)
    chunks = [pairs[i : i + CHUNK] for i in range(0, len(pairs), CHUNK)]
    return np.concatenate([measure.of(keys[part[:, 0]], keys[part[:, 1]]) for part in chunks])


def roc_auc(same: np.ndarray, different: np.ndarray, *, grows: bool) -> float:
    """Return the area under the ROC curve of telling the same class from different classes.

    This is the share of all (same, different) combinations in which the measure calls the same
    class more similar, with ties counted as a half, by the ranks (Mann and Whitney). 0.5 is chance.
    """
    # SciPy ranks in the type of its input; float32 is too coarse
    one, other = (np.asarray(values, np.float64) for values in (same, different))
    wins = mannwhitneyu(one, other, method="asymptotic").statistic
    share = float(wins / (len(same) * len(different)))
    return share if grows else 1 - share
