"""Precision: the share of hits among the images that have a prediction and an object."""

import pytest
from detectron2.structures import BoxMode

from boxrefine_d2.errors import UserError
from boxrefine_d2.evaluation import GroundTruth, evaluate_predictions
from boxrefine_d2.evaluation.predictions import PredictionFile


def record(image_id, *boxes):
    marks = {"bbox_mode": BoxMode.XYXY_ABS, "category_id": 0, "iscrowd": 0}
    annotations = [{"bbox": box, **marks} for box in boxes]
    size = {"height": 100, "width": 100}
    return {"image_id": image_id, "file_name": f"{image_id}.jpg", "annotations": annotations} | size


SQUARE = [0.0, 0.0, 10.0, 10.0]
TRUTH = GroundTruth("made", [*(record(i, SQUARE) for i in range(1, 8)), record(8)])


def entry(image_id, box, score=1.0):
    return {"image_id": image_id, "bbox": box, "score": score}


def scored(entries, metrics=("precision",)):
    return evaluate_predictions(TRUTH, PredictionFile("pred.json", entries), metrics)


def test_images_without_a_prediction_are_no_misses():
    """Image 1 is a hit with IoU 1/2, 2 a miss, 3 a hit by its second box; 8 has no object."""
    entries = [
        entry(1, [0, 0, 10, 5]),
        entry(2, [0, 0, 10, 4.9]),
        entry(3, [50, 50, 9, 9], 0.1),
        entry(3, SQUARE, 0.2),
        entry(8, SQUARE),
    ]
    result = scored(entries)
    assert result.values == {"precision": pytest.approx(200 / 3)}
    assert result.counts == {"images_evaluated": 3, "images_with_ground_truth": 7}
    assert result.warnings == []
    assert result.to_text().splitlines() == [
        "precision                 66.67 %",
        "images evaluated                3",
        "images with ground truth        7",
    ]


def test_only_the_best_box_of_an_image_counts():
    assert scored([entry(1, SQUARE, 0.1), entry(1, [50, 50, 9, 9], 0.2)]).values["precision"] == 0


def test_beside_corloc():
    result = scored([entry(1, SQUARE), entry(2, [50, 50, 9, 9])], ("corloc", "precision"))
    assert result.values == {"corloc": pytest.approx(100 / 7), "precision": 50.0}
    assert result.counts["precision_images_evaluated"] == 2
    assert "all others count as misses" in result.warnings[0]


def test_it_is_not_defined_without_an_image_that_has_both():
    with pytest.raises(UserError, match="pred.json: none of its images has a ground-truth box"):
        scored([entry(8, SQUARE)])
