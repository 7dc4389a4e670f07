"""Regions of a picture that may be worth a caption: selective search, and squares on a grid ("What is Where by Looking",
NeurIPS 2022).

Boxes are XYXY, half-open, whole pixels of the square picture of side S.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from boxrefine_d2.errors import UserError, check_choice

GRID = (2, 3, 4)  # squares of S / n + 1 pixels, side by side
SEARCH_INPUTS = ("uint8", "float")


def proposals(picture: np.ndarray, *, search_input: str, min_area: float) -> np.ndarray:
    """(N, 4) int64, each once: selective search's in raster order, then the grid's.

    Squares at the right and lower border are cut off there, and are kept by the area that they had before.

    Args:
        picture: (S, S, 3) uint8 RGB.
        search_input: what selective search reads: "uint8" BGR as it is made for, or "float" RGB in [-1, 1] (release),
            in which it finds half as many.
        min_area: share of the picture that a box covers more than. The papers' 0.1 leaves nothing of the third grid.
    Raises: UserError for an unknown `search_input`, or where OpenCV has no selective search.
    """
    side = picture.shape[0]
    boxes = np.concatenate([_searched(picture, search_input), _grid(side)])
    sides = boxes[:, 2:] - boxes[:, :2]
    boxes = boxes[sides.prod(axis=1) > min_area * side * side].clip(max=side)
    return np.array(list(dict.fromkeys(map(tuple, boxes.tolist()))), dtype=np.int64).reshape(-1, 4)


def _searched(picture: np.ndarray, search_input: str) -> np.ndarray:
    """Selective search, "fast". OpenCV gives its boxes in an order drawn at random, so they are sorted."""
    check_choice("LOOKING.SEARCH_INPUT", search_input, SEARCH_INPUTS)
    search = require_selective_search()()
    if search_input == "uint8":
        search.setBaseImage(np.ascontiguousarray(picture[:, :, ::-1]))
    else:
        search.setBaseImage(picture.astype(np.float32) / np.float32(127.5) - np.float32(1))
    search.switchToSelectiveSearchFast()
    found = np.array(search.process(), dtype=np.int64).reshape(-1, 4)
    found[:, 2:] += found[:, :2]
    x1, y1, x2, y2 = found.T
    return found[np.lexsort((x2, y2, x1, y1))]


def require_selective_search() -> Callable[[], Any]:
    """OpenCV's constructor. Raises: UserError where it is missing."""
    try:
        from cv2 import ximgproc  # optional, and in OpenCV's further modules only

        return ximgproc.segmentation.createSelectiveSearchSegmentation
    except (ImportError, AttributeError) as error:
        raise UserError(
            "selective search is in OpenCV's contrib modules, which are not installed: "
            "pip install 'boxrefine_d2[opencv-contrib]', in place of any other OpenCV"
        ) from error


def _grid(side: int) -> np.ndarray:
    """(N, 4); squares may reach over the border."""
    boxes = []
    for parts in GRID:
        step = side // parts + 1
        starts = range(0, side, step)
        boxes += [(x, y, x + step, y + step) for y in starts for x in starts]
    return np.array(boxes, dtype=np.int64)
