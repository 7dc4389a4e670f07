"""Class-agnostic average precision and recall by COCO's definitions, of boxes and of masks.

All objects and all detections are of one category; those of equal scores are taken in the order of their categories, as
COCO's own code does with `useCats` 0. The numbers are those of COCO's own COCOeval (pycocotools): ten
thresholds of the IoU, precision read at 101 recalls, the 100 best detections of an image, crowds ignored. Size classes
go by an object's `area` where it has one, else by that of its box (boxes) or mask (masks); a detection's is that of its
box or mask. VOC's "difficult" objects are no ground truth, under every protocol, as in LOST's code for CAD; "truncated"
ones are. Every image counts, also one without ground truth: what is found there is wrong.
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
    """`AP_METRICS` of a file's boxes. Raises `UserError` (see `preflight`)."""
    return _ap_of_file(ground_truth, predictions, of_masks=False)


def mask_ap_of_file(ground_truth: GroundTruth, predictions: PredictionFile) -> MetricResult:
    """`MASK_AP_METRICS`. Raises `UserError` (see `preflight`), also for damaged masks and those of another size."""
    return _ap_of_file(ground_truth, predictions, of_masks=True)


def average_precision(
    ground_truth: GroundTruth, detections: Mapping[ImageId, Detections], *, of_masks: bool
) -> MetricResult:
    """The metrics of detections in memory: the same numbers as of a file that holds them.

    A metric of a size class without objects is absent from the values. Detections on images that the ground truth does
    not have play no part.

    Raises: UserError if the data set has no objects to find (of masks: none with a mask), or a damaged mask.
    """
    check_labels(ground_truth.records, ground_truth.name)
    records = sorted(ground_truth.records, key=_by_id)  # COCO's order, which breaks ties of scores
    objects = [objects_of(r, ground_truth.name, of_masks=of_masks) for r in records]
    if all(of_image.crowd.all() for of_image in objects):
        raise UserError(_nothing_to_find(ground_truth, of_masks))
    found = [detections.get(record["image_id"]) for record in records]
    images = [outcome(*pair, of_masks=of_masks) for pair in zip(found, objects, strict=True)]
    prefix, what = (MASK_PREFIX, "masks") if of_masks else ("", "boxes")
    values = {prefix + name: value for name, value in averages(images).items()}
    warnings = []
    without_mask = sum(of_image.without_mask for of_image in objects)
    if without_mask:
        warnings.append(f"{without_mask} objects of {ground_truth.name} have no mask: left out")
    return MetricResult(values, _counts(objects, found, what), warnings)


def _ap_of_file(
    ground_truth: GroundTruth, predictions: PredictionFile, *, of_masks: bool
) -> MetricResult:
    check_labels(ground_truth.records, ground_truth.name)
    mask_field = ["segmentation"] if of_masks else []
    predictions.require("segm_ap" if of_masks else "ap", "image_id", "bbox", *mask_field)
    table = box_table(predictions)
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
    entries: Sequence[Mapping[str, Any]], category_ids: frozenset[int] | None
) -> list[int]:
    """Rows by the ground truth's categories, in the file's order within each, unknown categories last.

    Without categories COCO's code goes through them one after the other, and that breaks ties of scores.
    """
    known = sorted(category_ids or ())
    place = {str(category_id): index for index, category_id in enumerate(known)}
    keys = [place.get(str(entry.get("category_id")), len(place)) for entry in entries]
    return sorted(range(len(entries)), key=keys.__getitem__)


def _counts(
    objects: Sequence[Objects], found: Sequence[Detections | None], what: str
) -> dict[str, int]:
    crowds = sum(int(of_image.crowd.sum()) for of_image in objects)
    sizes = [0 if detections is None else len(detections.scores) for detections in found]
    return {
        "images_evaluated": len(objects),
        "images_without_ground_truth": sum(bool(o.crowd.all()) for o in objects),
        "images_without_prediction": sizes.count(0),
        f"ground_truth_{what}": sum(len(o.crowd) for o in objects) - crowds,
        "crowds": crowds,
        "difficult_left_out": sum(o.difficult for o in objects),
        f"predictions_beyond_{MAX_DETECTIONS}": sum(max(0, n - MAX_DETECTIONS) for n in sizes),
    }


def _nothing_to_find(ground_truth: GroundTruth, of_masks: bool) -> str:
    if of_masks:
        return f"{ground_truth.name} has no masks to score against; metrics of boxes, such as ap, need none"
    return (
        f"none of the {len(ground_truth.records)} images of {ground_truth.name} has an object that is neither a crowd "
        "nor difficult; average precision is not defined"
    )


def _by_id(record: Record) -> tuple[bool, Any]:
    return isinstance(record["image_id"], str), record["image_id"]
