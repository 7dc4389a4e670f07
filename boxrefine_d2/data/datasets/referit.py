"""Loader of ReferIt (RefClef, UNC split) as stored by MultiGrounding (Akbari et al., CVPR 2019).

    referit/annotations/{train,val,test}.pickle
    referit/ReferIt_Images/NN/images/ID.jpg          NN: id // 1 000 in two digits

A pickle maps an image id, as a string, to
{"annotations": [{"query", "bbox": [[x1, y1, x2, y2]], "ref_id", ...}], ...}.
"""

from pathlib import Path
from typing import Any

import numpy as np
from detectron2.structures import BoxMode

from boxrefine_d2.errors import UserError
from boxrefine_d2.files.names import encodable_text
from boxrefine_d2.files.plain_pickle import read_plain_pickle
from boxrefine_d2.files.values import MAX_COORDINATE, is_number, is_whole, shown_value
from boxrefine_d2.progress import with_progress

from ..image_files import ImageFinder
from ..images import header_size
from ..records import LoadedDataset, Record

ANNOTATIONS, IMAGES = "annotations", "ReferIt_Images"
# The box of a query must cover more than this share of the image (the papers' protocol).
MIN_AREA = 0.05


def load_referit(root: str | Path, split: str) -> LoadedDataset:
    """Return one record per image by ascending id, with one annotation per query.

    An annotation has `phrase` and `annotation_id` (the position of the query). Queries with small
    boxes are left out; an image may have no query left.

    Raises: UserError for a missing or damaged file.
    """
    path = Path(root) / ANNOTATIONS / f"{split}.pickle"
    images = read_plain_pickle(path)
    finder = ImageFinder(Path(root) / IMAGES)
    by_id = _queries_of_images(images, str(path))
    records = [
        _record(finder, image_id, by_id[image_id], str(path))
        for image_id in with_progress(sorted(by_id), "referit")
    ]
    finder.report(path)
    return LoadedDataset(records, ["object"], [1])


def _queries_of_images(images: Any, path: str) -> dict[int, list[Any]]:
    """Return image id -> unchecked queries."""
    if not isinstance(images, dict):
        raise UserError(f"{path!r} does not hold ReferIt's annotations: it is no mapping of images")
    by_id: dict[int, list[Any]] = {}
    for key, image in images.items():
        image_id = int(key) if isinstance(key, str) and key.isdecimal() and len(key) < 19 else key
        queries = image.get("annotations") if isinstance(image, dict) else None
        if not is_whole(image_id) or image_id in by_id or not isinstance(queries, list):
            raise UserError(
                f"{path!r} does not hold ReferIt's annotations: image {shown_value(key)} needs "
                "a unique number and a list of annotations"
            )
        by_id[image_id] = queries
    return by_id


def _record(finder: ImageFinder, image_id: int, queries: list[Any], path: str) -> Record:
    name = finder.find(f"{image_id // 1000:02d}/images/{image_id}.jpg")
    file_name = str(finder.folder / name)
    height, width = header_size(file_name)
    least = MIN_AREA * (height or 0) * (width or 0)
    annotations = []
    for place, query in enumerate(queries):
        box = _first_box(query)
        if box is None:
            raise UserError(
                f"{path!r} does not hold ReferIt's annotations: annotation {place} of image "
                f"{image_id} is {shown_value(query)}; "
                "it must have a query and a bbox [[x1, y1, x2, y2]]"
            )
        x1, y1, x2, y2 = box
        if (x2 - x1) * (y2 - y1) > least:
            annotations.append(
                {
                    "annotation_id": place,
                    "phrase": encodable_text(query["query"]),
                    "bbox": box,
                    "bbox_mode": BoxMode.XYXY_ABS,
                    "category_id": 0,
                    "iscrowd": 0,
                }
            )
    return {
        "file_name": file_name,
        "relative_name": name,
        "image_id": image_id,
        "height": height,
        "width": width,
        "annotations": annotations,
    }


def _first_box(query: Any) -> list[float] | None:
    """Return the first XYXY box of a query; None if it has no text or no valid box."""
    if not isinstance(query, dict) or not isinstance(query.get("query"), str):
        return None
    boxes = query.get("bbox")
    if not isinstance(boxes, (list, tuple, np.ndarray)) or not len(boxes):
        return None
    numbers = np.asarray(boxes[0]).tolist() if isinstance(boxes[0], np.ndarray) else boxes[0]
    if not isinstance(numbers, (list, tuple)) or len(numbers) != 4:
        return None
    plain = [n.item() if isinstance(n, np.generic) else n for n in numbers]
    return [*map(float, plain)] if all(is_number(n, MAX_COORDINATE) for n in plain) else None
