"""A contact sheet of pseudo-label files: pictures with boxes and masks, in one page that needs nothing but itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from boxrefine_d2.data import ImageReadError, load_spec, read_image
from boxrefine_d2.errors import UserError, check_choice
from boxrefine_d2.files.atomic import atomic_text_file
from boxrefine_d2.progress import with_progress
from boxrefine_d2.pseudo_labels.export import LabelledImage

from .compared_files import SORTS, ComparedFile, ComparedImage, compare, read_label_file
from .frame import framed, section
from .page_text import escape
from .sheet_tiles import LETTERS, legend, tile
from .tables import fact_table

TITLE = "Pseudo labels at a glance"
SHOWN_IMAGES = 200

_ORDERS = {
    "score": "sorted by top score, highest first",
    "disagreement": "sorted by disagreement, largest first",
    "name": "sorted by name",
}
_FRAMES = (4 / 5, 3 / 2)  # the narrowest and the flattest frame
_HIT_IOU = 0.5  # below it two boxes are said to be of different things, as in CorLoc


@dataclass(frozen=True)
class ContactSheet:
    """What a page can show.

    Attributes:
        data: the dataset spec.
        records: how many images the data set has.
        files: as many as there are `LETTERS`, or fewer.
        images: those that a file lists, sorted.
        order: a name in `SORTS`.
    """

    data: str
    records: int
    files: list[ComparedFile]
    images: list[ComparedImage]
    order: str


@dataclass(frozen=True)
class SheetSummary:
    """What was drawn."""

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
    """Reads the files and the data set; no picture.

    Args:   order: a name in `SORTS`; by default "disagreement" of several files, "score" of one.
            min_score, max_boxes: which boxes of an image count, as in `labelled_images`.
    Raises: UserError for what are no pseudo-label files, or files of other images.
    """
    if len(paths) > len(LETTERS):
        raise UserError(f"{len(paths)} files were given; a page can tell {len(LETTERS)} apart")
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
    """Draws the first `shown` images, with a progress bar, and writes the page.

    Args:   columns: tiles in a row of a wide screen; by default as many as fit.
    Raises: UserError if no image can be drawn or `path` cannot be written.
    """
    for value, what in ((shown, "images"), (columns, "columns")):
        if value is not None and value < 1:
            raise UserError(f"{value} {what} were asked for; give 1 or more")
    tiles: list[str] = []
    problems: dict[str, str] = {}
    for image in with_progress(sheet.images[:shown], "draw"):
        try:
            tiles.append(tile(image, _picture(image)))
        except ImageReadError as error:
            problems[image.name] = error.reason
    if not tiles:
        name, reason = next(iter(problems.items()))
        raise UserError(f"none of the {len(problems)} images can be drawn; first: {name}: {reason}")
    page = _page(sheet, tiles, problems, columns)
    with atomic_text_file(path) as file:
        file.write(page)
    return SheetSummary(len(tiles), len(sheet.images), len(problems))


def _picture(image: ComparedImage) -> np.ndarray:
    """The pixels. Raises `ImageReadError`, also if they are not of the size that the boxes are for."""
    picture = read_image(image.record["file_name"])
    height, width = picture.shape[:2]
    for found in image.found:
        if found and (found.width, found.height) != (width, height):
            reason = (
                f"it has {width} x {height} pixels, and its boxes are of {found.width} x {found.height}: of another frame, "
                "or it has changed since"
            )
            raise ImageReadError(reason, path=image.name, reason=reason)
    return picture


def _page(
    sheet: ContactSheet, tiles: Sequence[str], problems: Mapping[str, str], columns: int | None
) -> str:
    before = {name: reason for file in sheet.files for name, reason in file.failed.items()}
    left_out = {**before, **problems}
    found = [image for compared in sheet.images for image in compared.found if image]
    style = f"--frame:{_frame(found):.3f}" + (f";--columns:{columns}" if columns else "")
    layout = f'class="tiles{" fixed" if columns else ""}" style="{style}"'
    key = legend(
        _names(sheet.files),
        any(len(image.boxes) > 1 for image in found),
        any(box.segmentation for image in found for box in image.boxes),
    )
    return framed(
        TITLE,
        _verdict(sheet, len(tiles)),
        _notes(sheet, len(tiles) + len(problems), len(left_out)),
        [
            section("files", "Files", _file_table(sheet.files)),
            section("images", "Images", f"{key}<div {layout}>{''.join(tiles)}</div>"),
            _problem_section(left_out),
        ],
        "contact_sheet.css",
    )


def _frame(images: Sequence[LabelledImage]) -> float:
    """Width over height of the frames that pictures are fitted into: the usual one, neither flat nor narrow."""
    usual = float(np.median([image.width / image.height for image in images]))
    return min(max(usual, _FRAMES[0]), _FRAMES[1])


def _verdict(sheet: ContactSheet, drawn: int) -> str:
    share = "All" if drawn == len(sheet.images) else f"<b>{drawn}</b> of"
    text = f"{share} <b>{len(sheet.images)}</b> images of <code>{escape(sheet.data)}</code>, {_ORDERS[sheet.order]}."
    apart = [image.disagreement for image in sheet.images if image.disagreement is not None]
    if not apart:
        return text
    differing = sum(value > 1 - _HIT_IOU for value in apart)
    return (
        f"{text} On <b>{differing}</b> of the {len(apart)} images in two files or more, disagreement is above "
        f"{1 - _HIT_IOU}: their top boxes are hardly the same object."
    )


def _notes(sheet: ContactSheet, tried: int, left_out: int) -> str:
    notes = []
    if len(sheet.files) > 1:
        notes.append(
            "Disagreement, the number at the right of a name, is 1 − IoU of the files' top boxes, the mean over pairs "
            "of files: 0 where they are the same box, 1 where they do not meet or only one file has a box. Scores are "
            "comparable within one method only."
        )
    else:
        notes.append("The number at the right of a name is the score of the top box.")
    if tried < len(sheet.images):
        notes.append(
            "The first images in this order are shown; <code>--images N</code> shows more."
        )
    listed = {image.record["image_id"] for image in sheet.images}
    strangers = len({image_id for file in sheet.files for image_id in file.images} - listed)
    if strangers:
        notes.append(f"{strangers} images in the files are not in this data set and not here.")
    if sheet.records > len(listed):
        where = "in none of the files" if sheet.files[1:] else "not in the file"
        notes.append(f"{sheet.records - len(listed)} images of the data set are {where}.")
    text = f'<p class="soft">{" ".join(notes)}</p>'
    if left_out:
        counted = "1 image" if left_out == 1 else f"{left_out} images"
        text += f'<p class="warning">{counted} could not be read; <a href="#problems">the reasons</a> are at the end.</p>'
    return text


def _names(files: Sequence[ComparedFile]) -> list[str]:
    if len(files) == 1:
        return ["top box"]
    return [
        f'<span><span class="chip file-{index}">{LETTERS[index]}</span> {escape(Path(file.path).name)}</span>'
        for index, file in enumerate(files)
    ]


def _file_table(files: Sequence[ComparedFile]) -> str:
    heads = ("images", "boxes", "without box", "failed")
    rows = []
    for index, file in enumerate(files):
        boxes = [len(image.boxes) for image in file.images.values()]
        made = " ".join(str(file.info.get(key, "")) for key in ("method", "backbone")).strip()
        numbers = (len(boxes), sum(boxes), boxes.count(0), len(file.failed))
        cells = "".join(
            f'<td class="num seed" data-seed="{head}">{value}</td>'
            for head, value in zip(heads, numbers, strict=True)
        )
        chip = f'<span class="chip file-{index}">{LETTERS[index]}</span> ' if files[1:] else ""
        rows.append(
            f'<tr><th scope="row">{chip}{escape(file.path)}<span class="why">{escape(made)}</span></th>{cells}</tr>'
        )
    columns = "".join(f'<th scope="col" class="num">{head}</th>' for head in heads)
    return (
        f'<div class="scroll"><table class="stack record"><thead><tr><th scope="col">file</th>{columns}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _problem_section(problems: Mapping[str, str]) -> str:
    if not problems:
        return ""
    return section("problems", "Images that could not be read", fact_table(problems))
