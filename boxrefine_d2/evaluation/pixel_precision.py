"""Precision and IoU of pixels over thresholds: PxAP and pIoU (Choe et al., CVPR 2020, code).

The scores of all images are counted in bins that are 0.001 wide, apart for pixels of objects and
for others; the data set has one curve. PxAP is the area under the curve of precision over recall.
pIoU is the IoU of the pixels above a threshold with those of objects, pooled over the data set.
"""

import numpy as np
from numpy.typing import NDArray

from boxrefine_d2.errors import UserError

BIN = 0.001
_BEYOND = (1.0, 2.0, 3.0)  # a score of exactly 1 has a bin of its own


class PixelCounts:
    """Counts of pixels by score.

    Args: width: width of a bin.

    Attributes: edges: (E,) lower edges of the bins in ascending order, the last one is an end.
    """

    def __init__(self, width: float = BIN):
        self.edges = np.array([*np.arange(0, 1, width), *_BEYOND])
        self._counts = np.zeros((2, len(self.edges) - 1), np.int64)

    def add(
        self,
        scores: NDArray[np.float64],
        truth: NDArray[np.bool_],
        ignored: NDArray[np.bool_] | None = None,
    ) -> None:
        """Count the pixels of an image.

        Args:
            scores: (H, W) map in [0, 1].
            truth: (H, W) pixels of objects.
            ignored: (H, W) pixels that do not count, where they are not of an object.
        """
        counted = np.ones_like(truth) if ignored is None else truth | ~ignored
        bins = self._bins(scores[counted]) + self._counts.shape[1] * truth[counted]
        self._counts += np.bincount(bins, minlength=self._counts.size).reshape(2, -1)

    def _bins(self, scores: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the bin of each score; the guess by division can be one off."""
        guess = np.minimum((scores * (len(self.edges) - 3)).astype(np.int64), len(self.edges) - 3)
        guess -= scores < self.edges[guess]
        guess += scores >= self.edges[guess + 1]
        return guess

    def _from_the_top(self) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
        """Return right and wrong pixels at or above each edge, highest edge first, and all right.

        Raises: UserError if no pixel of an object was counted.
        """
        wrong, right = np.cumsum(self._counts[:, ::-1], axis=1)
        if not right[-1]:
            raise UserError("no pixel of an object was counted; pxap and piou are not defined")
        return right, wrong, int(right[-1])

    def average_precision(self) -> float:
        """Return PxAP in percent. Raises: UserError without a pixel of an object."""
        right, wrong, objects = self._from_the_top()
        some = right + wrong > 0
        precision = right[some] / (right[some] + wrong[some])
        recall = right[some] / objects
        return float(100 * np.sum(precision * np.diff(recall, prepend=0.0)))

    def iou(self) -> NDArray[np.float64]:
        """Return the pooled IoU in percent above each edge but the last, lowest edge first.

        Raises: UserError without a pixel of an object.
        """
        right, wrong, objects = self._from_the_top()
        result: NDArray[np.float64] = (100 * right / (objects + wrong))[::-1]
        return result
