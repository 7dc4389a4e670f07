"""The edits, on the labels of one image: what stays of them, and what is added."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from .label_file import Entry
from .overlaps import boxes_overlap, largest_iou

DROPS = ("images", "instances")


@dataclass(frozen=True)
class EditedLabels:
    """The labels of one image after an edit, in order; `added` come first."""

    kept: list[Entry]
    added: list[Entry] = field(default_factory=list)


def score_of(label: Entry) -> float:
    """1 where the file has none."""
    score: float = label.get("score", 1.0)
    return score


def merge(
    image: Entry,
    old: Sequence[Entry],
    new: Sequence[Entry],
    *,
    min_score: float,
    max_iou: float,
    by: str,
) -> EditedLabels:
    """The new labels of a score that is high enough, and the old ones that all of them leave alone (CutLER's
    self-training, arXiv:2301.11320 and its code).

    Args: min_score: of a new label, itself included.  max_iou: an old label that meets a new one by as much goes.
    """
    added = [label for label in new if score_of(label) >= min_score]
    ious = largest_iou(old, added, image, by)
    return EditedLabels(
        [label for label, iou in zip(old, ious, strict=True) if iou < max_iou], added
    )


def separate(labels: Sequence[Entry], *, drop: str) -> EditedLabels:
    """The labels of images without overlapping boxes.

    Args: drop: "images", all labels of an image in which any two boxes overlap; "instances", only those that do.
    """
    overlapping = boxes_overlap(labels)
    if drop == "images" and overlapping.any():
        return EditedLabels([])
    return EditedLabels(
        [label for label, meets in zip(labels, overlapping, strict=True) if not meets]
    )


def match(
    image: Entry,
    labels: Sequence[Entry],
    predictions: Sequence[Entry],
    *,
    min_score: float,
    min_iou: float,
    by: str,
) -> EditedLabels:
    """The labels that a detector finds, too.

    Args: min_score: of a prediction that counts.  min_iou: of a label with one of them, itself included.
    """
    sure = [label for label in predictions if score_of(label) >= min_score]
    ious = largest_iou(labels, sure, image, by)
    return EditedLabels([label for label, iou in zip(labels, ious, strict=True) if iou >= min_iou])


def top(labels: Sequence[Entry], *, count: int, min_score: float | None) -> EditedLabels:
    """The best so many, best first; of equal scores the first in the file."""
    good = [label for label in labels if min_score is None or score_of(label) >= min_score]
    return EditedLabels(sorted(good, key=lambda label: -score_of(label))[:count])
