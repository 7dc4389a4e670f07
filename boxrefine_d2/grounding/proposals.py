"""Regions of an image that may deserve a caption: selective search, and squares on a grid.

Boxes are XYXY, half-open, whole pixels of the square image of side S.

Source: "What is Where by Looking", NeurIPS 2022.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from boxrefine_d2.errors import UserError, check_choice

GRID = (2, 3, 4)  # n by n squares of S // n + 1 pixels, side by side
SEARCH_INPUTS = ("uint8", "float")


def proposals(image: np.ndarray, *, search_input: str, min_area: float) -> np.ndarray:
    """Return the boxes of all regions, (N, 4) int64, without duplicates.

    Selective search's boxes come first, in raster order; the grid's follow. Squares that reach
    over the right or lower border are cut off there. Their area before the cut decides whether
    they are kept.

    Args:
        image: (S, S, 3) uint8 RGB.
        search_input: input of selective search: "uint8" BGR, for which it is made, or "float" RGB
            in [-1, 1] (release), in which it finds half as many regions.
        min_area: share of the image that a box must exceed. The papers' 0.1 excludes all squares
            of the third grid.
    Raises: UserError for an unknown `search_input`, or if OpenCV lacks selective search.
    """
    side = image.shape[0]
    boxes = np.concatenate([_selective_search(image, search_input), _grid(side)])
    sides = boxes[:, 2:] - boxes[:, :2]
    boxes = boxes[sides.prod(axis=1) > min_area * side * side].clip(max=side)
    return np.array(list(dict.fromkeys(map(tuple, boxes.tolist()))), dtype=np.int64).reshape(-1, 4)


def _selective_search(image: np.ndarray, search_input: str) -> np.ndarray:
    """Return the boxes of selective search in its "fast" mode.

    OpenCV returns them in random order, so they are sorted.
    """
    check_choice("LOOKING.SEARCH_INPUT", search_input, SEARCH_INPUTS)
    search = require_selective_search()()
    if search_input == "uint8":
        search.setBaseImage(np.ascontiguousarray(image[:, :, ::-1]))
    else:
        search.setBaseImage(image.astype(np.float32) / np.float32(127.5) - np.float32(1))
    search.switchToSelectiveSearchFast()
    boxes = np.array(search.process(), dtype=np.int64).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    x1, y1, x2, y2 = boxes.T
    return boxes[np.lexsort((x2, y2, x1, y1))]


def require_selective_search() -> Callable[[], Any]:
    """Return OpenCV's constructor of selective search. Raises: UserError if it is missing."""
    try:
        from cv2 import ximgproc  # optional; only in OpenCV's contrib modules

        return ximgproc.segmentation.createSelectiveSearchSegmentation
    except (ImportError, AttributeError) as error:
        raise UserError(
            "selective search is in OpenCV's contrib modules, which are not installed: "
            "pip install 'boxrefine_d2[opencv-contrib]', in place of any other OpenCV"
        ) from error


def _grid(side: int) -> np.ndarray:
    """Return the squares of the grids, (N, 4); they may reach over the border."""
    boxes = []
    for parts in GRID:
        step = side // parts + 1
        starts = range(0, side, step)
        boxes += [(x, y, x + step, y + step) for y in starts for x in starts]
    return np.array(boxes, dtype=np.int64)
