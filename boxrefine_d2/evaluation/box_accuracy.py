"""Box accuracy over thresholds: MaxBoxAcc and MaxBoxAccV2 (Choe et al., CVPR 2020, code).

A map in [0, 1] becomes whole grey values, 255 times the map, truncated. At a threshold t the pixels
above int(t * largest grey value) are kept, and boxes are drawn around their contours. V1 takes the
box of the largest contour, V2 that of every contour. An image is right at a threshold if a box has
at least the wanted IoU with a box of the ground truth. Coordinates are whole pixels of the map's
frame, and both corners belong to a box.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from boxrefine_d2.masks.level_contours import level_contours

Ints = NDArray[np.int64]

THRESHOLDS: NDArray[np.float64] = np.arange(0, 1, 0.001)
IOUS = (30, 50, 70)  # percent


@dataclass(frozen=True)
class LevelBoxes:
    """Boxes of a map above each of its levels.

    Attributes:
        highest: largest grey value of the map.
        level: (N,) level of each box.
        boxes: (N, 4) first and last column and row that belong to the box: x1, y1, x2, y2.
        largest: (L,) row of the box of the largest contour of each level 0 .. L - 1.
    """

    highest: int
    level: Ints
    boxes: Ints
    largest: Ints

    @classmethod
    def of(cls, scores: NDArray[np.float64]) -> "LevelBoxes":
        """Return the boxes of a map (H, W) in [0, 1]; a map of zeros has one empty box."""
        greys = (scores * 255).astype(np.uint8)
        if not greys.any():
            none = np.zeros(1, np.int64)
            return cls(0, none, np.zeros((1, 4), np.int64), none)
        contours = level_contours(scores, greys)
        x, y, width, height = contours.box.T
        last = greys.shape[1] - 1, greys.shape[0] - 1
        ends = np.minimum(x + width, last[0]), np.minimum(y + height, last[1])
        boxes = np.stack([x, y, *ends], axis=1)
        return cls(int(greys.max()), contours.level, boxes, contours.largest())

    def levels_of(self, thresholds: NDArray[np.float64]) -> Ints:
        """Return the level that each threshold in [0, 1) means."""
        levels: Ints = (thresholds * self.highest).astype(np.int64)
        return levels

    def hits(self, truth: Ints, iou: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return whether the image is right at each level, by the largest box and by any box, (L,).

        Args:
            truth: (M, 4) ground truth in the same form as `boxes`.
            iou: least IoU in percent.
        """
        right = _is_right(self.boxes, truth, iou)
        of_any = np.zeros(len(self.largest), bool)
        of_any[self.level[right]] = True
        of_largest: NDArray[np.bool_] = right[self.largest]
        return of_largest, of_any


def frame_boxes(boxes: NDArray[np.float64], size: tuple[int, int], frame: tuple[int, int]) -> Ints:
    """Return boxes (M, 4) of an image of `size` (H, W) in a frame (H, W), truncated to integers.

    >>> frame_boxes(np.array([[1.0, 2, 4, 3]]), (20, 10), (10, 35)).tolist()
    [[3, 1, 14, 1]]
    """
    scale = np.array([frame[1] / size[1], frame[0] / size[0]] * 2)
    scaled: Ints = (boxes * scale).astype(np.int64)
    return scaled


def _is_right(boxes: Ints, truth: Ints, iou: int) -> NDArray[np.bool_]:
    """Return whether each box (N, 4) has the IoU, in percent, with any box (M, 4) of the truth."""
    right = np.zeros(len(boxes), bool)
    for box in truth:  # few; the boxes of all levels are many
        start, end = np.maximum(boxes[:, :2], box[:2]), np.minimum(boxes[:, 2:], box[2:])
        common = np.prod(np.maximum(end - start + 1, 0), axis=1)
        total = _areas(boxes) + _areas(box[None]) - common
        right |= 100 * common >= iou * total
    return right


def _areas(boxes: Ints) -> Ints:
    areas: Ints = np.prod(boxes[:, 2:] - boxes[:, :2] + 1, axis=1)
    return areas


class BoxAccuracy:
    """Counts of right images at each threshold.

    Args: thresholds: (T,) in [0, 1).

    Attributes:
        images: number of images added.
        largest, any_box: IoU in percent -> (T,) number of images that are right by the largest
            contour, and by any contour.
    """

    def __init__(self, thresholds: NDArray[np.float64] = THRESHOLDS):
        self.thresholds = thresholds
        self.images = 0
        self.largest = {iou: np.zeros(len(thresholds), np.int64) for iou in IOUS}
        self.any_box = {iou: np.zeros(len(thresholds), np.int64) for iou in IOUS}

    def add(self, scores: NDArray[np.float64], truth: Ints) -> None:
        """Count an image.

        Args:
            scores: (H, W) map in [0, 1].
            truth: (M, 4) boxes of the ground truth in the frame of the map; see `frame_boxes`.
        """
        found = LevelBoxes.of(scores)
        levels = found.levels_of(self.thresholds)
        for iou in IOUS:
            largest, of_any = found.hits(truth, iou)
            self.largest[iou] += largest[levels]
            self.any_box[iou] += of_any[levels]
        self.images += 1

    def curves(self, *, of_any: bool) -> dict[int, NDArray[np.float64]]:
        """Return IoU in percent -> accuracy at each threshold in percent, (T,)."""
        counts = self.any_box if of_any else self.largest
        return {iou: 100 * of_iou / self.images for iou, of_iou in counts.items()}
