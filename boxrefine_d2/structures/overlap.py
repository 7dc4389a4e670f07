"""When boxes overlap: the one answer for +overlapping and +separate of a dataset spec, and for the editing of labels."""

import numpy as np
from numpy.typing import NDArray

# pixels; boxes that meet at a border overlap by as much where a file has x and width, not both borders
ROUNDING_PIXELS = 1e-3


def overlaps_another(boxes: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return (N,): whether a box shares some area with another one. Borders that meet, rounding allowed, do not count.

    >>> overlaps_another(np.array([[0, 0, 2, 2], [2, 0, 4, 2], [3, 1, 5, 3]]))
    array([False,  True,  True])

    Args: boxes: (N, 4) XYXY, half-open, pixels.
    """
    low, high = boxes[:, :2], boxes[:, 2:]
    sides = np.minimum(high[:, None], high) - np.maximum(low[:, None], low)  # (N, N, 2)
    meets: NDArray[np.bool_] = np.all(sides > ROUNDING_PIXELS, axis=2)
    np.fill_diagonal(meets, False)
    return np.asarray(meets.any(axis=1))
