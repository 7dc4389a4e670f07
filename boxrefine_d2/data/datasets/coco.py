"""Loader of COCO files, JSON objects with `images`, `annotations` and `categories`.

The standard library alone reads the JSON.
"""

import logging
import os
from collections import Counter
from pathlib import Path
from typing import Any

from detectron2.structures import BoxMode

from boxrefine_d2.errors import UserError
from boxrefine_d2.files.inputs import read_json
from boxrefine_d2.files.names import encodable_text
from boxrefine_d2.files.values import (
    MAX_COORDINATE,
    is_file_name,
    is_id,
    is_number,
    is_whole,
    known_size,
    shown_value,
    size_problem,
)
from boxrefine_d2.masks.coding import with_text_counts
from boxrefine_d2.masks.segmentation import compressed_rle, plain_segmentation

from ..image_files import ImageFinder
from ..images import header_size
from ..records import LoadedDataset, Record
from .exchanged_sizes import correct_exchanged_sizes

logger = logging.getLogger(__name__)


def load_coco(
    json_path: str | os.PathLike[str], image_dir: str | os.PathLike[str]
) -> LoadedDataset:
    """Return the records of a COCO file by ascending image id.

    Boxes [x, y, w, h] become [x, y, x + w, y + h]. They are neither rounded nor clipped. Boxes
    without area are kept, and a warning counts them. The fields `iscrowd`, `area`, `segmentation`,
    `phrase`, `score` and the annotation's id (`annotation_id`) are kept if present; uncompressed
    RLE becomes compressed RLE. The field `captions` of an image, a list of texts, is kept, too.
    Categories are numbered from 0 by ascending id. A file without `annotations` is data without
    labels. The files of MaskCut's release exchange width and height of the images, and other files
    exchange those of the masks: `correct_exchanged_sizes` corrects both. An image is not opened
    unless the file lacks its size; then its header is read.

    Raises: UserError for a missing file or folder, for JSON that is not a COCO object, and for an
            annotation that names an image or a category that does not exist.
    """
    path, folder = Path(json_path), Path(image_dir)
    return dataset_of_document(read_coco_document(path), path, folder)


def dataset_of_document(document: dict[str, Any], path: Path, folder: Path) -> LoadedDataset:
    """Return the data set that `load_coco` returns for a file with this content.

    Args:   document: content of the file.  path: path of the file, for messages.
            folder: folder to which the `file_name` of an image is relative.
    Raises: UserError, as `load_coco`.
    """
    if not os.path.isdir(folder):
        raise UserError(f"image folder {str(folder)!r} of COCO file {str(path)!r} does not exist")
    categories = _categories(document, path)
    records = _image_records(document["images"], path, folder)
    labelled = "annotations" in document
    if labelled:
        _attach(document["annotations"], records, categories, path)
    else:
        logger.info("%s has no annotations: read as images without labels", path)
    ids = list(records)
    ids.sort(key=lambda image_id: (isinstance(image_id, str), image_id))
    return LoadedDataset(
        records=[records[image_id] for image_id in ids],
        category_names=list(categories.values()),
        category_ids=list(categories),
        labelled=labelled,
    )


def read_coco_document(path: Path, description: str = "COCO file") -> dict[str, Any]:
    """Return the JSON object of a COCO file.

    `images` and, if present, `annotations` and `categories` are lists of objects.

    Args:   description: expected kind of file, for messages.
    Raises: UserError with a one-line message for any other content.
    """
    document = read_json(path, description)
    if isinstance(document, list):
        raise UserError(
            f"{str(path)!r} is a JSON list (COCO results?); "
            "expected a COCO data set file, an object with images"
        )
    if not isinstance(document, dict):
        raise UserError(f"{str(path)!r} is JSON but not an object; expected a COCO data set file")
    if "images" not in document:
        keys = ", ".join(map(shown_value, list(document)[:8])) or "nothing"
        raise UserError(f"{description} {str(path)!r} has no 'images'; it has {keys}")
    for key in ("images", "annotations", "categories"):
        entries = document.get(key, [])
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise UserError(f"{description} {str(path)!r}: {key!r} must be a list of objects")
    if not document["images"]:
        raise UserError(f"{description} {str(path)!r} lists no image")
    return document


def _categories(document: dict[str, Any], path: Path) -> dict[int, str]:
    """Return category id -> name by ascending id."""
    if "categories" not in document and document.get("annotations"):
        raise UserError(f"COCO file {str(path)!r} has annotations but no 'categories'")
    names: dict[int, str] = {}
    for entry in document.get("categories", []):
        category_id = entry.get("id")
        if not is_whole(category_id):
            raise UserError(
                f"COCO file {str(path)!r}: a category has the id {shown_value(category_id)}; "
                "it must be an integer"
            )
        if category_id in names:
            raise UserError(f"COCO file {str(path)!r}: two categories have the id {category_id}")
        name = entry.get("name", category_id)
        names[category_id] = encodable_text(name) if isinstance(name, str) else shown_value(name)
    return dict(sorted(names.items()))


def _image_records(
    images: list[dict[str, Any]], path: Path, folder: Path
) -> dict[int | str, Record]:
    records: dict[int | str, Record] = {}
    finder, unsized, unusable = ImageFinder(folder), [], 0
    for entry in images:
        image_id, name = entry.get("id"), entry.get("file_name")
        if not is_id(image_id):
            raise UserError(
                f"COCO file {str(path)!r}: an image has the id {shown_value(image_id)}; "
                "it must be an integer or a string"
            )
        if image_id in records:
            raise UserError(f"COCO file {str(path)!r}: two images have the id {image_id!r}")
        if name is None or name == "":
            raise UserError(f"COCO file {str(path)!r}: image {image_id!r} has no 'file_name'")
        if not is_file_name(name):
            raise UserError(
                f"COCO file {str(path)!r}: image {image_id!r} has the file_name "
                f"{shown_value(name)}, which no file can have"
            )
        relative = finder.find(name)
        file_name = os.path.join(folder, relative)
        sides = known_size(entry)
        if sides is None:
            unsized.append(entry)
        height, width = sides or header_size(file_name)
        records[image_id] = {
            "file_name": file_name,
            "relative_name": relative,
            "image_id": image_id,
            "height": height,
            "width": width,
        }
        captions = entry.get("captions")
        if isinstance(captions, list) and all(isinstance(x, str) for x in captions):
            records[image_id]["captions"] = [encodable_text(caption) for caption in captions]
        else:
            unusable += captions is not None
    finder.report(path)
    if unusable:
        logger.warning(
            "%s: captions of %d images are no lists of texts; they are left out", path, unusable
        )
    if unsized:
        first, reason = unsized[0], size_problem(unsized[0]) or "has no width and height"
        logger.info(
            "%s: sizes of %d images are read from the images; the first, %r, %s",
            *(path, len(unsized), first["id"], reason),
        )
    return records


def _attach(
    annotations: list[dict[str, Any]],
    records: dict[int | str, Record],
    categories: dict[int, str],
    path: Path,
) -> None:
    """Add the annotations to the records of their images, in the order of the file."""
    contiguous = {category_id: index for index, category_id in enumerate(categories)}
    for record in records.values():
        record["annotations"] = []
    odd: Counter[str] = Counter()
    seen = set()
    for index, entry in enumerate(annotations):
        problem = _problem(entry, records, contiguous)
        if problem:
            which = shown_value(entry.get("id", f"number {index}"))
            raise UserError(f"COCO file {str(path)!r}: annotation {which} {problem}")
        box = xyxy_of(entry["bbox"])
        assert box is not None
        odd["boxes have no area; they are kept as they are"] += box[2] <= box[0] or box[3] <= box[1]
        converted: Record = {
            "bbox": box,
            "bbox_mode": BoxMode.XYXY_ABS,
            "category_id": contiguous[entry["category_id"]],
            "iscrowd": int(bool(entry.get("iscrowd", 0))),
        }
        annotation_id = entry.get("id")
        if is_id(annotation_id):
            odd["annotation ids occur more than once"] += annotation_id in seen
            seen.add(annotation_id)
            converted["annotation_id"] = annotation_id
        elif "id" in entry:
            odd["annotation ids are neither integers nor strings; they are left out"] += 1
        if entry.get("phrase") is not None:
            converted["phrase"] = encodable_text(entry["phrase"])
        if entry.get("score") is not None:
            converted["score"] = entry["score"]
        if is_number(entry.get("area")) and entry["area"] >= 0:
            converted["area"] = float(entry["area"])
        if entry.get("segmentation"):
            segmentation = _segmentation(entry["segmentation"])
            if segmentation is None:
                odd["segmentations are unusable; only their boxes are kept"] += 1
            else:
                converted["segmentation"] = segmentation
        records[entry["image_id"]]["annotations"].append(converted)
    odd.update(correct_exchanged_sizes(records.values(), f"COCO file {str(path)!r}"))
    for problem, count in odd.items():
        if count:
            logger.warning("%s: %d %s", path, count, problem)


def _problem(
    entry: dict[str, Any], records: dict[int | str, Record], categories: dict[int, int]
) -> str | None:
    """Return the problem with an annotation, or None if it is valid."""
    image_id, category_id = entry.get("image_id"), entry.get("category_id")
    if not is_id(image_id) or image_id not in records:
        known = next(iter(records))
        return (
            f"has image_id {shown_value(image_id)}, and no image has this id "
            f"(first of {len(records)}: {known!r})"
        )
    if not is_whole(category_id) or category_id not in categories:
        ids = ", ".join(map(str, list(categories)[:8])) or "none"
        return (
            f"has category_id {shown_value(category_id)}, and no category has this id "
            f"(there are: {ids})"
        )
    bbox, phrase, score = entry.get("bbox"), entry.get("phrase"), entry.get("score")
    if xyxy_of(bbox) is None:
        return f"has the bbox {shown_value(bbox)}; it must be four finite numbers [x, y, w, h]"
    if phrase is not None and not isinstance(phrase, str):
        return f"has the phrase {shown_value(phrase)}; it must be a text"
    if score is not None and not is_number(score):
        return f"has the score {shown_value(score)}; it must be a finite number"
    return None


def xyxy_of(bbox: Any) -> list[float] | None:
    """Convert [x, y, w, h] to [x, y, x + w, y + h] floats; None if not four finite numbers."""
    if not isinstance(bbox, (list, tuple)) or len(bbox) != 4:
        return None
    if not all(is_number(number, MAX_COORDINATE) for number in bbox):
        return None
    x, y, w, h = map(float, bbox)
    return [x, y, x + w, y + h]


def _segmentation(value: Any) -> Any:
    """Return polygons of at least three points, or compressed RLE; None for any other value."""
    plain = plain_segmentation(value)
    if not isinstance(plain, dict) or isinstance(plain["counts"], str):
        return plain
    try:
        rle = compressed_rle(plain, plain["size"])
    except ValueError:
        return None
    return with_text_counts({"size": plain["size"], "counts": rle["counts"]})
