"""Contact sheet of pseudo-label files: images with boxes and masks in one self-contained page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from markupsafe import Markup

from boxrefine_d2.data import ImageReadError, load_spec, read_image
from boxrefine_d2.errors import UserError, check_choice
from boxrefine_d2.files.atomic import atomic_text_file
from boxrefine_d2.progress import with_progress
from boxrefine_d2.pseudo_labels.export import LabelledImage

from .compared_files import SORTS, ComparedFile, ComparedImage, compare, read_label_file
from .rendering import render
from .sheet_tiles import LETTERS, tile

TITLE = "Pseudo labels at a glance"
SHOWN_IMAGES = 200

_ORDERS = {
    "score": "sorted by top score, highest first",
    "disagreement": "sorted by disagreement, largest first",
    "name": "sorted by name",
}
_FRAMES = (4 / 5, 3 / 2)  # smallest and largest width over height of a frame
_HIT_IOU = 0.5  # below it two boxes count as different objects, as in CorLoc


@dataclass(frozen=True)
class ContactSheet:
    """Contents of a page.

    Attributes:
        data: the dataset spec.
        records: number of images of the dataset.
        files: at most as many as there are `LETTERS`.
        images: images that a file lists, sorted.
        order: name in `SORTS`.
    """

    data: str
    records: int
    files: list[ComparedFile]
    images: list[ComparedImage]
    order: str


@dataclass(frozen=True)
class SheetSummary:
    """Numbers of images that were drawn and that failed."""

    drawn: int
    images: int
    not_drawn: int

    def __str__(self) -> str:
        return f"{self.drawn} of {self.images} images drawn, {self.not_drawn} failed"


def load_sheet(
    data: str,
    paths: Sequence[str],
    order: str | None = None,
    *,
    min_score: float | None = None,
    max_boxes: int | None = None,
) -> ContactSheet:
    """Read the files and the dataset, but no image.

    Args:
        order: name in `SORTS`; None for "disagreement" of several files, or "score" of one.
        min_score, max_boxes: choice of boxes, see `labelled_images`.
    Raises: UserError for files that are no pseudo-label files, or that are of other images.
    """
    if len(paths) > len(LETTERS):
        raise UserError(f"{len(paths)} files were given; a page shows at most {len(LETTERS)}")
    order = order or ("disagreement" if len(paths) > 1 else "score")
    check_choice("--sort", order, SORTS)
    if order == "disagreement" and len(paths) < 2:
        raise UserError("sorting by disagreement needs two or more files; name them with --input")
    files = [read_label_file(path, min_score=min_score, max_boxes=max_boxes) for path in paths]
    records = load_spec(data).records
    images = sorted(compare(files, records, data), key=SORTS[order])
    return ContactSheet(data, len(records), files, images, order)


def write_contact_sheet(
    path: str | Path, sheet: ContactSheet, shown: int = SHOWN_IMAGES, columns: int | None = None
) -> SheetSummary:
    """Draw the first `shown` images, with a progress bar, and write the page.

    Args: columns: tiles in a row of a wide screen; None for as many as fit.
    Raises: UserError if no image can be drawn or `path` cannot be written.
    """
    for value, unit in ((shown, "images"), (columns, "columns")):
        if value is not None and value < 1:
            raise UserError(f"{value} {unit} were asked for; give 1 or more")
    tiles: list[Markup] = []
    problems: dict[str, str] = {}
    for image in with_progress(sheet.images[:shown], "draw"):
        try:
            tiles.append(tile(image, _pixels(image)))
        except ImageReadError as error:
            problems[image.name] = error.reason
    if not tiles:
        name, reason = next(iter(problems.items()))
        raise UserError(f"none of the {len(problems)} images can be drawn; first: {name}: {reason}")
    page = _page(sheet, tiles, problems, columns)
    with atomic_text_file(path) as file:
        file.write(page)
    return SheetSummary(len(tiles), len(sheet.images), len(problems))


def _pixels(image: ComparedImage) -> np.ndarray:
    """Return the pixels of an image.

    Raises: ImageReadError if it cannot be read, or if the boxes are for another image size.
    """
    pixels = read_image(image.record["file_name"])
    height, width = pixels.shape[:2]
    for labelled in image.found:
        if labelled and (labelled.width, labelled.height) != (width, height):
            reason = (
                f"it has {width} x {height} pixels, and its boxes are for {labelled.width} x "
                f"{labelled.height}: the file is for another image size, or the image has changed"
            )
            raise ImageReadError(reason, path=image.name, reason=reason)
    return pixels


def _page(
    sheet: ContactSheet, tiles: Sequence[Markup], problems: Mapping[str, str], columns: int | None
) -> Markup:
    before = {name: reason for file in sheet.files for name, reason in file.failed.items()}
    labelled = [image for compared in sheet.images for image in compared.found if image]
    listed = {image.record["image_id"] for image in sheet.images}
    return render(
        "sheet/page.html",
        title=TITLE,
        verdict=_verdict(sheet, len(tiles)),
        files=len(sheet.files),
        images=len(sheet.images),
        tried=len(tiles) + len(problems),
        strangers=len({image_id for file in sheet.files for image_id in file.images} - listed),
        unlisted=sheet.records - len(listed),
        left_out={**before, **problems},
        file_table=_file_table(sheet.files),
        legend=render(
            "sheet/legend.html",
            names=[Path(file.path).name for file in sheet.files],
            letters=LETTERS,
            has_further=any(len(image.boxes) > 1 for image in labelled),
            has_masks=any(box.segmentation for image in labelled for box in image.boxes),
        ),
        columns=columns,
        frame=_frame(labelled),
        tiles=tiles,
    )


def _frame(images: Sequence[LabelledImage]) -> float:
    """Return width over height of the tiles: the median of the images, within `_FRAMES`."""
    usual = float(np.median([image.width / image.height for image in images]))
    return min(max(usual, _FRAMES[0]), _FRAMES[1])


def _verdict(sheet: ContactSheet, drawn: int) -> Markup:
    disagreements = [image.disagreement for image in sheet.images if image.disagreement is not None]
    return render(
        "sheet/verdict.html",
        drawn=drawn,
        images=len(sheet.images),
        data=sheet.data,
        order=_ORDERS[sheet.order],
        compared=len(disagreements),
        differing=sum(value > 1 - _HIT_IOU for value in disagreements),
        limit=1 - _HIT_IOU,
    )


def _file_table(files: Sequence[ComparedFile]) -> Markup:
    rows = []
    for file in files:
        boxes = [len(image.boxes) for image in file.images.values()]
        made = " ".join(str(file.info.get(key, "")) for key in ("method", "backbone")).strip()
        numbers = (len(boxes), sum(boxes), boxes.count(0), len(file.failed))
        rows.append({"path": file.path, "made": made, "numbers": numbers})
    heads = ("images", "boxes", "without box", "failed")
    return render("sheet/files.html", files=rows, heads=heads, letters=LETTERS)
