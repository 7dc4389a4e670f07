import re
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close
from torchvision.ops import box_convert

import boxrefine_d2
from boxrefine_d2.structures import (
    FeatureMap,
    PseudoBoxes,
    boxes_input_to_image,
    cell_box_to_input,
    mask_to_box,
    mirrored_back,
    normalise,
    to_xywh,
    to_xyxy,
)


def test_mask_to_box_is_half_open_and_tight():
    mask = torch.zeros(2, 5, 7, dtype=torch.bool)
    mask[0, 1:4, 2:6] = True
    mask[1, 4, 6] = True
    assert mask_to_box(mask).tolist() == [[2, 1, 6, 4], [6, 4, 7, 5]]


def test_an_empty_mask_has_no_box():
    with pytest.raises(ValueError, match="empty mask"):
        mask_to_box(torch.zeros(1, 3, 3, dtype=torch.bool))


def test_cells_to_input_clips_only_the_far_corner():
    boxes = cell_box_to_input(torch.tensor([[2, 0, 8, 6]]), (16, 16), torch.tensor([[90, 125]]))
    assert boxes.tolist() == [[32, 0, 125, 90]]


def test_cells_to_input_with_different_strides():
    boxes = cell_box_to_input(torch.tensor([[1, 1, 3, 2]]), (10, 20.5), torch.tensor([[99, 99]]))
    assert_close(boxes, torch.tensor([[20.5, 10.0, 61.5, 20.0]]))


@pytest.mark.parametrize("size", [(304, 304), (97, 333), (1, 1)])
def test_normalised_boxes_round_trip(size):
    generator = torch.Generator().manual_seed(0)
    corners = torch.rand(20, 2, 2, generator=generator).sort(dim=1).values.flatten(1)
    boxes = corners * torch.tensor([size[1], size[0], size[1], size[0]])
    assert_close(to_xyxy(normalise(boxes, size), size), boxes)


def test_normalised_box_by_hand():
    # 20 x 10 pixels around (30, 15) of an image 60 wide, 30 high
    assert_close(
        normalise(torch.tensor([20.0, 10.0, 40.0, 20.0]), (30, 60)),
        torch.tensor([0.5, 0.5, 1 / 3, 1 / 3]),
    )


def test_input_to_image_scales_each_axis_and_clips():
    boxes = boxes_input_to_image(torch.tensor([[10.0, 10.0, 50.0, 41.0]]), (40, 50), (80, 200))
    assert boxes.tolist() == [[40, 20, 200, 80]]


def test_resized_pseudo_boxes_keep_their_masks():
    masks = torch.ones(1, 2, 3, dtype=torch.bool)
    boxes = PseudoBoxes(torch.tensor([[0.0, 0.0, 10.0, 10.0]]), torch.ones(1), (10, 10), masks)
    larger = boxes.resized((20, 30))
    assert larger.boxes.tolist() == [[0, 0, 30, 20]]
    assert larger.input_size == (20, 30)
    assert larger.masks is masks


def test_feature_map_refuses_contradictions():
    data = torch.zeros(2, 4, 3, 5)
    with pytest.raises(ValueError, match="1 image sizes for 2 images"):
        FeatureMap(data, 16, [(48, 80)])
    with pytest.raises(ValueError, match="does not fit"):
        FeatureMap(data, 16, [(48, 80), (49, 80)])
    with pytest.raises(ValueError, match="B, C, h, w"):
        FeatureMap(data[0], 16, [(48, 80)])


def test_tokens_are_row_major():
    tokens = torch.arange(6.0).view(1, 6, 1)
    features = FeatureMap.from_tokens(tokens, (2, 3), 16, [(32, 48)], "key")
    assert features.data[0, 0].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert_close(features.tokens(), tokens)


def test_xywh_equals_that_of_torchvision_to_the_bit():
    """The width is x2 - x1 in float64: boxes are half-open, unlike VOC's closed boxes."""
    boxes = 1000 * torch.rand(
        200, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    )
    boxes[:, 2:] += boxes[:, :2]
    expected = box_convert(boxes, "xyxy", "xywh").tolist()
    assert [to_xywh(box) for box in boxes.tolist()] == expected
    assert to_xywh((3, 4, 3, 6)) == [3, 4, 0, 2]


def test_only_one_file_converts_plain_boxes_to_xywh():
    package = Path(boxrefine_d2.__file__).parent
    written = re.compile(r"x2 - x1,\s*y2 - y1\s*\]|box\[3\] - box\[1\]\s*\]")
    homes = [p.name for p in package.rglob("*.py") if written.search(p.read_text(encoding="utf-8"))]
    assert homes == ["box_frames.py"]


def test_a_mirrored_box_comes_back_to_its_place():
    boxes = torch.tensor([[1.0, 2.0, 4.0, 7.0], [0.0, 0.0, 10.0, 3.0]])
    assert mirrored_back(boxes, 10).tolist() == [[6, 2, 9, 7], [0, 0, 10, 3]]
    assert mirrored_back(mirrored_back(boxes, 10), 10).equal(boxes)
    assert mirrored_back(boxes[:0], 10).shape == (0, 4)
