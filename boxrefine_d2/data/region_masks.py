"""Masks of annotations as training reads them: decoded once, kept small, cut to a crop.

A mask is reduced to a grid of the whole image, and each cell holds the share that the mask fills.
`region_masks` of a record holds them. The crop of a training input is cut from this grid.

Shapes: M masks of an image, R x R cells of the reduced masks, g x g cells of a crop.
"""

from collections.abc import Sequence

import numpy as np

from boxrefine_d2.errors import UserError
from boxrefine_d2.masks.cell_shares import cell_shares, grid_edges
from boxrefine_d2.masks.coding import decode_mask
from boxrefine_d2.progress import with_progress

from .records import Record

# (top, left, height, width) in pixels of the image
Crop = tuple[int, int, int, int]
_REMEDY = (
    "use labels with masks (boxrefine discover writes them for a rule that draws masks), or "
    "REFINE.REGION.FROM boxes"
)


def with_region_masks(records: Sequence[Record], side: int) -> list[Record]:
    """Return copies of labelled records with "region_masks", (M, R, R) uint8, 255 for a full cell.

    Crowds have no mask. The function shows a progress bar. An image of unknown size cannot be
    read; it gets no masks, and the reader of the image reports it.

    Args:   side: R.
    Raises: UserError, one line, if any annotation has no mask, or one that cannot be decoded.
    """
    labelled = [(r, a) for r in records for a in _objects(r)]
    without = [r["file_name"] for r, a in labelled if not a.get("segmentation")]
    if without:
        raise UserError(
            f"REFINE.REGION.FROM masks: {len(without)} of {len(labelled)} annotations have no "
            f"mask (first: {without[0]}); {_REMEDY}"
        )
    return [
        {**record, "region_masks": _reduced(record, side)}
        for record in with_progress(records, "decode masks")
    ]


def crop_masks(masks: np.ndarray, crop: Crop, size: tuple[int, int], cells: int) -> np.ndarray:
    """Return the share of each cell of a crop that each mask fills, (M, g, g) float32 in [0, 1].

    Args:
        masks: (M, R, R) uint8 of `with_region_masks`.
        crop: place of the crop.
        size: (H, W) of the image in pixels.
        cells: g.
    """
    top, left, height, width = crop
    unit = np.array(masks.shape[1:]) / size
    rows = grid_edges(top * unit[0], (top + height) * unit[0], cells)
    columns = grid_edges(left * unit[1], (left + width) * unit[1], cells)
    return cell_shares(masks, rows, columns) / np.float32(255)


def _objects(record: Record) -> list[Record]:
    return [a for a in record["annotations"] if not a.get("iscrowd", 0)]


def _reduced(record: Record, side: int) -> np.ndarray:
    size = (record["height"], record["width"])
    objects = _objects(record) if all(size) else []
    reduced = np.zeros((len(objects), side, side), np.uint8)
    for place, annotation in enumerate(objects):
        try:
            mask = decode_mask(annotation["segmentation"], size)
        except ValueError as error:
            raise UserError(
                f"REFINE.REGION.FROM masks: image {record['image_id']!r}: {error}; {_REMEDY}"
            ) from error
        edges = (grid_edges(0, pixels, side) for pixels in size)
        reduced[place] = np.rint(255 * cell_shares(mask[None], *edges)[0])
    return reduced
