"""Metrics of weakly supervised localisation with one box an image (Choe et al., CVPR 2020).

`gt_loc_N` is the percentage of the images whose box has an IoU of at least N percent with any
ground-truth box; the class is given. `gt_known` is `gt_loc_50`. `topK_cls` is the percentage of the
images whose class is among the first K ranked labels, and `topK_loc` that of the images for which
this and `gt_loc_50` hold. Boxes are XYXY, half-open, in pixels of the original image. The file
gives the boxes, so no threshold is chosen here.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from boxrefine_d2.data.image_labels import label_of
from boxrefine_d2.errors import UserError
from boxrefine_d2.files.values import is_id, shown_value

from .corloc import CorLoc, corloc, top_boxes_of_file
from .ground_truth import GroundTruth, ImageId, check_unique_ids
from .image_ids import check_ids
from .predictions import PredictionFile, best_entries
from .results import MetricResult

BOX_IOUS = {f"gt_loc_{iou}": iou / 100 for iou in (30, 50, 70, 80, 90)} | {"gt_known": 0.5}
BOX_METRICS = tuple(BOX_IOUS)
RANKS = {"top1": 1, "top5": 5}
CLASS_METRICS = tuple(f"{rank}_cls" for rank in RANKS)
CLASS_BOX_METRICS = tuple(f"{rank}_loc" for rank in RANKS)
OF_FILE = "the box of the file"

Hits = dict[ImageId, bool]


def boxes_of_file(truth: GroundTruth, predictions: PredictionFile) -> MetricResult:
    """Return `gt_known` and `gt_loc_N`.

    An image without a box is a miss, and one without ground truth is left out; both are counted.

    Raises: UserError (see `preflight`).
    """
    located, warnings = _located(truth, predictions, "gt_known", BOX_IOUS)
    values = {name: result.percent for name, result in located.items()}
    counts = located["gt_known"].counts
    return MetricResult(values, counts, warnings, rules=dict.fromkeys(values, OF_FILE))


def classes_of_file(truth: GroundTruth, predictions: PredictionFile) -> MetricResult:
    """Return `top1_cls` and `top5_cls`; an image without labels is a miss.

    Raises: UserError for data without classes, and for labels that are no list of known ids.
    """
    ranks, warnings = _ranks(truth, predictions, "top1_cls")
    values = {
        f"{name}_cls": _percent({i: rank < k for i, rank in ranks.items()})
        for name, k in RANKS.items()
    }
    without = len(ranks) - len(ranks.keys() & {e["image_id"] for e in predictions.entries})
    counts = {"images_evaluated": len(ranks), "images_without_prediction": without}
    return MetricResult(values, counts, warnings)


def class_boxes_of_file(truth: GroundTruth, predictions: PredictionFile) -> MetricResult:
    """Return `top1_loc` and `top5_loc`: the class and the box are right.

    Raises: UserError (see `boxes_of_file` and `classes_of_file`).
    """
    ranks, _ = _ranks(truth, predictions, "top1_loc")
    located, warnings = _located(truth, predictions, "top1_loc", {"gt_known": 0.5})
    found = located["gt_known"]
    values = {
        f"{name}_loc": _percent({i: hit and ranks[i] < k for i, hit in found.hits.items()})
        for name, k in RANKS.items()
    }
    return MetricResult(values, found.counts, warnings, rules=dict.fromkeys(values, OF_FILE))


def _located(
    truth: GroundTruth, predictions: PredictionFile, metric: str, ious: Mapping[str, float]
) -> tuple[dict[str, CorLoc], list[str]]:
    """Return name -> hits of the images with ground truth, and warnings."""
    top_boxes, gt_boxes, warnings = top_boxes_of_file(truth, predictions, metric)
    if not any(map(len, gt_boxes.values())):
        raise UserError(f"{truth.name} has no box to score against; {metric} is not defined")
    return {name: corloc(top_boxes, gt_boxes, iou) for name, iou in ious.items()}, warnings


def _ranks(
    truth: GroundTruth, predictions: PredictionFile, metric: str
) -> tuple[dict[ImageId, float], list[str]]:
    """Return the rank of the true class of each image, from 0 on, and warnings.

    The rank of a class that is not among the labels, or of an image without labels, is infinite.
    """
    predictions.require(metric, "image_id", "labels")
    check_unique_ids(truth.records, truth.name)
    if not truth.category_ids:
        raise UserError(f"{truth.name} has no classes; {metric} needs data such as classes:DIR")
    entries = best_entries(predictions)
    known = [record["image_id"] for record in truth.records]
    warnings = check_ids(predictions.path, entries, known, truth.name, all_images=True)
    labels = {
        image_id: _labels_of(entry, predictions.path, truth.category_ids)
        for image_id, entry in entries.items()
    }
    ranks = {}
    for record in truth.records:
        of_image = labels.get(record["image_id"], [])
        own = truth.category_ids[label_of(record)]
        ranks[record["image_id"]] = of_image.index(own) if own in of_image else float("inf")
    return ranks, warnings


def _labels_of(entry: Mapping[str, Any], path: str, known: Sequence[int]) -> list[Any]:
    labels = entry["labels"]
    if not isinstance(labels, list) or not labels or not all(map(is_id, labels)):
        raise UserError(
            f"{path}: labels of image {entry['image_id']!r} are {shown_value(labels)}; "
            "write the ranked category ids, the best one first"
        )
    unknown = [label for label in labels if label not in known]
    if unknown:
        shown = ", ".join(map(str, known[:20])) + (", ..." if len(known) > 20 else "")
        raise UserError(
            f"{path}: label {shown_value(unknown[0])} of image {entry['image_id']!r} is no "
            f"category id of the ground truth (known: {shown})"
        )
    return labels


def _percent(hits: Hits) -> float:
    return 100.0 * sum(hits.values()) / len(hits)
