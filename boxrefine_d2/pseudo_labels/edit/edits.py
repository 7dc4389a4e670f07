"""The edits of one image's labels."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from .label_file import Entry
from .overlaps import boxes_overlap, largest_iou

DROPS = ("images", "instances")


@dataclass(frozen=True)
class EditedLabels:
    """The labels of one image after an edit, in order.

    Attributes: kept: labels of the edited file.  added: labels of the second file; they are written
        before the kept ones.
    """

    kept: list[Entry]
    added: list[Entry] = field(default_factory=list)


def score_of(label: Entry) -> float:
    """Return the label's score; 1 if the file has none."""
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
    """Return the confident new labels, and the old labels that overlap none of them.

    This is the merging of CutLER's self-training (arXiv:2301.11320 and its code).

    Args: min_score: new labels with a score >= min_score are added.
        max_iou: old labels whose IoU with an added label is >= max_iou are dropped.
    """
    added = [label for label in new if score_of(label) >= min_score]
    ious = largest_iou(old, added, image, by)
    return EditedLabels(
        [label for label, iou in zip(old, ious, strict=True) if iou < max_iou], added
    )


def separate(labels: Sequence[Entry], *, drop: str) -> EditedLabels:
    """Return the labels of an image that are left after dropping overlapping boxes.

    Args: drop: "images" drops all labels of an image in which any two boxes overlap; "instances"
        drops only the labels whose boxes overlap.
    """
    overlapping = boxes_overlap(labels)
    if drop == "images" and overlapping.any():
        return EditedLabels([])
    return EditedLabels(
        [label for label, overlaps in zip(labels, overlapping, strict=True) if not overlaps]
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
    """Return the labels that overlap a confident prediction of a detector.

    Args: min_score: predictions with a score >= min_score count.
        min_iou: labels whose IoU with such a prediction is >= min_iou are kept.
    """
    confident = [label for label in predictions if score_of(label) >= min_score]
    ious = largest_iou(labels, confident, image, by)
    return EditedLabels([label for label, iou in zip(labels, ious, strict=True) if iou >= min_iou])


def agree(
    image: Entry,
    labels: Sequence[Entry],
    others: Sequence[Sequence[Entry]],
    *,
    min_iou: float,
    votes: int,
    by: str,
    whole_images: bool = False,
) -> tuple[list[Entry], list[list[float]]]:
    """Return the labels that `votes` of the other lists hold as well, with new scores.

    The score of a kept label becomes the mean, over all other lists, of its IoU with the nearest
    label of the list. One label may confirm several.

    Args: others: labels of the same image from other files; at least `votes` lists.
        min_iou: lowest IoU with a label of another list.
        whole_images: if one label is kept, all are.
    Returns: the kept labels, best first; and the IoUs of each given label, largest first.
    """
    ious = np.array([largest_iou(labels, other, image, by) for other in others])
    reached = np.sort(ious, axis=0)[::-1]
    agreed = reached[votes - 1] >= min_iou
    if whole_images:
        agreed[:] = agreed.any()
    kept = [
        label | {"score": float(mean)}
        for label, mean, is_kept in zip(labels, ious.mean(axis=0), agreed, strict=True)
        if is_kept
    ]
    return sorted(kept, key=lambda label: -score_of(label)), reached.T.tolist()


def top(labels: Sequence[Entry], *, count: int, min_score: float | None) -> EditedLabels:
    """Return the `count` labels of highest score, best first; ties keep the order of the file."""
    good = [label for label in labels if min_score is None or score_of(label) >= min_score]
    return EditedLabels(sorted(good, key=lambda label: -score_of(label))[:count])
