import numpy as np
import pytest
import torch

from boxrefine_d2.masks.coding import encode_masks
from boxrefine_d2.segmentation.crops import GREY, CropForm, crops_of


@pytest.fixture
def image():
    """A red square of 4 pixels in a blue image of 8 x 12 pixels."""
    pixels = np.zeros((8, 12, 3), np.uint8)
    pixels[..., 2] = 255
    pixels[2:6, 4:8] = (255, 0, 0)
    return pixels


def test_a_crop_is_the_box_and_its_margin(image):
    label = {"bbox": [4, 2, 4, 4]}
    inner = crops_of(image, label, CropForm(4, 0.0, "keep"))
    assert inner.shape == (1, 3, 4, 4) and inner.dtype == torch.uint8
    assert (inner[0, 0] == 255).all() and not inner[0, 1:].any()
    outer = crops_of(image, label, CropForm(8, 0.5, "keep"))[0]
    assert torch.equal(outer, torch.from_numpy(image[:, 2:10]).permute(2, 0, 1))


def test_a_long_box_keeps_its_aspect_and_grey_fills_what_lies_outside(image):
    [crop] = crops_of(image, {"bbox": [0, 2, 12, 4]}, CropForm(12, 0.0, "keep"))
    assert torch.equal(crop[:, 2:10], torch.from_numpy(image).permute(2, 0, 1))
    for row in (0, 1, 10, 11):
        assert crop[:, row].T.unique(dim=0).tolist() == [list(GREY)]


@pytest.mark.parametrize(("outside", "kinds"), [("keep", 1), ("grey", 1), ("both", 2)])
def test_a_mask_hides_what_lies_outside(image, outside, kinds):
    mask = np.zeros((8, 12), bool)
    mask[2:6, 4:6] = True
    label = {"bbox": [4, 2, 4, 4], "segmentation": encode_masks(mask[None])[0]}
    crops = crops_of(image, label, CropForm(4, margin=0.0, outside=outside))
    assert len(crops) == kinds
    whole, hidden = crops[0], crops[-1]
    if outside != "grey":
        assert (whole[0] == 255).all()
    if outside != "keep":
        assert (hidden[0, :, :2] == 255).all()
        assert hidden[:, :, 2:].flatten(1).T.unique(dim=0).tolist() == [list(GREY)]
