"""Connected components of a grid mask."""

import numpy as np
from scipy import ndimage


def component_of(mask: np.ndarray, cell: tuple[int, int]) -> np.ndarray:
    """The 4-connected component of `mask` (h, w) that holds `cell` (row, column), as a mask.

    A cell outside the mask is its own component: LOST's seed always counts as foreground.
    """
    component_ids, _ = ndimage.label(mask)
    component_id = component_ids[cell]
    if component_id:
        component: np.ndarray = component_ids == component_id
    else:
        component = np.zeros_like(mask, dtype=bool)
        component[cell] = True
    return component
