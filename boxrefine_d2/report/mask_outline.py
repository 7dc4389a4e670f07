"""A mask as the outline of an SVG path."""

import numpy as np
from skimage import measure

_TOLERANCE = 0.6  # cells of the reduced mask by which a point may lie beside its outline


def mask_path(mask: np.ndarray, shown_side: int) -> str:
    """The `d` of a path around a mask, holes included (fill-rule evenodd), in its pixels; "" for an empty mask.

    Args:   mask: (H, W) bool.  shown_side: longest side in pixels at which it is looked at; finer detail is left out.
    """
    step = -(-max(mask.shape) // shown_side)
    reduced = np.pad(mask[::step, ::step], 1)  # so that an outline at the border is closed
    parts = []
    for outline in measure.find_contours(reduced.astype(np.uint8), 0.5):
        points = measure.approximate_polygon(outline, _TOLERANCE)
        # from the centres of padded cells, (row, column), to sides of pixels, (x, y)
        places = np.clip((points[:, ::-1] - 0.5) * step, 0, mask.shape[::-1])
        corners = " ".join(f"{x:.1f},{y:.1f}" for x, y in places[:-1])
        parts.append(f"M{corners}Z")
    return "".join(parts)
