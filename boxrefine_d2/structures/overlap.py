"""Overlap of boxes: one rule for +overlapping and +separate of specs and for label edits."""

import numpy as np
from numpy.typing import NDArray

# Pixels. In a file that stores x and width, boxes that share a border may overlap by a rounding
# error, because one of the two borders is computed.
ROUNDING_PIXELS = 1e-3


def overlaps_another(boxes: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return (N,): whether each box shares some area with another box.

    Boxes that only share a border do not overlap; `ROUNDING_PIXELS` are allowed for.

    >>> overlaps_another(np.array([[0, 0, 2, 2], [2, 0, 4, 2], [3, 1, 5, 3]]))
    array([False,  True,  True])

    Args: boxes: (N, 4) XYXY, half-open, pixels.
    """
    low, high = boxes[:, :2], boxes[:, 2:]
    sides = np.minimum(high[:, None], high) - np.maximum(low[:, None], low)  # (N, N, 2)
    meets: NDArray[np.bool_] = np.all(sides > ROUNDING_PIXELS, axis=2)
    np.fill_diagonal(meets, False)
    return np.asarray(meets.any(axis=1))
