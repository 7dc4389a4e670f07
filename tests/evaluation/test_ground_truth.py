import pytest
import torch
from detectron2.structures import BoxMode

from boxrefine_d2.errors import UserError
from boxrefine_d2.evaluation.ground_truth import (
    PROTOCOLS,
    GroundTruth,
    check_labels,
    ground_truth_boxes,
    protocol_for,
    release_rounding,
)


def annotation(box, mode=BoxMode.XYXY_ABS, **marks):
    return {"bbox": box, "bbox_mode": mode, "category_id": 0, "iscrowd": 0, **marks}


def record(*annotations, image_id=1, size=(480, 640)):
    return {
        "image_id": image_id,
        "height": size[0],
        "width": size[1],
        "annotations": list(annotations),
    }


@pytest.mark.parametrize(("side", "moved"), [(480, 7), (427, 26), (640, 0)])
def test_release_rounding_moves_integers_down_by_one(side, moved):
    """Golden: number of the integers 0..side that the release's rounding moves (spec 2.3).

    The release divides in float32 and truncates.
    """
    integers = torch.arange(side + 1, dtype=torch.float64)
    boxes = integers[:, None].expand(-1, 4)
    rounded = release_rounding(boxes, (side, side))
    shift = boxes - rounded
    assert set(shift.unique().tolist()) <= {0.0, 1.0}
    assert (shift != 0).any(dim=1).sum() == moved


def test_release_rounding_uses_the_width_for_x_and_the_height_for_y():
    width_moves = [
        x
        for x in range(428)
        if release_rounding(torch.full((1, 4), float(x)), (640, 427))[0, 0] != x
    ]
    x = float(width_moves[0])
    assert release_rounding(torch.full((1, 4), x), (640, 427)).tolist() == [[x - 1, x, x - 1, x]]


def test_release_truncates_and_needs_the_size():
    boxes = torch.tensor([[1.9, 2.5, 10.99, 20.0]], dtype=torch.float64)
    assert release_rounding(boxes, (640, 640)).tolist() == [[1.0, 2.0, 10.0, 20.0]]
    with pytest.raises(UserError, match="size"):
        release_rounding(boxes, (None, None))


def test_difficult_and_truncated_objects_count_unless_no_hard():
    image = record(
        annotation([0, 0, 1, 1], difficult=True, truncated=False),
        annotation([0, 0, 2, 2], difficult=False, truncated=True),
        annotation([0, 0, 3, 3], difficult=False, truncated=False),
    )
    assert len(ground_truth_boxes(image, PROTOCOLS["lost"])) == 3
    assert ground_truth_boxes(image, PROTOCOLS["no_hard"]).tolist() == [[0, 0, 3, 3]]


def test_crowd_boxes_count_in_the_release_only():
    image = record(annotation([0, 0, 8, 8], iscrowd=1), annotation([0, 0, 4, 4]))
    assert ground_truth_boxes(image, PROTOCOLS["lost"]).tolist() == [[0, 0, 4, 4]]
    assert len(ground_truth_boxes(image, PROTOCOLS["release"])) == 2


def test_release_drops_images_with_thin_boxes_only():
    thin, good = annotation([5, 5, 6, 90]), annotation([5, 5, 50, 90])
    assert ground_truth_boxes(record(thin), PROTOCOLS["release"]).shape == (0, 4)
    assert len(ground_truth_boxes(record(thin, good), PROTOCOLS["release"])) == 2
    assert len(ground_truth_boxes(record(thin), PROTOCOLS["lost"])) == 1


def test_coco20k_rounds_corners_with_ties_to_even():
    image = record(annotation([0.5, 1.5, 2.5, 3.6]))
    rounded = ground_truth_boxes(image, protocol_for("lost", rounds_boxes=True))
    assert rounded.tolist() == [[0.0, 2.0, 2.0, 4.0]]
    assert ground_truth_boxes(image, protocol_for("lost")).tolist() == [[0.5, 1.5, 2.5, 3.6]]


def test_rounding_of_the_release_stays_its_own():
    assert protocol_for("release", rounds_boxes=True) == PROTOCOLS["release"]


def test_xywh_becomes_corners_in_float64():
    image = record(annotation([0.1, 0.2, 0.7, 0.1], mode=BoxMode.XYWH_ABS))
    boxes = ground_truth_boxes(image, PROTOCOLS["lost"])
    assert boxes.dtype == torch.float64
    assert boxes.tolist() == [[0.1, 0.2, 0.1 + 0.7, 0.2 + 0.1]]


def test_other_box_modes_are_refused():
    with pytest.raises(ValueError, match="bbox_mode"):
        ground_truth_boxes(
            record(annotation([0, 0, 1, 1], mode=BoxMode.XYWHA_ABS)), PROTOCOLS["lost"]
        )


def test_image_without_boxes_gives_an_empty_tensor():
    truth = GroundTruth("some", [record(annotation([0, 0, 1, 1])), record(image_id=2)]).boxes()
    assert {i: tuple(b.shape) for i, b in truth.items()} == {1: (1, 4), 2: (0, 4)}


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ([], "no images"),
        ([{"image_id": 1}], "no labels"),
        ([{"image_id": 1, "annotations": []}], "none of its 1 images"),
        ([record(annotation([0, 0, 1, 1])), record()], "image id 1 occurs twice"),
    ],
)
def test_unusable_labels(records, message):
    with pytest.raises(UserError, match=message) as caught:
        check_labels(records, "folder:x")
    assert "folder:x" in str(caught.value)


def test_unknown_protocol_lists_the_known():
    with pytest.raises(UserError, match="protocol 'voc' is unknown; known: lost, no_hard, release"):
        protocol_for("voc")


def test_no_hard_needs_marks():
    with pytest.raises(UserError, match="no_hard.*marks no object"):
        GroundTruth("coco:x:y", [record(annotation([0, 0, 1, 1]))], protocol="no_hard").boxes()
