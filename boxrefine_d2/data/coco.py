"""COCO files: one JSON object with `images`, `annotations` and `categories`, read with nothing but
the standard library."""

import json
import logging
import math
import os
from collections import Counter
from pathlib import Path
from typing import Any, TypeGuard

from detectron2.structures import BoxMode
from pycocotools import mask as mask_codec

from boxrefine_d2.data.exchanged_sizes import correct_exchanged_sizes
from boxrefine_d2.data.images import header_size
from boxrefine_d2.data.records import LoadedDataset, Record
from boxrefine_d2.errors import UserError

logger = logging.getLogger(__name__)


def load_coco(
    json_path: str | os.PathLike[str], image_dir: str | os.PathLike[str]
) -> LoadedDataset:
    """Records of a COCO file, by ascending image id.

    Boxes [x, y, w, h] become [x, y, x + w, y + h]; they are neither rounded nor clipped, and boxes
    without area are kept and counted in a warning. `iscrowd`, `area`, `segmentation`, `phrase`, `score` and
    the annotation's id (`annotation_id`) are kept where present, uncompressed RLE as compressed
    RLE. Categories are numbered from 0 by ascending id. A file without `annotations` is data
    without labels. In the files of MaskCut's release width and height of the images stand in each
    other's place, in others those of the masks: `correct_exchanged_sizes` reads both the right way.
    Pictures are not looked at, except for the header of one whose size the file does not give.

    Raises: UserError for a missing file or folder, for JSON that is not a COCO object, and for an
            annotation that names an image or a category that does not exist.
    """
    path, folder = Path(json_path), Path(image_dir)
    return dataset_of_document(read_coco_document(path), path, folder)


def dataset_of_document(document: dict[str, Any], path: Path, folder: Path) -> LoadedDataset:
    """What `load_coco` makes of a file with this content.

    Args:   path: the file it comes from, for messages.  folder: where `file_name` of an image starts.
    Raises: UserError, as `load_coco`.
    """
    if not folder.is_dir():
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


def read_coco_document(path: Path, what: str = "COCO file") -> dict[str, Any]:
    """The JSON object of a COCO file, with `images` (and, where present, `annotations` and
    `categories`) known to be lists of objects. Raises: UserError otherwise, in one line that calls
    the file `what`."""
    try:
        with path.open(encoding="utf-8") as file:
            document = json.load(file)
    except FileNotFoundError as error:
        raise UserError(f"{what} {str(path)!r} does not exist") from error
    except OSError as error:
        raise UserError(f"cannot read {what} {str(path)!r}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # JSON and encoding errors are both ValueErrors
        raise UserError(f"{what} {str(path)!r} is not JSON: {error}") from error
    if isinstance(document, list):
        raise UserError(
            f"{str(path)!r} is a JSON list (COCO results?); expected a COCO data set file, an object with images"
        )
    if not isinstance(document, dict):
        raise UserError(f"{str(path)!r} is JSON but not an object; expected a COCO data set file")
    if "images" not in document:
        keys = ", ".join(map(repr, list(document)[:8])) or "nothing"
        raise UserError(f"{what} {str(path)!r} has no 'images'; it has {keys}")
    for key in ("images", "annotations", "categories"):
        entries = document.get(key, [])
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise UserError(f"{what} {str(path)!r}: {key!r} must be a list of objects")
    if not document["images"]:
        raise UserError(f"{what} {str(path)!r} lists no image")
    return document


def _categories(document: dict[str, Any], path: Path) -> dict[int, str]:
    """Category id -> name, by ascending id."""
    if "categories" not in document and document.get("annotations"):
        raise UserError(f"COCO file {str(path)!r} has annotations but no 'categories'")
    names: dict[int, str] = {}
    for entry in document.get("categories", []):
        category_id = entry.get("id")
        if not _is_int(category_id):
            raise UserError(
                f"COCO file {str(path)!r}: a category has the id {category_id!r}; it must be an integer"
            )
        if category_id in names:
            raise UserError(f"COCO file {str(path)!r}: two categories have the id {category_id}")
        names[category_id] = str(entry.get("name", category_id))
    return dict(sorted(names.items()))


def _image_records(
    images: list[dict[str, Any]], path: Path, folder: Path
) -> dict[int | str, Record]:
    records: dict[int | str, Record] = {}
    for entry in images:
        image_id, name = entry.get("id"), entry.get("file_name")
        if not (_is_int(image_id) or isinstance(image_id, str)):
            raise UserError(
                f"COCO file {str(path)!r}: an image has the id {image_id!r}; it must be an integer or a string"
            )
        if image_id in records:
            raise UserError(f"COCO file {str(path)!r}: two images have the id {image_id!r}")
        if not (isinstance(name, str) and name):
            raise UserError(f"COCO file {str(path)!r}: image {image_id!r} has no 'file_name'")
        file_name = os.path.join(folder, name)
        height, width = entry.get("height"), entry.get("width")
        if not (_is_int(height) and _is_int(width) and height > 0 and width > 0):
            height, width = header_size(file_name)
        records[image_id] = {
            "file_name": file_name,
            "relative_name": Path(name).as_posix(),
            "image_id": image_id,
            "height": height,
            "width": width,
        }
    return records


def _attach(
    annotations: list[dict[str, Any]],
    records: dict[int | str, Record],
    categories: dict[int, str],
    path: Path,
) -> None:
    """Adds the annotations to their images' records, in the order of the file."""
    contiguous = {category_id: index for index, category_id in enumerate(categories)}
    for record in records.values():
        record["annotations"] = []
    odd: Counter[str] = Counter()
    seen = set()
    for index, entry in enumerate(annotations):
        where = f"COCO file {str(path)!r}: annotation {entry.get('id', f'number {index}')!r}"
        image_id, category_id = entry.get("image_id"), entry.get("category_id")
        if not isinstance(image_id, (int, str)) or image_id not in records:
            known = next(iter(records))
            raise UserError(
                f"{where} has image_id {image_id!r}, and no image has this id (first of {len(records)}: {known!r})"
            )
        if not _is_int(category_id) or category_id not in contiguous:
            known = ", ".join(map(str, list(contiguous)[:8])) or "none"
            raise UserError(
                f"{where} has category_id {category_id!r}, and no category has this id (there are: {known})"
            )
        box = xyxy_of(entry.get("bbox"))
        if box is None:
            raise UserError(
                f"{where} has the bbox {entry.get('bbox')!r}; it must be four finite numbers [x, y, w, h]"
            )
        odd["boxes have no area; they are kept as they are"] += box[2] <= box[0] or box[3] <= box[1]
        converted: Record = {
            "bbox": box,
            "bbox_mode": BoxMode.XYXY_ABS,
            "category_id": contiguous[category_id],
            "iscrowd": int(bool(entry.get("iscrowd", 0))),
        }
        if "id" in entry:
            odd["annotation ids occur more than once"] += repr(entry["id"]) in seen
            seen.add(repr(entry["id"]))
            converted["annotation_id"] = entry["id"]
        for key in ("phrase", "score"):
            if key in entry:
                converted[key] = entry[key]
        if _is_area(entry.get("area")):
            converted["area"] = float(entry["area"])
        if entry.get("segmentation"):
            segmentation = _segmentation(entry["segmentation"])
            if segmentation is None:
                odd["segmentations are unusable; only their boxes are kept"] += 1
            else:
                converted["segmentation"] = segmentation
        records[image_id]["annotations"].append(converted)
    odd.update(correct_exchanged_sizes(records.values(), f"COCO file {str(path)!r}"))
    for what, count in odd.items():
        if count:
            logger.warning("%s: %d %s", path, count, what)


def xyxy_of(bbox: Any) -> list[float] | None:
    """[x, y, w, h] -> [x, y, x + w, y + h] as floats; None if it is not four finite numbers."""
    if not isinstance(bbox, (list, tuple)) or len(bbox) != 4:
        return None
    for number in bbox:
        if (
            isinstance(number, bool)
            or not isinstance(number, (int, float))
            or not math.isfinite(number)
        ):
            return None
    x, y, w, h = map(float, bbox)
    return [x, y, x + w, y + h]


def _segmentation(value: Any) -> Any:
    """Polygons of at least three points, or compressed RLE; None for anything else."""
    if isinstance(value, dict):
        size, counts = value.get("size"), value.get("counts")
        if not (isinstance(size, list) and len(size) == 2 and all(map(_is_int, size))):
            return None
        if isinstance(counts, str):
            return {"size": size, "counts": counts}
        if (
            isinstance(counts, list)
            and all(map(_is_int, counts))
            and sum(counts) == size[0] * size[1]
        ):
            rle = mask_codec.frPyObjects({"size": size, "counts": counts}, *size)
            return {"size": size, "counts": rle["counts"].decode("ascii")}
        return None
    if isinstance(value, list):
        polygons = [
            part
            for part in value
            if isinstance(part, list) and len(part) >= 6 and len(part) % 2 == 0
        ]
        return polygons or None
    return None


def _is_area(value: Any) -> TypeGuard[int | float]:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and math.isfinite(value) and value >= 0


def _is_int(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)
