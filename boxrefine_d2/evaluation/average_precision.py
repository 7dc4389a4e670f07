"""Class-agnostic average precision and recall of boxes and of masks, by COCO's definitions.

All objects and all detections have one category. Detections of equal score keep the order of their
categories, as in COCO's own code with `useCats` 0. The numbers are those of COCO's COCOeval
(pycocotools): ten IoU thresholds, precision read at 101 recalls, the 100 best detections of an
image, crowds ignored.

The `area` of an object decides its size class. An object without `area` has the area of its box
(metrics of boxes) or of its mask (metrics of masks). A detection has the area of its box or mask.
VOC's "difficult" objects are no ground truth under any protocol, as in LOST's code for CAD;
"truncated" objects are. Every image counts. In an image without ground truth every detection is
wrong.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from boxrefine_d2.errors import UserError

from .coco_matching import MAX_DETECTIONS
from .coco_regions import Detections, Objects, masks_of, objects_of, outcome
from .ground_truth import GroundTruth, ImageId, Record, check_labels
from .precision_recall import AP_METRICS, averages
from .predictions import PredictionFile, box_table
from .preflight import check_ground_truth, check_predictions
from .results import MetricResult

MASK_PREFIX = "segm_"
MASK_AP_METRICS = tuple(MASK_PREFIX + name for name in AP_METRICS)


def box_ap_of_file(ground_truth: GroundTruth, predictions: PredictionFile) -> MetricResult:
    """Return `AP_METRICS` of the boxes in a file. Raises: UserError (see `preflight`)."""
    return ap_of_file(ground_truth, predictions, of_masks=False)


def mask_ap_of_file(ground_truth: GroundTruth, predictions: PredictionFile) -> MetricResult:
    """Return `MASK_AP_METRICS` of the masks in a file.

    Raises: UserError (see `preflight`), also for damaged masks and masks of another size.
    """
    return ap_of_file(ground_truth, predictions, of_masks=True)


def average_precision(
    ground_truth: GroundTruth, detections: Mapping[ImageId, Detections], *, of_masks: bool
) -> MetricResult:
    """Return the metrics of detections in memory; a file with the same detections has the same.

    A size class without objects has no value. Detections on images outside the ground truth are
    ignored.

    Raises: UserError if the data set has no objects to find (for masks: no objects with a mask), or
        for a damaged mask.
    """
    check_labels(ground_truth.records, ground_truth.name)
    records = sorted(ground_truth.records, key=_by_id)  # COCO's order, which breaks ties of scores
    objects = [objects_of(r, ground_truth.name, of_masks=of_masks) for r in records]
    if all(of_image.crowd.all() for of_image in objects):
        raise UserError(_nothing_to_find(ground_truth, of_masks))
    detected = [detections.get(record["image_id"]) for record in records]
    images = [outcome(*pair, of_masks=of_masks) for pair in zip(detected, objects, strict=True)]
    prefix, kind = (MASK_PREFIX, "masks") if of_masks else ("", "boxes")
    values = {prefix + name: value for name, value in averages(images).items()}
    warnings = []
    without_mask = sum(of_image.without_mask for of_image in objects)
    if without_mask:
        warnings.append(f"{without_mask} objects of {ground_truth.name} have no mask: left out")
    return MetricResult(values, _counts(objects, detected, kind), warnings)


def ap_of_file(
    ground_truth: GroundTruth,
    predictions: PredictionFile,
    *,
    of_masks: bool,
    checked: bool = True,
) -> MetricResult:
    """Return the metrics of boxes or of masks; see `box_ap_of_file`.

    Args: checked: False for a part of a file that was checked as a whole; it may be empty.
    """
    check_labels(ground_truth.records, ground_truth.name)
    mask_field = ["segmentation"] if of_masks else []
    predictions.require("segm_ap" if of_masks else "ap", "image_id", "bbox", *mask_field)
    table = box_table(predictions)
    warnings = []
    if checked:
        check_ground_truth(ground_truth)
        warnings = check_predictions(predictions, table, ground_truth)
    rows: dict[ImageId, list[int]] = {}
    for row in _in_category_order(predictions.entries, ground_truth.category_ids):
        rows.setdefault(table.image_ids[row], []).append(row)
    detections = {}
    for record in ground_truth.records:
        picked = rows.get(record["image_id"], [])
        masks = [predictions.entries[row]["segmentation"] for row in picked] if of_masks else []
        detections[record["image_id"]] = Detections(
            table.boxes[picked], table.scores[picked], masks_of(masks, record, predictions.path)
        )
    result = average_precision(ground_truth, detections, of_masks=of_masks)
    return MetricResult(result.values, result.counts, warnings + result.warnings)


def _in_category_order(
    entries: Sequence[Mapping[str, Any]], category_ids: Sequence[int] | None
) -> list[int]:
    """Return the rows in the order of the ground truth's categories; unknown categories come last.

    Rows of one category keep the order of the file. COCO's code visits the categories one after the
    other even with `useCats` 0, and this order breaks ties of scores.
    """
    known = sorted(category_ids or ())
    place = {str(category_id): index for index, category_id in enumerate(known)}
    keys = [place.get(str(entry.get("category_id")), len(place)) for entry in entries]
    return sorted(range(len(entries)), key=keys.__getitem__)


def _counts(
    objects: Sequence[Objects], detected: Sequence[Detections | None], kind: str
) -> dict[str, int]:
    crowds = sum(int(of_image.crowd.sum()) for of_image in objects)
    sizes = [0 if detections is None else len(detections.scores) for detections in detected]
    return {
        "images_evaluated": len(objects),
        "images_without_ground_truth": sum(bool(o.crowd.all()) for o in objects),
        "images_without_prediction": sizes.count(0),
        f"ground_truth_{kind}": sum(len(o.crowd) for o in objects) - crowds,
        "crowds": crowds,
        "difficult_left_out": sum(o.difficult for o in objects),
        f"predictions_beyond_{MAX_DETECTIONS}": sum(max(0, n - MAX_DETECTIONS) for n in sizes),
    }


def _nothing_to_find(ground_truth: GroundTruth, of_masks: bool) -> str:
    if of_masks:
        return (
            f"{ground_truth.name} has no masks to score against; "
            "metrics of boxes, such as ap, need none"
        )
    return (
        f"none of the {len(ground_truth.records)} images of {ground_truth.name} has an object that "
        "is neither a crowd nor difficult; average precision is not defined"
    )


def _by_id(record: Record) -> tuple[bool, Any]:
    return isinstance(record["image_id"], str), record["image_id"]
