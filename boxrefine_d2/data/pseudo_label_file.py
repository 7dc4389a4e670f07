"""The pseudo-label file: a COCO data set file with the boxes that a discovery rule found.

    info         method, its parameters, backbone, SHA-256 of the weights, package version,
                 images requested and failed, ...
    images       id, file_name (relative to the data set's folder), width, height: as in the source
    annotations  id (1..n), image_id, category_id 1, bbox [x, y, w, h], area, iscrowd 0, score,
                 segmentation (compressed RLE) if the rule returns masks
    categories   [{"id": 1, "name": "object"}]

Boxes are in pixels of the original image. Equal content gives equal bytes.
"""

import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detectron2.structures import BoxMode
from pycocotools import mask as mask_codec

from boxrefine_d2.errors import UserError
from boxrefine_d2.files.atomic import atomic_text_file
from boxrefine_d2.files.values import (
    is_file_name,
    is_id,
    is_number,
    is_whole,
    shown_value,
    size_problem,
)

from .datasets.coco import read_coco_document, xyxy_of
from .records import Record

OBJECT_ID, OBJECT_NAME = 1, "object"
_OBJECT_CATEGORY = {"id": OBJECT_ID, "name": OBJECT_NAME}
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


def write_pseudo_labels(
    path: str | os.PathLike[str],
    *,
    images: Iterable[Mapping[str, Any]],
    annotations: Iterable[Mapping[str, Any]],
    info: Mapping[str, Any],
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
    write_ordered_pseudo_labels(path, images=image_entries, annotations=entries, info=info)


def write_ordered_pseudo_labels(
    path: str | os.PathLike[str],
    *,
    images: Iterable[Mapping[str, Any]],
    annotations: Iterable[Mapping[str, Any]],
    info: Mapping[str, Any],
) -> None:
    """Write a pseudo-label file, as `write_pseudo_labels` does, from ordered content.

    The function reads each iterable once and keeps none of it in memory.

    Args:   images: sorted by `id_order` of their unique ids.
            annotations: in the order of their images.
    """
    with atomic_text_file(path) as file:
        file.write('{"info": ' + json.dumps(_plain(info), sort_keys=True, allow_nan=False))
        for name, lines in (
            ("images", (_line(_plain(image), _IMAGE_KEYS) for image in images)),
            ("annotations", _annotation_lines(annotations)),
            ("categories", iter([_line(_OBJECT_CATEGORY, ("id", "name"))])),
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
    if [category.get("id") for category in document.get("categories", [])] != [OBJECT_ID]:
        raise UserError(
            f"{str(source)!r} is not a pseudo-label file: its categories must be the one "
            "[{id 1, name 'object'}]; for ground truth with its own categories, write coco:JSON:DIR"
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
    for index, entry in enumerate(document["annotations"]):
        problem = label_problem(entry, known)
        if problem:
            which = shown_value(entry.get("id", f"number {index}"))
            raise UserError(f"{where}: annotation {which} {problem}")
    info = document.get("info", {})
    return PseudoLabels(
        document["images"], document["annotations"], info if isinstance(info, dict) else {}
    )


def to_detectron2(annotation: Mapping[str, Any]) -> Record:
    """Convert one annotation of a pseudo-label file to a Detectron2 annotation.

    The result has an XYXY box and category 0, and keeps score and segmentation.
    """
    converted: Record = {
        "bbox": xyxy_of(annotation["bbox"]),
        "bbox_mode": BoxMode.XYXY_ABS,
        "category_id": 0,
        "iscrowd": 0,
    }
    converted.update(
        {key: annotation[key] for key in ("score", "segmentation") if key in annotation}
    )
    return converted


def image_problem(image: dict[str, Any]) -> str | None:
    """Return the problem with an image entry, or None if it is valid. Its size may be unknown."""
    image_id, name = image.get("id"), image.get("file_name")
    if not is_id(image_id):
        return f"an image has the id {shown_value(image_id)}; it must be an integer or a string"
    if not isinstance(name, str):
        return f"image {image_id!r} has no 'file_name'"
    if name and not is_file_name(name):
        return f"image {image_id!r} has the file_name {shown_value(name)}, which no file can have"
    problem = size_problem(image)
    return f"image {image_id!r} {problem}" if problem else None


def label_problem(entry: dict[str, Any], known: set[int | str]) -> str | None:
    """Return the problem with an annotation, or None if it is valid.

    This function does not decode masks. The users of a mask check it.

    Args: known: ids of the images of the file.
    """
    image_id = entry.get("image_id")
    if not is_id(image_id) or image_id not in known:
        return f"has image_id {shown_value(image_id)}, and no image has this id"
    box = xyxy_of(entry.get("bbox"))
    if box is None or box[2] <= box[0] or box[3] <= box[1]:
        return (
            f"has the bbox {shown_value(entry.get('bbox'))}; "
            "it must be [x, y, w, h] with w and h above 0"
        )
    category_id = entry.get("category_id", OBJECT_ID)
    if not is_whole(category_id) or category_id != OBJECT_ID:
        return f"has category_id {shown_value(category_id)}; it must be 1"
    score, area = entry.get("score", 1.0), entry.get("area")
    if not is_number(score):
        return f"has the score {shown_value(score)}; it must be a finite number"
    if area is not None and not is_number(area):
        return f"has the area {shown_value(area)}; it must be a finite number"
    segmentation = entry.get("segmentation")
    if segmentation is not None and not isinstance(segmentation, (dict, list)):
        return "has a segmentation that is neither RLE nor polygons"
    return None


def _annotation_entry(annotation: dict[str, Any]) -> dict[str, Any]:
    box = annotation["bbox"]
    corners = xyxy_of(box)
    if corners is None or corners[2] <= corners[0] or corners[3] <= corners[1]:
        raise ValueError(f"a pseudo label of image {annotation['image_id']!r} has the bbox {box!r}")
    score = annotation["score"]
    if not math.isfinite(score):
        raise ValueError(
            f"a pseudo label of image {annotation['image_id']!r} has the score {score!r}"
        )
    entry = {
        **annotation,
        "category_id": OBJECT_ID,
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


def _annotation_lines(annotations: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    for number, annotation in enumerate(annotations, start=1):
        entry = _annotation_entry(_plain(annotation))
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
