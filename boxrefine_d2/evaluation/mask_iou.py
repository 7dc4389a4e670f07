"""IoU of masks with objects, without categories: of the best mask, and of all masks together.

Both metrics are means over the images that have masks as ground truth, in percent. Crowds are left
out. An image without a predicted mask counts 0.
"""

from collections.abc import Mapping
from typing import Any

from pycocotools import mask as mask_codec

from boxrefine_d2.errors import UserError
from boxrefine_d2.masks.segmentation import Rle

from .coco_regions import masks_of
from .ground_truth import GroundTruth, ImageId, check_labels
from .predictions import PredictionFile, box_table
from .preflight import check_predictions
from .results import MetricResult


def mask_iou_of_file(ground_truth: GroundTruth, predictions: PredictionFile) -> MetricResult:
    """Return `mask_iou` and `foreground_iou` of a prediction file.

    `mask_iou`: IoU of the mask of the highest score with the object that it overlaps best.
    `foreground_iou`: IoU of the union of the masks with the union of the objects, as in the
    evaluation of saliency.

    Raises: UserError for a data set or a file without masks, for masks of another size than the
        image, and for the mistakes that `preflight` finds.
    """
    check_labels(ground_truth.records, ground_truth.name)
    predictions.require("mask_iou", "image_id", "bbox", "segmentation")
    warnings = check_predictions(predictions, box_table(predictions), ground_truth)
    truth = _true_masks(ground_truth)
    predicted = _predicted_masks(predictions, {r["image_id"]: r for r in ground_truth.records})
    best, together = [], []
    for image_id, objects in truth.items():
        masks = predicted.get(image_id, [])
        best.append(_overlaps(masks[:1], objects))
        together.append(_overlaps(_union(masks), _union(objects)))
    values = {"mask_iou": _percent(best), "foreground_iou": _percent(together)}
    counts = {
        "images_evaluated": len(truth),
        "images_without_ground_truth": len(ground_truth.records) - len(truth),
        "images_without_prediction": sum(image_id not in predicted for image_id in truth),
    }
    return MetricResult(values, counts, warnings)


def _true_masks(ground_truth: GroundTruth) -> dict[ImageId, list[Rle]]:
    """Return the masks of the objects of each image that has any."""
    masks = {}
    for record in ground_truth.records:
        objects = [
            a["segmentation"]
            for a in record.get("annotations", ())
            if a.get("segmentation") and not a.get("iscrowd", 0)
        ]
        if objects:
            masks[record["image_id"]] = masks_of(objects, record, ground_truth.name)
    if not masks:
        raise UserError(
            f"{ground_truth.name} has no masks to score against; "
            "metrics of boxes, such as corloc, need none"
        )
    return masks


def _predicted_masks(
    predictions: PredictionFile, by_id: Mapping[ImageId, Mapping[str, Any]]
) -> dict[ImageId, list[Rle]]:
    """Return the masks of each image, the highest score first; equal scores keep file order."""
    predicted: dict[ImageId, list[tuple[float, Rle]]] = {}
    for entry in predictions.entries:
        record = by_id.get(entry["image_id"])
        if record is not None:
            [rle] = masks_of([entry["segmentation"]], record, predictions.path)
            predicted.setdefault(entry["image_id"], []).append((entry.get("score", 1.0), rle))
    return {
        image_id: [rle for _, rle in sorted(masks, key=lambda pair: -pair[0])]
        for image_id, masks in predicted.items()
    }


def _union(masks: list[Rle]) -> list[Rle]:
    return [mask_codec.merge(masks)] if masks else []


def _overlaps(masks: list[Rle], objects: list[Rle]) -> float:
    """Return the best IoU of the only mask with any of the objects; 0 without a mask."""
    return float(mask_codec.iou(masks, objects, [0] * len(objects)).max()) if masks else 0.0


def _percent(shares: list[float]) -> float:
    return 100 * sum(shares) / len(shares)
