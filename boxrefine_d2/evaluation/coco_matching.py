"""Matching of the detections of an image to its objects, as in COCO's evaluation (COCOeval).

Detections are matched from the highest score down. Each takes the free object with which it has the
highest IoU, if that IoU reaches the threshold. Crowds and objects outside the size class are
ignored: a detection that only meets one of them counts neither as a hit nor as a miss. A crowd
takes any number of detections. A detection outside the size class that meets no object is ignored
as well.

Shapes: S size classes, T thresholds, D detections, G objects; R = S * T.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

THRESHOLDS = np.linspace(0.5, 0.95, 10)  # IoU
# (least, most) area in square pixels; both ends belong to the class
SIZES = {
    "all": (0.0, 1e10),
    "small": (0.0, 32.0**2),
    "medium": (32.0**2, 96.0**2),
    "large": (96.0**2, 1e10),
}
MAX_DETECTIONS = 100  # per image: the detections of the highest scores
MISS, HIT, IGNORED = 0, 1, 2


@dataclass(frozen=True)
class ImageOutcome:
    """Outcomes of the detections of one image.

    Attributes:
        scores: (D,), from the highest down.
        outcomes: (S, T, D) of `MISS`, `HIT`, `IGNORED`.
        objects: (S,) number of objects to be found.
    """

    scores: FloatArray
    outcomes: NDArray[np.int8]
    objects: NDArray[np.int64]


def match_image(
    ious: FloatArray,
    scores: FloatArray,
    areas: FloatArray,
    gt_areas: FloatArray,
    gt_crowd: BoolArray,
) -> ImageOutcome:
    """Match the detections of one image at every threshold and in every size class.

    Example: two detections of one object. At thresholds above the IoU of the first detection the
    second one takes the object:

    >>> ious, scores, areas = np.array([[0.6], [0.8]]), np.array([0.9, 0.5]), np.array([99.0, 99.0])
    >>> image = match_image(ious, scores, areas, np.array([99.0]), np.array([False]))
    >>> image.outcomes[0, [0, 4, 8]].tolist()  # all sizes, at 0.5, 0.7 and 0.9
    [[1, 0], [0, 1], [0, 0]]

    Args:
        ious: (D, G) IoU; for a crowd, the share of the detection that the crowd covers.
        scores: (D,), from the highest down.
        areas: (D,) areas of the detections, in square pixels.
        gt_areas: (G,) areas of the objects, in square pixels.
        gt_crowd: (G,) whether the object is a crowd.
    """
    ignored = gt_crowd | _outside(gt_areas)
    # outcome of a detection that meets no object
    alone = np.where(_outside(areas), IGNORED, MISS).astype(np.int8)
    outcomes = np.repeat(alone, len(THRESHOLDS), axis=0)
    _match(ious, gt_crowd, np.repeat(ignored, len(THRESHOLDS), axis=0), outcomes)
    shape = (len(SIZES), len(THRESHOLDS), len(scores))
    return ImageOutcome(scores, outcomes.reshape(shape), (~ignored).sum(axis=1))


def _match(
    ious: FloatArray, crowd: BoolArray, ignored: BoolArray, outcomes: NDArray[np.int8]
) -> None:
    """Write HIT and IGNORED into `outcomes` (R, D) for detections that meet an object.

    Args: ignored: (R, G) whether the object is ignored.
    """
    rows = np.arange(len(ignored))
    thresholds = np.tile(THRESHOLDS, len(SIZES))[:, None]
    free = np.ones_like(ignored)
    # A detection prefers objects to be found over ignored ones, then the higher IoU. Among equal
    # IoUs COCO takes the last object.
    rank = ious.argsort(axis=1, kind="stable").argsort(axis=1)
    bonus = np.where(ignored, 0, len(crowd))
    for index in np.flatnonzero((ious >= THRESHOLDS[0]).any(axis=1)):
        wanted = np.where(free & (ious[index] >= thresholds), rank[index] + bonus, -1)
        best = wanted.argmax(axis=1)
        met = wanted[rows, best] >= 0
        picked = rows[met], best[met]
        outcomes[met, index] = np.where(ignored[picked], IGNORED, HIT)
        free[picked] = crowd[picked[1]]


def _outside(areas: FloatArray) -> BoolArray:
    """Return (S, N): whether each of N areas is outside each size class."""
    limits = np.array(list(SIZES.values()))
    return (areas < limits[:, :1]) | (areas > limits[:, 1:])
