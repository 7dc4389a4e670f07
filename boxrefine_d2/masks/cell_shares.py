"""Shares of the cells of a grid that masks fill."""

import numpy as np


def cell_shares(masks: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Return the mean of each mask over each cell of a grid, for cells of any size and place.

    The edges need not lie between two pixels: a pixel counts by its part inside the cell. A thin
    mask therefore has a small share of each cell that it crosses, and no cell misses it.

    Args:
        masks: (M, H, W) of any number type.
        rows: (h + 1,) strictly rising edges of the cells, in rows of pixels from 0 to H.
        columns: (w + 1,) the same for columns.
    Returns: (M, h, w) float32.
    """
    down, across = (
        _overlaps(edges, pixels).astype(np.float32)
        for edges, pixels in zip((rows, columns), masks.shape[1:], strict=True)
    )
    shares: np.ndarray = down @ masks.astype(np.float32) @ across.T
    return shares


def grid_edges(start: float, end: float, cells: int) -> np.ndarray:
    """Return the (cells + 1,) edges of equal cells from `start` to `end`."""
    return start + (end - start) * np.arange(cells + 1) / cells


def _overlaps(edges: np.ndarray, pixels: int) -> np.ndarray:
    """Return for each cell and pixel of an axis the share of the cell that the pixel covers."""
    first, last = edges[:-1, None], edges[1:, None]
    pixel = np.arange(pixels)
    overlap = np.minimum(last, pixel + 1) - np.maximum(first, pixel)
    shares: np.ndarray = overlap.clip(min=0) / (last - first)
    return shares
