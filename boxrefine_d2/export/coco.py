"""Plain COCO, twice, without what only this package reads.

    annotations.json   a data set file, as of ground truth: images, annotations, categories; no scores
    results.json       a results list, as of a detector: image_id, category_id, bbox, score, segmentation

Image ids are those of the source; annotation ids are 1..n.
"""

import json
from pathlib import Path
from typing import Any

from boxrefine_d2.data.pseudo_label_file import OBJECT_ID, OBJECT_NAME

from .format import Export, Format
from .labelled_images import LabelledBox, LabelledImage


def write_coco(export: Export, folder: Path) -> None:
    """Writes the format; see `Writer`."""
    pairs = [(image, box) for image in export.images for box in image.boxes]
    document = {
        "images": [
            {"id": i.image_id, "file_name": i.file_name, "width": i.width, "height": i.height}
            for i in export.images
        ],
        "annotations": [
            {"id": number, **_result(image, box), "area": box.area, "iscrowd": 0}
            for number, (image, box) in enumerate(pairs, start=1)
        ],
        "categories": [{"id": OBJECT_ID, "name": OBJECT_NAME}],
    }
    results = [{**_result(image, box), "score": box.score} for image, box in pairs]
    for name, content in (("annotations.json", document), ("results.json", results)):
        (folder / name).write_text(json.dumps(content) + "\n", encoding="utf-8", newline="\n")


def _result(image: LabelledImage, box: LabelledBox) -> dict[str, Any]:
    x1, y1, x2, y2 = box.xyxy
    result = {
        "image_id": image.image_id,
        "category_id": OBJECT_ID,
        "bbox": [x1, y1, round(x2 - x1, 6), round(y2 - y1, 6)],
    }
    if box.segmentation:
        result["segmentation"] = box.segmentation
    return result


COCO = Format(write_coco, frozenset({"annotations.json", "results.json"}))
