"""The export formats by name, and the function that writes them."""

from dataclasses import dataclass
from pathlib import Path

from boxrefine_d2.data.pseudo_label_file import read_pseudo_labels
from boxrefine_d2.errors import check_choice

from .coco import COCO
from .format import Export, Format
from .labelled_images import labelled_images
from .masks import MASKS
from .output_folder import whole_folder
from .table import CSV
from .voc import VOC
from .yolo import YOLO

FORMATS: dict[str, Format] = {"yolo": YOLO, "voc": VOC, "csv": CSV, "masks": MASKS, "coco": COCO}


@dataclass(frozen=True)
class ExportSummary:
    """Counts of an export.

    Attributes: left_out: number of boxes that were not written, because of `min_score` or
        `max_boxes`, or because they lie outside their image.
    """

    images: int
    boxes: int
    files: int
    images_without_boxes: int
    left_out: int

    def __str__(self) -> str:
        line = (
            f"{self.images} images, {self.boxes} boxes, {self.files} files written, "
            f"{self.images_without_boxes} images without boxes"
        )
        return f"{line}, {self.left_out} boxes left out" if self.left_out else line


def export_labels(
    source: str | Path,
    name: str,
    output: str | Path,
    *,
    min_score: float | None = None,
    max_boxes: int | None = None,
    overwrite: bool = False,
) -> ExportSummary:
    """Write a pseudo-label file in another format, into a folder that is whole or absent.

    The output folder is checked before the source is read.

    Args:   name: a key of `FORMATS`.  min_score: boxes of lower scores are left out.
            max_boxes: most boxes per image; those of the highest scores stay.
            overwrite: replace an earlier export of this format.
    Raises: UserError for an unknown format, a source that is not a pseudo-label file or does not
            fit the format, and an output that exists or cannot be written.
    """
    check_choice("format", name, FORMATS)
    chosen = FORMATS[name]
    with whole_folder(
        output,
        replaceable=chosen.entries,
        overwrite=overwrite,
        is_own=chosen.is_own,
        source=source,
    ) as folder:
        labels = read_pseudo_labels(source)
        images = labelled_images(labels, str(source), min_score=min_score, max_boxes=max_boxes)
        names = {category["id"]: category["name"] for category in labels.categories}
        chosen.write(Export(str(source), images, Path(output).resolve(), names), folder)
        files = sum(path.is_file() for path in folder.rglob("*"))
    boxes = sum(len(image.boxes) for image in images)
    empty = sum(not image.boxes for image in images)
    return ExportSummary(len(images), boxes, files, empty, len(labels.annotations) - boxes)
