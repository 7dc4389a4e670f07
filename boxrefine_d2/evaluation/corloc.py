"""CorLoc: the share of images whose top box is on an object (LOST, arXiv:2109.14279, code).

CorLoc is the percentage of the images with ground truth in which the single predicted box has
IoU >= 0.5 with any ground-truth box. The IoU is computed on continuous coordinates, without +1, in
float64: an exact half is a hit. An image without a prediction is a miss, and the number of these is
returned. An image without ground truth is not in the denominator, and the number of these is
returned as well. Boxes are XYXY, half-open, in pixels of the original image.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor
from torchvision.ops import box_iou

from boxrefine_d2.errors import UserError

from .ground_truth import GroundTruth, ImageId
from .predictions import PredictionFile, box_table
from .preflight import check_ground_truth, check_predictions
from .results import MetricResult

Id = TypeVar("Id", bound=ImageId)


@dataclass(frozen=True)
class CorLoc:
    """Hits of one set of boxes on one data set.

    Attributes:
        hits: image id -> whether its box is on an object. The keys are the images with ground
            truth, in data set order.
        without_ground_truth: number of images left out of the denominator.
        without_prediction: number of images that are a miss because they have no box.
    """

    hits: dict[ImageId, bool]
    without_ground_truth: int
    without_prediction: int

    @property
    def percent(self) -> float:
        """CorLoc: 100 * hits / images with ground truth."""
        return 100.0 * sum(self.hits.values()) / len(self.hits)

    @property
    def counts(self) -> dict[str, int]:
        """The numbers of images, by the names that a result has for them."""
        return {
            "images_evaluated": len(self.hits),
            "images_without_ground_truth": self.without_ground_truth,
            "images_without_prediction": self.without_prediction,
        }


def corloc(
    top_boxes: Mapping[Id, Sequence[float] | None],
    gt_boxes: Mapping[Id, Tensor],
    least_iou: float = 0.5,
) -> CorLoc:
    """Return the CorLoc of one box per image; predictions on images not in `gt_boxes` are ignored.

    Example: two hits among three images with ground truth; image 4 has none and is left out:

    >>> square = torch.tensor([[0.0, 0.0, 10.0, 10.0]])
    >>> truth = {1: square, 2: square, 3: square, 4: torch.zeros(0, 4)}
    >>> boxes = {1: [0, 0, 10, 10], 2: [0, 0, 10, 5], 3: [0, 0, 10, 4.9], 4: [0, 0, 1, 1]}
    >>> result = corloc(boxes, truth)
    >>> round(result.percent, 1), result.without_ground_truth
    (66.7, 1)

    Args:
        top_boxes: image id -> (4,) box; None or a missing key where there is no prediction.
        gt_boxes: image id -> (N, 4); N = 0 where there is no ground truth.
        least_iou: IoU from which on a box is a hit.
    Raises: UserError if no image has ground truth.
    """
    hits: dict[ImageId, bool] = {}
    without_prediction = 0
    for image_id, boxes in gt_boxes.items():
        if len(boxes) == 0:
            continue
        box = top_boxes.get(image_id)
        without_prediction += box is None
        hits[image_id] = box is not None and is_localised(box, boxes, least_iou)
    if not hits:
        raise UserError(
            f"none of the {len(gt_boxes)} images has a ground-truth box under this protocol; "
            "CorLoc is not defined"
        )
    return CorLoc(hits, len(gt_boxes) - len(hits), without_prediction)


def is_localised(box: Sequence[float], gt_boxes: Tensor, least_iou: float = 0.5) -> bool:
    """Return whether the box has this IoU or more with any of the (N, 4) ground-truth boxes.

    >>> is_localised([0, 0, 10, 5], torch.tensor([[0.0, 0.0, 10.0, 10.0]]))  # IoU is exactly 0.5
    True
    """
    predicted = torch.tensor([list(box)], dtype=torch.float64)
    # torchvision gives a doubly inverted box a positive area; a box without area (or NaN) is a miss
    if not bool((predicted[:, 2:] > predicted[:, :2]).all()):
        return False
    return bool((box_iou(predicted, gt_boxes.to(torch.float64)) >= least_iou).any())


def top_box(boxes: Tensor, scores: Tensor) -> list[float] | None:
    """Return the box (4 floats) of the highest score, the first among equals; None without a box.

    Args:
        boxes: (N, 4).
        scores: (N,).
    """
    if len(boxes) == 0:
        return None
    best = int(scores.detach().cpu().to(torch.float64).argmax())
    return boxes[best].detach().cpu().to(torch.float64).tolist()


def corloc_of_file(ground_truth: GroundTruth, predictions: PredictionFile) -> MetricResult:
    """Return the CorLoc of a prediction file; categories are ignored.

    Raises: UserError (see `preflight`).
    """
    result, warnings = localise_top_boxes(ground_truth, predictions, "corloc")
    return MetricResult({"corloc": result.percent}, result.counts, warnings)


def localise_top_boxes(
    ground_truth: GroundTruth, predictions: PredictionFile, metric: str, *, all_images: bool = True
) -> tuple[CorLoc, list[str]]:
    """Return the hits of the best-scored boxes of a checked prediction file, and warnings.

    Args: see `top_boxes_of_file`.
    Raises: UserError (see `preflight`).
    """
    top_boxes, gt_boxes, warnings = top_boxes_of_file(
        ground_truth, predictions, metric, all_images=all_images
    )
    return corloc(top_boxes, gt_boxes), warnings


def top_boxes_of_file(
    ground_truth: GroundTruth, predictions: PredictionFile, metric: str, *, all_images: bool = True
) -> tuple[dict[ImageId, list[float] | None], dict[ImageId, Tensor], list[str]]:
    """Return the best-scored boxes of a checked prediction file, the ground truth, and warnings.

    Args:
        metric: name of the metric, for messages.
        all_images: whether an image without a prediction is a miss of the metric.
    Raises: UserError (see `preflight`).
    """
    gt_boxes = ground_truth.boxes()
    predictions.require(metric, "image_id", "bbox")
    table = box_table(predictions)
    check_ground_truth(ground_truth)
    warnings = check_predictions(predictions, table, ground_truth, all_images=all_images)
    top_boxes = {
        image_id: top_box(torch.from_numpy(boxes), torch.from_numpy(scores))
        for image_id, boxes, scores in table.by_image()
    }
    return top_boxes, gt_boxes, warnings
