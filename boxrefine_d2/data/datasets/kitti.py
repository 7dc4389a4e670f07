"""Loader of KITTI's object benchmark (Geiger et al., CVPR 2012): label_2/*.txt, image_2/*.png."""

import logging
import os
from pathlib import Path

from boxrefine_d2.errors import UserError
from boxrefine_d2.files.inputs import read_text
from boxrefine_d2.files.values import coordinates_of_words, shown_value

from ..image_files import ImageFinder
from ..images import header_size
from ..records import LoadedDataset, Record, box_annotation

KITTI_TYPES = (
    "Car", "Van", "Truck", "Pedestrian", "Person_sitting", "Cyclist", "Tram", "Misc", "DontCare",
)  # fmt: skip
IGNORED_TYPE = "DontCare"

logger = logging.getLogger(__name__)


def load_kitti(root: str | os.PathLike[str]) -> LoadedDataset:
    """Return the records of all labelled images, by name. `image_id` is the name ("000000").

    A label states left, top, right and bottom in pixels from 0, with decimals. KITTI's own
    evaluation takes right - left as the width, and therefore the coordinates are not changed. A
    DontCare region is a crowd (`iscrowd` 1): objects in it were not labelled, and detections in it
    count neither as right nor as wrong. DontCare is the last category; with +agnostic it is a crowd
    of "object". All other types are objects, including Misc and objects that are mostly occluded or
    truncated.

    Args:   root: folder `training` of the benchmark.
    Raises: UserError for a missing folder, a line that is not a label, or an unknown type.
    """
    labels, images = Path(root) / "label_2", Path(root) / "image_2"
    for folder in (labels, images):
        if not os.path.isdir(folder):
            raise UserError(f"KITTI folder {str(folder)!r} does not exist")
    paths = sorted(labels.glob("*.txt"))
    if not paths:
        raise UserError(f"KITTI folder {str(labels)!r} holds no label file (000000.txt, ...)")
    finder = ImageFinder(images, by_stem=True)
    records = [_load_record(path, finder) for path in paths]
    finder.report(labels)
    unlabelled = {image.stem for image in images.glob("*.png")} - {path.stem for path in paths}
    if unlabelled:
        logger.warning("%s: %d images have no label file and are left out", images, len(unlabelled))
    return LoadedDataset(records, list(KITTI_TYPES), list(range(1, len(KITTI_TYPES) + 1)))


def _load_record(path: Path, finder: ImageFinder) -> Record:
    lines = read_text(path, "KITTI label").split("\n")
    image = finder.folder / finder.find(f"{path.stem}.png")
    height, width = header_size(image)
    return {
        "file_name": str(image),
        "relative_name": f"{image.parent.name}/{image.name}",
        "image_id": path.stem,
        "height": height,
        "width": width,
        "annotations": [
            _annotation(line.split(), f"KITTI label {str(path)!r}, line {number}")
            for number, line in enumerate(lines, start=1)
            if line.strip()
        ],
    }


def _annotation(words: list[str], where: str) -> Record:
    """Return the annotation of one label line.

    Its words are type, truncated, occluded, alpha, left, top, right, bottom and seven numbers of
    the object in 3-D space.
    """
    if len(words) != 15:
        raise UserError(f"{where} has {len(words)} words; a label has 15")
    if words[0] not in KITTI_TYPES:
        raise UserError(
            f"{where} has the type {shown_value(words[0])}; known: {', '.join(KITTI_TYPES)}"
        )
    box = coordinates_of_words(words[4:8])
    if box is None:
        raise UserError(
            f"{where} has the box {shown_value(' '.join(words[4:8]))}; it must be four numbers"
        )
    ignored = words[0] == IGNORED_TYPE
    return box_annotation(box, KITTI_TYPES.index(words[0]), iscrowd=int(ignored))
