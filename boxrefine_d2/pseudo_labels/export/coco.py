"""Plain COCO in two files, without the keys that only this package reads.

    annotations.json   a data set file like one of ground truth: images, annotations, categories;
                       no scores
    results.json       a results list like that of a detector: image_id, category_id, bbox, score,
                       segmentation

Image ids are those of the source. Annotation ids are 1..n. pycocotools reads files whose ids are
all numbers or all strings, but not a mixture, and it reads no empty results list. A warning reports
both cases.
"""

import json
import logging
from pathlib import Path
from typing import Any

from boxrefine_d2.structures import to_xywh

from .format import Export, Format
from .labelled_images import LabelledBox, LabelledImage

logger = logging.getLogger(__name__)


def write_coco(export: Export, folder: Path) -> None:
    """Write the format; see `Writer`."""
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
        "categories": [{"id": own, "name": name} for own, name in export.categories.items()],
    }
    results = [{**_result(image, box), "score": box.score} for image, box in pairs]
    if len({isinstance(image.image_id, str) for image in export.images}) > 1:
        logger.warning(
            "%s: some image ids are numbers and some are texts; pycocotools cannot sort them and "
            "evaluates nothing",
            export.source,
        )
    if not results:
        logger.warning("%s has no box, and pycocotools loads no empty results.json", export.source)
    for name, content in (("annotations.json", document), ("results.json", results)):
        (folder / name).write_text(
            json.dumps(content, allow_nan=False) + "\n", encoding="utf-8", newline="\n"
        )


def _result(image: LabelledImage, box: LabelledBox) -> dict[str, Any]:
    x, y, width, height = to_xywh(box.xyxy)
    result = {
        "image_id": image.image_id,
        "category_id": box.category_id,
        "bbox": [x, y, round(width, 6), round(height, 6)],
    }
    if box.segmentation:
        result["segmentation"] = box.segmentation
    return result


COCO = Format(write_coco, frozenset({"annotations.json", "results.json"}))
