"""The frame of labels held against the pixels of their images: the one place for every command that joins the two.

Boxes and masks are in pixels of the image as a viewer shows it, after EXIF orientation. Labels of pixels as they are
stored, or of resized copies, lie elsewhere. The size that labels give for their image tells; where width and height are
only exchanged in the file and the boxes prove it, the size is corrected.
"""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from boxrefine_d2.errors import UserError
from boxrefine_d2.progress import with_progress

from .images import SCENES_PREFIX, ImageHeader, header_or_none
from .records import LoadedDataset, Record

logger = logging.getLogger(__name__)

SLACK_PIXELS = 1.0  # that a box may leave its image by: tools round
FEW_SHARE = 0.01  # of a data set's images, whose width and height are exchanged by a slip

FITS, EXCHANGED, STORED, RESIZED = "fits", "exchanged", "stored", "resized"
_REASONS = {
    EXCHANGED: "width and height are exchanged, and the boxes do not tell which is right",
    STORED: "the labels are of the pixels as stored, before EXIF orientation",
    RESIZED: "the labels are of a resized copy or of another image",
}
_REMEDY = "label the images as a viewer shows them, or turn and resize the files themselves; images alone are folder:DIR"


@dataclass(frozen=True)
class Misfit:
    """An image whose labels are of another frame.

    Attributes: labelled, pixels: (H, W).  kind: `EXCHANGED`, `STORED` or `RESIZED`.
    """

    file_name: str
    labelled: tuple[int, int]
    pixels: tuple[int, int]
    kind: str

    def __str__(self) -> str:
        sizes = [f"{width} x {height}" for height, width in (self.labelled, self.pixels)]
        return f"{self.file_name!r} has {sizes[1]} pixels and labels of {sizes[0]}: {_REASONS[self.kind]}"


def in_pixel_frame(dataset: LoadedDataset, where: str) -> LoadedDataset:
    """Return the data set with every size that of its image's pixels, for a command that uses the labels.

    The header of each image is read once, with a progress bar. An image whose header cannot be read stays as it is:
    whoever reads the image reports it. Of an image without labels only the size is corrected.

    Args:   where: the dataset spec, for messages.
    Raises: UserError if the labels of any image are of another frame.
    """
    records, misfits = _compared(dataset.records, where)
    if misfits:
        raise UserError(f"{where}: {_counted(misfits, len(records))}; {_REMEDY}")
    return replace(dataset, records=records)


def with_pixel_sizes(dataset: LoadedDataset, where: str) -> LoadedDataset:
    """Return the data set with every size that of its image's pixels, for a command that reads images alone.

    A warning counts the images whose labels are of another frame: what is found is in the frame of the pixels.
    """
    records, misfits = _compared(dataset.records, where)
    if misfits:
        logger.warning(
            "%s: %s; boxes are found in the frame of the pixels, and scores against these labels would be wrong",
            *(where, _counted(misfits, len(records))),
        )
        sizes = {misfit.file_name: misfit.pixels for misfit in misfits}
        records = [_sized(r, sizes.get(r["file_name"])) for r in records]
    return replace(dataset, records=records)


def boxes_fit(boxes: Sequence[Sequence[float]], size: tuple[int, int]) -> bool:
    """Whether all boxes (N, 4) XYXY lie within an image of the size (H, W), rounding allowed."""
    height, width = size
    return all(x2 <= width + SLACK_PIXELS and y2 <= height + SLACK_PIXELS for _, _, x2, y2 in boxes)


def _compared(records: Sequence[Record], where: str) -> tuple[list[Record], list[Misfit]]:
    """The records with sizes that are wrong for certain corrected, and the images whose labels do not fit."""
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
            "%s: %d images have width and height exchanged, by their pixels and boxes; read the right way",
            *(where, len(exchanged)),
        )
    found, misfits = [], []
    for record, header, kind in zip(records, headers, kinds, strict=True):
        if header is None or kind == FITS:
            found.append(record)
        elif not record.get("annotations") or (kind == EXCHANGED and corrected):
            found.append(_sized(record, header.upright))
        else:
            found.append(record)
            labelled = record["height"], record["width"]
            misfits.append(Misfit(record["file_name"], labelled, header.upright, kind))
    return found, misfits


def _kind(record: Record, header: ImageHeader) -> str:
    labelled = record["height"], record["width"]
    if labelled == header.upright:
        return FITS
    if labelled != header.upright[::-1]:
        return STORED if labelled == header.stored else RESIZED
    return STORED if labelled == header.stored else EXCHANGED


def _boxes_tell_exchange(records: Sequence[Record], *, few: bool) -> bool:
    """Whether every box fits the image with its sides the other way round, and one of them only so.

    Args: few: they are so few of a data set that it is a slip, and it is enough that every box fits.
    """
    boxes = [([a["bbox"] for a in r["annotations"]], r) for r in records]
    right = all(boxes_fit(own, (r["width"], r["height"])) for own, r in boxes)
    return right and (few or any(not boxes_fit(own, (r["height"], r["width"])) for own, r in boxes))


def _counted(misfits: Sequence[Misfit], images: int) -> str:
    kinds = Counter(misfit.kind for misfit in misfits)
    more = f" ({', '.join(f'{n} {kind}' for kind, n in kinds.items())})" if len(kinds) > 1 else ""
    return f"the labels of {len(misfits)} of {images} images{more} are of another frame, first: {misfits[0]}"


def _sized(record: Record, size: tuple[int, int] | None) -> Record:
    return record if size is None else {**record, "height": size[0], "width": size[1]}


def _header(record: Record) -> ImageHeader | None:
    """None for a rendered scene, whose labels are its own, for an unknown size and a header that cannot be read."""
    is_rendered = record["file_name"].startswith(SCENES_PREFIX)
    if is_rendered or not (record["height"] and record["width"]):
        return None
    return header_or_none(record["file_name"])
