"""The edits of one image's labels, against results worked out by hand and decoded masks."""

import numpy as np
import pytest
from pycocotools import mask as mask_codec

from boxrefine_d2.pseudo_labels.edit.edits import match, merge, separate, top

IMAGE = {"id": 1, "file_name": "1.jpg", "height": 10, "width": 20}


def box(score, xywh):
    return {"score": score, "bbox": xywh}


def merged(old, new, by="mask", min_score=0.7, max_iou=0.5):
    result = merge(IMAGE, old, new, min_score=min_score, max_iou=max_iou, by=by)
    return [old.index(label) for label in result.kept], [new.index(label) for label in result.added]


@pytest.mark.parametrize("by", ["mask", "box"])
def test_an_old_label_of_iou_one_half_is_dropped(rectangle, by):
    """The prediction is the left half of the first old label: 50 of 100 pixels.

    It has no pixel in common with the second old label.
    """
    old = [rectangle(1.0, [0, 0, 10, 10]), rectangle(1.0, [10, 0, 10, 10])]
    assert merged(old, [rectangle(0.9, [0, 0, 5, 10])], by) == ([1], [0])
    # 4 of 10 columns give an IoU of 0.4, and the label stays
    assert merged(old, [rectangle(0.9, [0, 0, 4, 10])], by) == ([0, 1], [0])


@pytest.mark.parametrize("by", ["mask", "box"])
def test_only_the_best_overlap_counts(rectangle, by):
    """Two predictions of IoU 0.4 each, on both sides of the old label, do not drop it."""
    sides = [rectangle(0.9, [0, 0, 4, 10]), rectangle(0.8, [6, 0, 4, 10])]
    assert merged([rectangle(1.0, [0, 0, 10, 10])], sides, by) == ([0], [0, 1])


def test_a_score_equal_to_the_lowest_one_counts(rectangle):
    old = [rectangle(1.0, [0, 0, 10, 10])]
    new = [rectangle(0.7, [0, 0, 10, 10]), rectangle(0.699, [10, 0, 10, 10])]
    assert merged(old, new) == ([], [0])


def test_without_a_confident_prediction_all_old_labels_stay(rectangle):
    old = [rectangle(1.0, [0, 0, 10, 10]), rectangle(0.1, [0, 0, 10, 10])]
    assert merged(old, [rectangle(0.69, [0, 0, 10, 10])]) == ([0, 1], [])
    assert merged(old, []) == ([0, 1], [])


def test_without_old_labels_the_confident_predictions_are_the_labels(rectangle):
    new = [rectangle(0.9, [0, 0, 9, 9]), rectangle(0.8, [0, 0, 9, 9]), rectangle(0.2, [0, 0, 9, 9])]
    assert merged([], new) == ([], [0, 1])
    assert merged([], []) == ([], [])


def test_masks_and_boxes_can_disagree(rectangle):
    """The boxes are equal; their masks are the left and the right half."""
    old = [rectangle(1.0, [0, 0, 10, 10], filled=[0, 0, 5, 10])]
    new = [rectangle(0.9, [0, 0, 10, 10], filled=[5, 0, 5, 10])]
    assert merged(old, new, "mask") == ([0], [0])
    assert merged(old, new, "box") == ([], [0])


def test_labels_without_a_score_have_the_score_1(rectangle):
    label = rectangle(0.0, [0, 0, 10, 10])
    del label["score"]
    assert merged([], [label], min_score=1.0) == ([], [0])


@pytest.mark.parametrize("seed", range(5))
def test_merge_and_match_agree_with_decoded_masks(seed):
    rng = np.random.default_rng(seed)

    def labels(count):
        made = []
        for score in rng.random(count):
            mask = np.zeros((10, 20), np.uint8, order="F")
            (y, x), (h, w) = rng.integers(0, (6, 12)), rng.integers(3, (10, 12))
            mask[y : y + h, x : x + w] = rng.random(mask[y : y + h, x : x + w].shape) < 0.9
            made.append(
                {"score": score, "bbox": [0, 0, 1, 1], "segmentation": mask_codec.encode(mask)}
            )
        return made

    def iou(one, other):
        one, other = (mask_codec.decode(x["segmentation"]).astype(bool) for x in (one, other))
        return (one & other).sum() / max((one | other).sum(), 1)

    old, new = labels(30), labels(6)
    confident = [p for p in new if p["score"] >= 0.3]
    best = [max(iou(label, p) for p in confident) for label in old]
    expected = [i for i, value in enumerate(best) if value < 0.4]
    assert 0 < len(expected) < 30
    assert merged(old, new, min_score=0.3, max_iou=0.4)[0] == expected
    result = match(IMAGE, old, new, min_score=0.3, min_iou=0.4, by="mask")
    assert [old.index(x) for x in result.kept] == [i for i in range(30) if i not in expected]
    assert result.added == []


def separated(labels, drop):
    result = separate(labels, drop=drop)
    assert result.added == []
    return [labels.index(label) for label in result.kept]


def test_overlapping_boxes_drop_all_labels_of_the_image_or_themselves():
    """The first two boxes share the pixel column from 9 to 10; the third overlaps none."""
    labels = [box(0.9, [0, 0, 10, 10]), box(0.8, [9, 0, 5, 10]), box(0.7, [15, 0, 5, 10])]
    assert separated(labels, "images") == []
    assert separated(labels, "instances") == [2]
    assert separated(labels[1:], "images") == [0, 1]
    assert separated(labels[:1], "images") == [0]
    assert separated([], "images") == separated([], "instances") == []


def test_borders_and_corners_that_touch_do_not_overlap():
    """0.1 + 0.2 is above 0.3 in binary floating point."""
    labels = [box(1, [0.1, 0, 0.2, 1]), box(1, [0.3, 0, 1, 1]), box(1, [1.3, 1, 1, 1])]
    assert separated(labels, "images") == [0, 1, 2]
    assert separated([box(1, [0, 0, 2, 2]), box(1, [1.99, 1.99, 2, 2])], "images") == []


def test_a_box_within_another_overlaps_it():
    labels = [box(1, [0, 0, 10, 10]), box(1, [4, 4, 1, 1])]
    assert separated(labels, "instances") == []


def test_equal_boxes_overlap():
    labels = [box(0.5, [0, 0, 2, 2]), box(0.4, [0, 0, 2, 2])]
    assert separated(labels, "instances") == []


@pytest.mark.parametrize("by", ["mask", "box"])
def test_a_label_stays_if_it_overlaps_a_confident_prediction(rectangle, by):
    """The IoUs are exactly 0.5 with the first prediction; 0.4; 1 with a low score; and none."""
    labels = [
        rectangle(1.0, [0, 0, 10, 10]),
        rectangle(1.0, [0, 0, 2, 10]),
        rectangle(1.0, [10, 0, 5, 5]),
        rectangle(1.0, [15, 5, 5, 5]),
    ]
    predictions = [rectangle(0.7, [0, 0, 5, 10]), rectangle(0.69, [10, 0, 5, 5])]
    result = match(IMAGE, labels, predictions, min_score=0.7, min_iou=0.5, by=by)
    assert [labels.index(label) for label in result.kept] == [0]
    assert match(IMAGE, labels, [], min_score=0.7, min_iou=0.5, by=by).kept == []
    assert match(IMAGE, [], predictions, min_score=0.7, min_iou=0.5, by=by).kept == []


def test_the_highest_scores_stay_and_ties_keep_the_file_order():
    labels = [box(score, [i, 0, 1, 1]) for i, score in enumerate([0.5, 0.9, 0.5, 0.1])]
    assert top(labels, count=2, min_score=None).kept == [labels[1], labels[0]]
    assert top(labels, count=9, min_score=0.5).kept == [labels[1], labels[0], labels[2]]
    assert top([], count=1, min_score=None).kept == []
