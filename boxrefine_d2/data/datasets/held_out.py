"""Validation part of a training split that has no official one: a fixed tenth of each class."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TypeVar

TENTH = 10

T = TypeVar("T")


def held_out(labels: Iterable[int]) -> list[bool]:
    """Return for each training image whether it belongs to the validation part.

    These are the tenth, the twentieth, ... image of each class in the order of the source. A class
    of fewer than ten images has none of them. The papers name no validation split.

    >>> sum(held_out([0] * 30 + [1] * 29))
    5
    """
    seen: Counter[int] = Counter()
    parts = []
    for label in labels:
        seen[label] += 1
        parts.append(seen[label] % TENTH == 0)
    return parts


def split_of_training(items: Sequence[T], labels: Sequence[int], split: str) -> list[T]:
    """Return the training images of a split.

    Args:
        items: all images of the official training split, in the order of the source.
        labels: their classes.
        split: "trainval" for all, "val" for those that `held_out` names, "train" for the others.
    """
    if split == "trainval":
        return list(items)
    parts = held_out(labels)
    return [item for item, out in zip(items, parts, strict=True) if out == (split == "val")]
