"""Masks and colours of square training inputs."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import functional as TF

from boxrefine_d2.data.mappers import SquareMapper
from boxrefine_d2.data.mappers.colour_jitter import ColourJitter
from boxrefine_d2.data.region_masks import crop_masks, with_region_masks
from boxrefine_d2.errors import UserError
from boxrefine_d2.masks.coding import encode_masks

HEIGHT, WIDTH, SIDE, CELLS = 96, 144, 64, 8


def square_mapper(**changes) -> SquareMapper:
    settings = {"size": SIDE, "crop_area": (0.4, 1.0), "crop_aspect": (0.75, 1.33), "flip": True}
    return SquareMapper(**settings | {"seed": 3, "mask_cells": CELLS} | changes)


def annotation(mask):
    rows, columns = np.nonzero(mask)
    box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    [rle] = encode_masks(mask[None])
    return {"bbox": [float(x) for x in box], "iscrowd": 0, "segmentation": rle}


@pytest.fixture
def record(tmp_path):
    """A record whose image is white inside of a mask and black outside."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    mask = (y - 50) ** 2 / 30**2 + (x - 60) ** 2 / 45**2 < 1
    mask[10:90, 120:124] = True
    path = tmp_path / "mask.png"
    Image.fromarray(np.uint8(mask)[..., None].repeat(3, 2) * 255).save(path)
    plain = {"file_name": str(path), "image_id": 1, "height": HEIGHT, "width": WIDTH}
    return plain | {"annotations": [annotation(mask)]}


@pytest.mark.parametrize("position", range(12))
def test_masks_follow_crop_resizing_and_mirror(record, position):
    """The image shows the mask. The mean of its pixels in a cell is the share of the cell."""
    [with_masks] = with_region_masks([record], SIDE)
    sample = square_mapper(interpolation=TF.InterpolationMode.BILINEAR)(with_masks, position)
    shown = sample["image"].float().mean(dim=0) / 255
    by_pixels = torch.nn.functional.avg_pool2d(shown[None], SIDE // CELLS)
    assert sample["target_masks"].shape == (1, CELLS, CELLS)
    difference = (sample["target_masks"] - by_pixels).abs()
    assert difference.max() < 0.1 and difference.mean() < 0.015


def test_mirrored_and_upright_inputs_were_both_tested(record):
    [with_masks] = with_region_masks([record], SIDE)
    mapper = square_mapper(crop_area=())
    keys = {mapper(with_masks, position)["input_key"][1] for position in range(12)}
    assert keys == {True, False}


@pytest.mark.parametrize("crop", [(0, 0, 96, 144), (12, 36, 48, 72), (7, 31, 65, 90)])
def test_a_reduced_mask_is_nearly_as_good_as_its_pixels(record, crop):
    """The reduced mask has a cell of 1.5 x 2.25 pixels, and a crop's cell at least 6 x 9."""
    [with_masks] = with_region_masks([record], SIDE)
    assert with_masks["region_masks"].shape == (1, SIDE, SIDE)
    assert with_masks["region_masks"].dtype == np.uint8
    shares = crop_masks(with_masks["region_masks"], crop, (HEIGHT, WIDTH), CELLS)[0]
    top, left, height, width = crop
    pixels = np.array(Image.open(record["file_name"]))[..., 0] > 0
    fine = np.kron(pixels, np.ones((CELLS, CELLS)))  # a cell is a whole number of pieces
    cut = fine[CELLS * top :][: CELLS * height, CELLS * left :][:, : CELLS * width]
    exact = cut.reshape(CELLS, height, CELLS, width).mean(axis=(1, 3))
    np.testing.assert_allclose(shares, exact, atol=0.06)
    if crop == (0, 0, HEIGHT, WIDTH):  # edges of cells are edges of reduced cells
        np.testing.assert_allclose(shares, exact, atol=0.5 / 255 + 1e-6)


def test_crowds_have_no_mask_and_an_image_may_have_none(record):
    crowd = record["annotations"][0] | {"iscrowd": 1}
    first, second = with_region_masks([record | {"annotations": [crowd]}, record], 16)
    assert [len(x["region_masks"]) for x in (first, second)] == [0, 1]
    assert square_mapper()(first, 0)["target_masks"].shape == (0, CELLS, CELLS)
    assert "region_masks" not in record


def test_missing_and_damaged_masks_are_one_line(record):
    without = {k: v for k, v in record["annotations"][0].items() if k != "segmentation"}
    with pytest.raises(UserError, match=r"masks: 1 of 2 annotations have no mask \(first: .*png\)"):
        with_region_masks([record, record | {"annotations": [without]}], 16)
    other = annotation(np.ones((4, 5), bool))
    with pytest.raises(UserError, match="image 1: a segmentation is 5 x 4 pixels") as caught:
        with_region_masks([record | {"annotations": [other]}], 16)
    assert "boxrefine discover" in str(caught.value) and "\n" not in str(caught.value)


def test_colours_change_within_their_ranges():
    grey = Image.new("RGB", (8, 8), (100, 120, 140))
    jitter = ColourJitter(brightness=(0.5, 0.5), saturation=(0.0, 0.0))
    changed = np.array(jitter(grey))
    assert jitter.is_on and np.ptp(changed) == 0  # no saturation is grey
    assert abs(int(changed[0, 0, 0]) - 58) <= 2  # half of the luma 0.3 * 100 + 0.59 * 120 + ...
    assert ColourJitter()(grey) is grey


def test_colours_leave_all_other_draws_and_name_no_input(record):
    colours = ColourJitter(contrast=(0.5, 1.5))
    plain, other = square_mapper(mask_cells=0), square_mapper(mask_cells=0, jitter=colours)
    assert not torch.equal(plain(record, 4)["image"], other(record, 4)["image"])
    assert torch.equal(other(record, 4)["image"], other(record, 4)["image"])
    whole = square_mapper(crop_area=(), mask_cells=0)
    assert "input_key" in whole(record, 0)
    whole.jitter = colours
    assert "input_key" not in whole(record, 0)
