"""Published evaluation of score maps (Choe et al., CVPR 2020), from its description.

OpenCV finds the contours of each of the 1000 thresholds, and NumPy counts the pixels of each map.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

THRESHOLDS = np.arange(0, 1, 0.001)
EDGES = [*np.arange(0, 1, 0.001), 1.0, 2.0, 3.0]
IOUS = (0.3, 0.5, 0.7)

Boxes = NDArray[np.int64]


def in_frame(scores: NDArray[np.float64], side: int) -> NDArray[np.float64]:
    """Return the map in a square frame and in [0, 1]."""
    resized = cv2.resize(scores, (side, side), interpolation=cv2.INTER_CUBIC)
    return (resized - resized.min()) / (resized.max() - resized.min())


def boxes_at_thresholds(scores: NDArray[np.float64]) -> list[tuple[Boxes, int]]:
    """Return the boxes of all contours at each threshold, and the place of the largest one."""
    greys = (scores * 255).astype(np.uint8)
    height, width = greys.shape
    found = []
    for threshold in THRESHOLDS:
        _, mask = cv2.threshold(greys, int(threshold * greys.max()), 255, cv2.THRESH_BINARY)
        contours, _ = cv2.findContours(mask, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)
        if not contours:
            found.append((np.zeros((1, 4), np.int64), 0))
            continue
        largest = max(range(len(contours)), key=lambda place: cv2.contourArea(contours[place]))
        boxes = [cv2.boundingRect(contour) for contour in contours]
        corners = [
            (x, y, min(x + wide, width - 1), min(y + high, height - 1))
            for x, y, wide, high in boxes
        ]
        found.append((np.array(corners), largest))
    return found


def ious(boxes: Boxes, truth: Boxes) -> NDArray[np.float64]:
    """Return the IoU of each box (N, 4) with each box (M, 4), both corners counted, (N, M)."""
    start = np.maximum(boxes[:, None, :2], truth[None, :, :2])
    end = np.minimum(boxes[:, None, 2:], truth[None, :, 2:])
    common = np.maximum(end - start + 1, 0).prod(axis=2)
    areas = [(part[:, 2:] - part[:, :2] + 1).prod(axis=1) for part in (boxes, truth)]
    return common / (areas[0][:, None] + areas[1][None] - common)


class Evaluation:
    """Counts over images. Attributes: largest, any_box: (3, T) right images; pixels: (2, bins)."""

    def __init__(self) -> None:
        self.largest = np.zeros((len(IOUS), len(THRESHOLDS)), np.int64)
        self.any_box = np.zeros_like(self.largest)
        self.pixels = np.zeros((2, len(EDGES) - 1), np.int64)

    def add(self, scores: NDArray[np.float64], boxes: Boxes, mask: NDArray[np.bool_]) -> None:
        """Count an image."""
        found, places = zip(*boxes_at_thresholds(scores), strict=True)
        starts = np.cumsum([0, *map(len, found[:-1])])
        best = ious(np.concatenate(found), boxes).max(axis=1)
        largest, highest = best[starts + places], np.maximum.reduceat(best, starts)
        for row, iou in enumerate(IOUS):
            self.largest[row] += largest >= iou
            self.any_box[row] += highest >= iou
        for row, part in enumerate((~mask, mask)):
            self.pixels[row] += np.histogram(scores[part], bins=EDGES)[0]
