"""Outline of a mask as an SVG path."""

import numpy as np
from skimage import measure

_TOLERANCE = 0.6  # largest distance of a point from the outline, in cells of the reduced mask


def mask_path(mask: np.ndarray, shown_side: int) -> str:
    """Return the `d` of a path around a mask, in pixels of the mask; "" for an empty mask.

    Holes are part of the path (fill-rule evenodd).

    Args:
        mask: (H, W) bool.
        shown_side: longest side at which the mask is shown, in pixels; finer detail is left out.
    """
    step = -(-max(mask.shape) // shown_side)
    reduced = np.pad(mask[::step, ::step], 1)  # closes outlines at the border
    parts = []
    for outline in measure.find_contours(reduced.astype(np.uint8), 0.5):
        points = measure.approximate_polygon(outline, _TOLERANCE)
        # from centres of padded cells, (row, column), to corners of pixels, (x, y)
        places = np.clip((points[:, ::-1] - 0.5) * step, 0, mask.shape[::-1])
        corners = " ".join(f"{x:.1f},{y:.1f}" for x, y in places[:-1])
        parts.append(f"M{corners}Z")
    return "".join(parts)
