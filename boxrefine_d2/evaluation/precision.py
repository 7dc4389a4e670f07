"""Precision of the top boxes: CorLoc among the images that have a prediction.

Precision is the percentage of hits among the images that have at least one predicted box and at
least one ground-truth box. An image is a hit if its best-scored box has IoU >= 0.5 with any
ground-truth box, as in CorLoc. Pseudo-labels that keep few images can have a high precision and a
low CorLoc; both numbers of images are returned.
"""

from boxrefine_d2.errors import UserError

from .corloc import localise_top_boxes
from .ground_truth import GroundTruth
from .predictions import PredictionFile
from .results import MetricResult


def precision_of_file(ground_truth: GroundTruth, predictions: PredictionFile) -> MetricResult:
    """Return the precision of a prediction file; categories are ignored.

    Raises: UserError if no image has a prediction and ground truth, and see `preflight`.
    """
    result, warnings = localise_top_boxes(ground_truth, predictions, "precision", all_images=False)
    evaluated = len(result.hits) - result.without_prediction
    if not evaluated:
        raise UserError(
            f"{predictions.path}: none of its images has a ground-truth box in "
            f"{ground_truth.name} under this protocol; precision is not defined"
        )
    percent = 100.0 * sum(result.hits.values()) / evaluated
    counts = {"images_evaluated": evaluated, "images_with_ground_truth": len(result.hits)}
    return MetricResult({"precision": percent}, counts, warnings)
