"""Metrics of one box and ranked labels an image."""

import pytest
from detectron2.structures import BoxMode

from boxrefine_d2.errors import UserError
from boxrefine_d2.evaluation import GroundTruth, evaluate_predictions
from boxrefine_d2.evaluation.predictions import PredictionFile

IDS = (7, 3, 5, 11, 20, 40)  # of the categories 0, 1, ...
ALL = ("gt_known", "gt_loc_30", "gt_loc_50", "gt_loc_70", "gt_loc_80", "gt_loc_90")
CLASSES = ("top1_cls", "top5_cls")
BOTH = ("top1_loc", "top5_loc")


def record(image_id, label, *boxes):
    marks = {"bbox_mode": BoxMode.XYXY_ABS, "category_id": label or 0, "iscrowd": 0}
    of_image = {"image_id": image_id, "file_name": f"{image_id}.jpg", "height": 100, "width": 100}
    of_image["annotations"] = [{"bbox": box, **marks} for box in boxes]
    return of_image | ({} if label is None else {"image_label": label})


SQUARE = [0.0, 0.0, 10.0, 10.0]
TRUTH = GroundTruth("made", [record(i, i % 3, SQUARE) for i in range(5)], IDS)


def entry(image_id, height=10.0, labels=IDS):
    """Return a box whose IoU with SQUARE is a tenth of its height."""
    return {"image_id": image_id, "bbox": [0, 0, 10, height], "labels": list(labels)}


def scored(entries, metrics, truth=TRUTH):
    return evaluate_predictions(truth, PredictionFile("loc.json", entries), metrics)


def test_boxes_at_each_iou():
    result = scored([entry(0, 10), entry(1, 8), entry(2, 5), entry(3, 3), entry(4, 2.9)], ALL)
    assert result.values == {
        "gt_known": 60,
        "gt_loc_30": 80,
        "gt_loc_50": 60,
        "gt_loc_70": 40,
        "gt_loc_80": 40,
        "gt_loc_90": 20,
    }
    assert set(result.rules.values()) == {"the box of the file"}


def test_images_without_a_box_are_misses_and_without_ground_truth_are_left_out():
    truth = GroundTruth("made", [*TRUTH.records, record(5, 0)], IDS)
    result = scored([entry(0), entry(1), entry(2), entry(5)], ("gt_known",), truth)
    assert result.values == {"gt_known": 60}
    assert result.counts == {
        "images_evaluated": 5,
        "images_without_ground_truth": 1,
        "images_without_prediction": 2,
    }


def test_the_class_is_compared_by_the_ids_of_the_source():
    """The classes of the images are 7, 3, 5, 7, 3."""
    labels = [(7,), (7, 3), (7, 3, 11, 20, 40, 5), (3, 5, 11, 20, 7), (40,)]
    result = scored([entry(i, labels=of) for i, of in enumerate(labels)], CLASSES)
    assert result.values == {"top1_cls": 20, "top5_cls": 60}


def test_the_class_and_the_box_must_be_right():
    """Image 0: both; 1: the box alone; 2: the class alone; 3: the class in place 5, and the box."""
    entries = [
        entry(0, labels=[7]),
        entry(1, labels=[5]),
        entry(2, 4.9, labels=[5]),
        entry(3, labels=[3, 5, 11, 20, 7]),
    ]
    assert scored(entries, BOTH).values == {"top1_loc": 20, "top5_loc": 40}


def test_the_class_of_an_image_is_that_of_its_objects_if_it_has_no_label():
    truth = GroundTruth("made", [record(0, None, SQUARE)], IDS)
    assert scored([entry(0)], CLASSES, truth).values == {"top1_cls": 100, "top5_cls": 100}


def test_data_without_boxes_have_a_class_accuracy():
    of_image = record(0, 1)
    del of_image["annotations"]
    truth = GroundTruth("made", [of_image], IDS)
    assert scored([entry(0, labels=[3])], CLASSES, truth).values["top1_cls"] == 100
    with pytest.raises(UserError, match="has no labels"):
        scored([entry(0)], ("gt_known",), truth)


def test_data_with_images_of_several_classes():
    mixed = record(0, None, SQUARE, SQUARE)
    mixed["annotations"][1]["category_id"] = 1
    with pytest.raises(UserError, match=r"\+one_class"):
        scored([entry(0)], CLASSES, GroundTruth("made", [mixed], IDS))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (None, "have no 'labels', which metric 'top1_cls' reads"),
        (7, "write the ranked category ids"),
        ([], "write the ranked category ids"),
        ([[7]], "write the ranked category ids"),
        ([7, 2], r"label 2 of image 0 is no category id of the ground truth \(known: 7, 3, 5"),
    ],
)
def test_labels_that_cannot_be_read(labels, message):
    row = entry(0)
    row["labels"] = labels
    if labels is None:
        del row["labels"]
    with pytest.raises(UserError, match=message):
        scored([row], CLASSES)


def test_data_without_classes():
    with pytest.raises(UserError, match="has no classes; top1_cls needs data such as classes:DIR"):
        scored([entry(0)], CLASSES, GroundTruth("made", TRUTH.records, ()))


def test_labels_of_other_images():
    with pytest.raises(UserError, match="none of its 1 image ids"):
        scored([entry(99)], CLASSES)


def test_the_best_record_of_an_image_counts_and_the_first_among_equals():
    """The classes of the images are 7 and 3. Box and labels come from the same record."""
    truth = GroundTruth("made", TRUTH.records[:2], IDS)
    entries = [
        entry(0, labels=[7]),
        entry(0, 2, labels=[3]),
        entry(1, 2, labels=[7]) | {"score": 0.1},
        entry(1, labels=[3]) | {"score": 0.2},
    ]
    for metrics in (CLASSES, BOTH, ("gt_known",)):
        assert set(scored(entries, metrics, truth).values.values()) == {100}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"score": "high"}, "score of image 0 is 'high', not a number"),
        ({"score": float("nan")}, "score of image 0 is nan; it must be a finite number"),
        ({"image_id": [0]}, "is neither a whole number nor a text"),
    ],
)
def test_records_that_cannot_be_compared(change, message):
    with pytest.raises(UserError, match=message):
        scored([entry(0) | change], CLASSES)
