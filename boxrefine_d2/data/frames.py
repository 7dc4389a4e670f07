"""Comparison of the frame of labels with the pixels of their images.

Every command that joins labels to pixels uses this module. Boxes and masks are in pixels of the
image as a viewer shows it, after EXIF orientation. Labels of the stored pixels or of a resized copy
are in another frame. The image size in the label file reveals this. If a file only exchanges width
and height and the boxes prove it, the size is corrected.
"""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from boxrefine_d2.errors import UserError
from boxrefine_d2.progress import with_progress

from .images import ImageHeader, header_or_none, is_rendered
from .records import LoadedDataset, Record

logger = logging.getLogger(__name__)

SLACK_PIXELS = 1.0  # a box may exceed its image by this much, because tools round coordinates
FEW_SHARE = 0.01  # up to this share of a data set's images, exchanged sides count as a slip

FITS, EXCHANGED, STORED, RESIZED = "fits", "exchanged", "stored", "resized"
_REASONS = {
    EXCHANGED: "width and height are exchanged, and the boxes do not tell which is right",
    STORED: "the labels are of the pixels as stored, before EXIF orientation",
    RESIZED: "the labels are of a resized copy or of another image",
}
_REMEDY = (
    "label the images as a viewer shows them, or turn and resize the files themselves; "
    "to use the images without labels, write folder:DIR"
)


@dataclass(frozen=True)
class Misfit:
    """An image whose labels are in another frame.

    Attributes:
        labelled: (H, W) that the labels state.
        pixels: (H, W) of the image, upright.
        kind: `EXCHANGED`, `STORED` or `RESIZED`.
    """

    file_name: str
    labelled: tuple[int, int]
    pixels: tuple[int, int]
    kind: str

    def __str__(self) -> str:
        sizes = [f"{width} x {height}" for height, width in (self.labelled, self.pixels)]
        return (
            f"{self.file_name!r} has {sizes[1]} pixels and labels of {sizes[0]}: "
            f"{_REASONS[self.kind]}"
        )


def in_pixel_frame(dataset: LoadedDataset, where: str) -> LoadedDataset:
    """Return the data set with the pixel size of every image, for a command that uses the labels.

    The function reads the header of each image once and shows a progress bar. A record stays
    unchanged if its header cannot be read; the reader of the image reports that error. The size of
    an image without labels is corrected.

    Args:   where: dataset spec, for messages.
    Raises: UserError if the labels of any image are in another frame.
    """
    records, misfits = _compared(dataset.records, where)
    if misfits:
        raise UserError(f"{where}: {_counted(misfits, len(records))}; {_REMEDY}")
    return replace(dataset, records=records)


def with_pixel_sizes(dataset: LoadedDataset, where: str) -> LoadedDataset:
    """Return the data set with the pixel size of every image, for a command that uses no labels.

    A warning counts the images whose labels are in another frame. Such a command finds boxes in the
    frame of the pixels.
    """
    records, misfits = _compared(dataset.records, where)
    if misfits:
        logger.warning(
            "%s: %s; boxes are found in the frame of the pixels, "
            "and scores against these labels would be wrong",
            *(where, _counted(misfits, len(records))),
        )
        sizes = {misfit.file_name: misfit.pixels for misfit in misfits}
        records = [_sized(r, sizes.get(r["file_name"])) for r in records]
    return replace(dataset, records=records)


def boxes_fit(boxes: Sequence[Sequence[float]], size: tuple[int, int]) -> bool:
    """Return True if all boxes (N, 4) XYXY lie within (H, W), up to `SLACK_PIXELS`."""
    height, width = size
    return all(x2 <= width + SLACK_PIXELS and y2 <= height + SLACK_PIXELS for _, _, x2, y2 in boxes)


def _compared(records: Sequence[Record], where: str) -> tuple[list[Record], list[Misfit]]:
    """Return the records, with provably wrong sizes corrected, and the images that do not fit."""
    kinds: list[str] = []
    headers: list[ImageHeader | None] = []
    for record in with_progress(records, "read headers"):
        header = _header(record)
        headers.append(header)
        kinds.append(FITS if header is None else _kind(record, header))
    exchanged = [
        record
        for record, kind in zip(records, kinds, strict=True)
        if kind == EXCHANGED and record.get("annotations")
    ]
    few = len(exchanged) <= FEW_SHARE * len(records)
    corrected = _boxes_tell_exchange(exchanged, few=few)
    if exchanged and corrected:
        logger.warning(
            "%s: %d images have width and height exchanged, as their pixels and boxes show; "
            "the sizes are corrected",
            *(where, len(exchanged)),
        )
    checked, misfits = [], []
    for record, header, kind in zip(records, headers, kinds, strict=True):
        if header is None or kind == FITS:
            checked.append(record)
        elif not record.get("annotations") or (kind == EXCHANGED and corrected):
            checked.append(_sized(record, header.upright))
        else:
            checked.append(record)
            labelled = record["height"], record["width"]
            misfits.append(Misfit(record["file_name"], labelled, header.upright, kind))
    return checked, misfits


def _kind(record: Record, header: ImageHeader) -> str:
    labelled = record["height"], record["width"]
    if labelled == header.upright:
        return FITS
    if labelled != header.upright[::-1]:
        return STORED if labelled == header.stored else RESIZED
    return STORED if labelled == header.stored else EXCHANGED


def _boxes_tell_exchange(records: Sequence[Record], *, few: bool) -> bool:
    """Return True if the boxes prove that width and height of the records are exchanged.

    Every box must fit the image with exchanged sides, and at least one box must not fit otherwise.

    Args: few: the records are so few that a slip is likely. Then the first condition suffices.
    """
    boxes = [([a["bbox"] for a in r["annotations"]], r) for r in records]
    right = all(boxes_fit(own, (r["width"], r["height"])) for own, r in boxes)
    return right and (few or any(not boxes_fit(own, (r["height"], r["width"])) for own, r in boxes))


def _counted(misfits: Sequence[Misfit], images: int) -> str:
    kinds = Counter(misfit.kind for misfit in misfits)
    more = f" ({', '.join(f'{n} {kind}' for kind, n in kinds.items())})" if len(kinds) > 1 else ""
    return (
        f"the labels of {len(misfits)} of {images} images{more} are in another frame, "
        f"first: {misfits[0]}"
    )


def _sized(record: Record, size: tuple[int, int] | None) -> Record:
    return record if size is None else {**record, "height": size[0], "width": size[1]}


def _header(record: Record) -> ImageHeader | None:
    """Return the header of an image, or None if there is nothing to compare.

    That is the case for a rendered scene, whose labels always fit, for a record of unknown size,
    and for a header that cannot be read.
    """
    if is_rendered(record["file_name"]) or not (record["height"] and record["width"]):
        return None
    return header_or_none(record["file_name"])
