"""Connected components of a mask."""

import numpy as np
from scipy import ndimage

# 8-connectivity, as the structure of `ndimage.label`
TOUCHING_CORNERS = np.ones((3, 3), dtype=bool)


def component_of(mask: np.ndarray, cell: tuple[int, int]) -> np.ndarray:
    """Return the 4-connected component of `mask` (h, w) that holds `cell` (row, column), as a mask.

    The component of a cell outside the mask is the cell alone: LOST's seed is always foreground.
    """
    component_ids, _ = ndimage.label(mask)
    component_id = component_ids[cell]
    if component_id:
        component: np.ndarray = component_ids == component_id
    else:
        component = np.zeros_like(mask, dtype=bool)
        component[cell] = True
    return component


def largest_component(mask: np.ndarray) -> np.ndarray:
    """Return the largest 4-connected component of `mask` (h, w), the first among equals.

    The component of an empty mask is empty.
    """
    component_ids, count = ndimage.label(mask)
    if count == 0:
        return np.zeros_like(mask, dtype=bool)
    largest = 1 + int(np.bincount(component_ids.ravel())[1:].argmax())
    component: np.ndarray = component_ids == largest
    return component


def components_from(mask: np.ndarray, least: float) -> list[np.ndarray]:
    """Return the 4-connected components of `mask` (h, w) with at least `least` cells, as masks.

    The largest comes first; equal ones are in raster order.
    """
    component_ids, count = ndimage.label(mask)
    sizes = np.bincount(component_ids.ravel(), minlength=count + 1)[1:]
    order = np.argsort(-sizes, kind="stable")
    return [component_ids == 1 + place for place in order if sizes[place] >= least]
