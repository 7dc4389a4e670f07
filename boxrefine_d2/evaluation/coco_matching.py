"""Which detections of an image count as found objects, as COCO's evaluation decides it (its COCOeval, the reference).

Detections are taken from the highest score down; each takes the free object that it meets best, if their IoU reaches
the threshold. Crowds, and objects outside the size class, are ignored: a detection that only meets one of them counts
neither for nor against, and a crowd takes any number. So does a detection outside the size class that meets nothing.

Shapes: S size classes, T thresholds, D detections, G objects; R = S * T.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

THRESHOLDS = np.linspace(0.5, 0.95, 10)  # of the IoU
# Areas in square pixels, both ends included.
SIZES = {
    "all": (0.0, 1e10),
    "small": (0.0, 32.0**2),
    "medium": (32.0**2, 96.0**2),
    "large": (96.0**2, 1e10),
}
MAX_DETECTIONS = 100  # of an image, those of the highest scores
MISS, HIT, IGNORED = 0, 1, 2


@dataclass(frozen=True)
class ImageOutcome:
    """What became of an image's detections.

    Attributes:
        scores: (D,), from the highest down.
        outcomes: (S, T, D) of `MISS`, `HIT`, `IGNORED`.
        objects: (S,), how many were to be found.
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
    """Matches one image at every threshold and in every size class.

    Two detections of one object; a threshold above the IoU of the first gives the object to the second:

    >>> ious, scores, areas = np.array([[0.6], [0.8]]), np.array([0.9, 0.5]), np.array([99.0, 99.0])
    >>> image = match_image(ious, scores, areas, np.array([99.0]), np.array([False]))
    >>> image.outcomes[0, [0, 4, 8]].tolist()  # of all sizes, at 0.5, 0.7 and 0.9
    [[1, 0], [0, 1], [0, 0]]

    Args:
        ious: (D, G), against a crowd the share of the detection that it covers.
        scores, areas: (D,), from the highest score down.  gt_areas: (G,).  gt_crowd: (G,).
    """
    ignored = gt_crowd | _outside(gt_areas)
    alone = np.where(_outside(areas), IGNORED, MISS).astype(np.int8)  # of what meets nothing
    outcomes = np.repeat(alone, len(THRESHOLDS), axis=0)
    _match(ious, gt_crowd, np.repeat(ignored, len(THRESHOLDS), axis=0), outcomes)
    shape = (len(SIZES), len(THRESHOLDS), len(scores))
    return ImageOutcome(scores, outcomes.reshape(shape), (~ignored).sum(axis=1))


def _match(
    ious: FloatArray, crowd: BoolArray, ignored: BoolArray, outcomes: NDArray[np.int8]
) -> None:
    """Writes HIT and IGNORED into `outcomes` (R, D) where a detection meets one of the objects, `ignored` (R, G)."""
    rows = np.arange(len(ignored))
    thresholds = np.tile(THRESHOLDS, len(SIZES))[:, None]
    free = np.ones_like(ignored)
    # An object to be found is preferred to any that is ignored, then counts the IoU; of equals COCO takes the last.
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
    """(S, N): which of N areas are outside each size class."""
    limits = np.array(list(SIZES.values()))
    return (areas < limits[:, :1]) | (areas > limits[:, 1:])
