"""The pseudo-label file: a COCO data set file with the boxes that a discovery rule found.

    info         method, its parameters, backbone, SHA-256 of the weights, package version,
                 images requested and failed, ...
    images       id, file_name (relative to the data set's folder), width, height: as in the source
    annotations  id (1..n), image_id, category_id 1, bbox [x, y, w, h], area, iscrowd 0, score,
                 segmentation (compressed RLE) if the rule returns masks
    categories   [{"id": 1, "name": "object"}]; with class labels, the classes of the images, one of
                 which is the category_id of an annotation

Boxes are in pixels of the original image. Equal content gives equal bytes.
"""

import json
import math
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from detectron2.structures import BoxMode
from pycocotools import mask as mask_codec

from boxrefine_d2.errors import UserError
from boxrefine_d2.files.atomic import atomic_text_file
from boxrefine_d2.files.values import shown_value

from .datasets.coco import read_coco_document, xyxy_of
from .pseudo_categories import (
    OBJECT_CATEGORIES,
    SOFTWARE,
    Category,
    categories_of,
    categories_problem,
)
from .pseudo_label_checks import image_problem, label_problem
from .records import Record

_IMAGE_KEYS = ("id", "file_name", "width", "height")
_MAX_INFO_BYTES = 2**28  # `info` is long if many images failed, because it lists them
_ANNOTATION_KEYS = (
    "id",
    "image_id",
    "category_id",
    "bbox",
    "area",
    "iscrowd",
    "score",
    "segmentation",
)


@dataclass(frozen=True)
class PseudoLabels:
    """The content of a pseudo-label file, as plain JSON values."""

    images: list[dict[str, Any]]
    annotations: list[dict[str, Any]]
    info: dict[str, Any]
    categories: Sequence[Category] = field(default=OBJECT_CATEGORIES)


def write_pseudo_labels(
    path: str | os.PathLike[str],
    *,
    images: Iterable[Mapping[str, Any]],
    annotations: Iterable[Mapping[str, Any]],
    info: Mapping[str, Any],
    categories: Sequence[Category] = OBJECT_CATEGORIES,
) -> None:
    """Write a pseudo-label file, whole or not at all.

    Images are sorted by ascending id. Annotations follow the order of their images; the annotations
    of one image keep the given order (best box first). This function numbers the annotation ids
    1..n and ignores given ids. Keys outside the format follow the keys of the format, sorted.
    Numbers and arrays of NumPy and torch are accepted everywhere.

    Args:   images: mappings with id, file_name, width, height.
            annotations: mappings with image_id, bbox [x, y, w, h], score, and optionally
            segmentation (RLE, counts str or bytes) and area. The default area is that of the
            segmentation, or of the box if there is no segmentation.
            info: any value that JSON can hold; its keys are sorted.
            categories: {id, name} of each category. With the one "object", given category ids are
            ignored; otherwise each annotation has one's id, and `info` holds `SOFTWARE`.
    Raises: ValueError for content that is not a pseudo-label file (an unknown image_id, a box
            without area, a number that is not finite). UserError if the operating system refuses to
            write. In both cases an earlier file at `path` stays unchanged.
    """
    image_entries = sorted(
        (_plain(image) for image in images), key=lambda image: id_order(image["id"])
    )
    position = {image["id"]: index for index, image in enumerate(image_entries)}
    if len(position) != len(image_entries):
        raise ValueError("two images of a pseudo-label file have the same id")
    entries = [_plain(annotation) for annotation in annotations]
    for entry in entries:
        if entry["image_id"] not in position:
            raise ValueError(
                f"a pseudo label has image_id {entry['image_id']!r}, and no image has this id"
            )
    entries.sort(key=lambda entry: position[entry["image_id"]])
    write_ordered_pseudo_labels(
        path, images=image_entries, annotations=entries, info=info, categories=categories
    )


def write_ordered_pseudo_labels(
    path: str | os.PathLike[str],
    *,
    images: Iterable[Mapping[str, Any]],
    annotations: Iterable[Mapping[str, Any]],
    info: Mapping[str, Any],
    categories: Sequence[Category] = OBJECT_CATEGORIES,
) -> None:
    """Write a pseudo-label file, as `write_pseudo_labels` does, from ordered content.

    The function reads each iterable once and keeps none of it in memory.

    Args:   images: sorted by `id_order` of their unique ids.
            annotations: in the order of their images.
    """
    problem = _class_problem(categories, info)
    if problem:
        raise ValueError(f"a pseudo-label file cannot have these categories: {problem}")
    with atomic_text_file(path) as file:
        file.write('{"info": ' + json.dumps(_plain(info), sort_keys=True, allow_nan=False))
        for name, lines in (
            ("images", (_line(_plain(image), _IMAGE_KEYS) for image in images)),
            ("annotations", _annotation_lines(annotations, categories)),
            ("categories", (_line(_plain(category), ("id", "name")) for category in categories)),
        ):
            file.write(f',\n"{name}": [')
            file.writelines(_comma_separated(lines))
            file.write("]")
        file.write("}\n")


def read_info(path: str | os.PathLike[str]) -> dict[str, Any] | None:
    """Return the `info` of a file that `write_pseudo_labels` wrote, or None for any other file.

    Such a file has its `info` on the first line, and only that line is read.
    """
    try:
        with open(path, "rb") as file:
            line = file.readline(_MAX_INFO_BYTES)
        info = json.loads(line.rstrip(b",\n") + b"}")["info"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return info if isinstance(info, dict) else None


def read_pseudo_labels(path: str | os.PathLike[str]) -> PseudoLabels:
    """Return the checked content of a pseudo-label file.

    Raises: UserError with a one-line message for any other file: a file that is not JSON,
            categories other than the one "object", an annotation without a valid box or with an
            unknown image, or an id that occurs twice.
    """
    source = Path(path)
    document = read_coco_document(source, "pseudo-label file")
    if "annotations" not in document:
        raise UserError(f"pseudo-label file {str(source)!r} has no 'annotations'")
    categories = categories_of(document)
    if categories is None:
        raise UserError(
            f"{str(source)!r} is not a pseudo-label file: its categories must be the one "
            "[{id 1, name 'object'}], or classes in a file of boxrefine; for ground truth with its "
            "own categories, write coco:JSON:DIR"
        )
    where = f"pseudo-label file {str(source)!r}"
    for image in document["images"]:
        problem = image_problem(image)
        if problem:
            raise UserError(f"{where}: {problem}")
    ids = [image["id"] for image in document["images"]]
    known = set(ids)
    if len(known) != len(ids):
        raise UserError(f"{where}: {len(ids) - len(known)} image ids occur more than once")
    category_ids = {category["id"] for category in categories}
    for index, entry in enumerate(document["annotations"]):
        problem = label_problem(entry, known, category_ids)
        if problem:
            which = shown_value(entry.get("id", f"number {index}"))
            raise UserError(f"{where}: annotation {which} {problem}")
    info = document.get("info", {})
    return PseudoLabels(
        document["images"],
        document["annotations"],
        info if isinstance(info, dict) else {},
        categories,
    )


def to_detectron2(annotation: Mapping[str, Any], category: int = 0) -> Record:
    """Convert one annotation of a pseudo-label file to a Detectron2 annotation.

    The result has an XYXY box, and keeps score and segmentation.

    Args: category: its category, contiguous from 0.
    """
    converted: Record = {
        "bbox": xyxy_of(annotation["bbox"]),
        "bbox_mode": BoxMode.XYXY_ABS,
        "category_id": category,
        "iscrowd": 0,
    }
    converted.update(
        {key: annotation[key] for key in ("score", "segmentation") if key in annotation}
    )
    return converted


def _class_problem(categories: Sequence[Category], info: Mapping[str, Any]) -> str | None:
    if [*categories] != [*OBJECT_CATEGORIES] and not SOFTWARE.items() <= info.items():
        return f"`info` lacks {SOFTWARE}"
    return categories_problem(categories)


def _annotation_entry(annotation: dict[str, Any], categories: Collection[int]) -> dict[str, Any]:
    box = annotation["bbox"]
    corners = xyxy_of(box)
    if corners is None or corners[2] <= corners[0] or corners[3] <= corners[1]:
        raise ValueError(f"a pseudo label of image {annotation['image_id']!r} has the bbox {box!r}")
    score = annotation["score"]
    if not math.isfinite(score):
        raise ValueError(
            f"a pseudo label of image {annotation['image_id']!r} has the score {score!r}"
        )
    category_id = annotation.get("category_id") if len(categories) > 1 else [*categories][0]
    if category_id not in categories:
        raise ValueError(
            f"a pseudo label of image {annotation['image_id']!r} has category_id {category_id!r}"
        )
    entry = {
        **annotation,
        "category_id": category_id,
        "iscrowd": 0,
        "bbox": [float(number) for number in box],
    }
    entry["score"] = float(score)
    if entry.get("area") is None:
        mask = entry.get("segmentation")
        entry["area"] = (
            float(mask_codec.area(mask))
            if isinstance(mask, dict) and isinstance(mask.get("counts"), str | bytes)
            else entry["bbox"][2] * entry["bbox"][3]
        )
    return entry


def _plain(value: Any) -> Any:
    """Return a value as plain JSON values.

    NumPy and torch numbers and arrays, tuples, and bytes (of RLE counts) are converted.
    """
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, bytes):
        return value.decode("ascii")
    return value


def _annotation_lines(
    annotations: Iterable[Mapping[str, Any]], categories: Sequence[Category]
) -> Iterator[str]:
    ids = [category["id"] for category in categories]
    for number, annotation in enumerate(annotations, start=1):
        entry = _annotation_entry(_plain(annotation), ids)
        yield _line(entry | {"id": number}, _ANNOTATION_KEYS)


def _line(entry: Mapping[str, Any], first_keys: tuple[str, ...]) -> str:
    keys = [key for key in first_keys if key in entry] + sorted(set(entry) - set(first_keys))
    return json.dumps({key: entry[key] for key in keys}, allow_nan=False)


def _comma_separated(lines: Iterator[str]) -> Iterator[str]:
    for index, line in enumerate(lines):
        yield f"{',' if index else ''}\n{line}"


def id_order(image_id: int | str) -> tuple[bool, int | str]:
    """Return the sort key of an image id: numbers come before strings."""
    return isinstance(image_id, str), image_id
