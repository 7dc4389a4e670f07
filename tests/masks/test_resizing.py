import numpy as np
import pytest
import torch
import torch.nn.functional as F

from boxrefine_d2.errors import UserError
from boxrefine_d2.masks.resizing import (
    grid_map_to_input,
    grid_mask_to_input,
    input_mask_to_image,
)
from boxrefine_d2.structures import cell_box_to_input, mask_to_box


def random_mask(height, width, seed=0):
    return np.random.default_rng(seed).random((height, width)) > 0.5


def test_pixels_take_the_values_of_their_cells():
    mask = np.array([[True, False, True], [False, True, True]])
    on_input = grid_mask_to_input(mask, (2, 2), (3, 5))
    text = ["".join(".#"[int(x)] for x in row) for row in on_input]
    assert text == ["##..#", "##..#", "..###"]  # the last row and column are padding


def test_rows_and_columns_have_their_own_strides():
    mask = np.array([[True, False]])
    assert grid_mask_to_input(mask, (3, 1), (2, 2)).tolist() == [[True, False]] * 2


def test_a_fractional_stride():
    # 10 pixels to 3 cells: cell c begins at the first pixel i with 3 i >= 10 c, at 0, 4, 7
    mask = np.array([[True, False, True]])
    on_input = grid_mask_to_input(mask, (10, 10 / 3), (1, 10))
    assert on_input[0].tolist() == [True] * 4 + [False] * 3 + [True] * 3


def test_a_map_is_interpolated_between_the_borders_of_the_padded_input():
    values = np.array([[0, 1], [0.5, 1]], np.float32)
    on_input = grid_map_to_input(values, (2, 2.5), (3, 5))  # 4 x 5 pixels with the padding
    assert on_input.shape == (3, 5)
    assert on_input[0] == pytest.approx([0, 0.25, 0.5, 0.75, 1])
    assert on_input[:, 0] == pytest.approx([0, 0.5 / 3, 1 / 3])


@pytest.mark.parametrize("size", [(33, 47), (48, 48), (40, 35)])
def test_the_box_of_the_mask_is_the_box_of_the_cells(size):
    for seed in range(5):
        mask = np.zeros((3, 3), dtype=bool)
        mask[np.random.default_rng(seed).integers(0, 3, (2, 2)).tolist()] = True
        boxes = cell_box_to_input(
            mask_to_box(torch.from_numpy(mask)[None]), (16, 16), torch.tensor([size])
        )
        pixels = torch.from_numpy(grid_mask_to_input(mask, (16, 16), size))
        assert mask_to_box(pixels[None]).tolist() == boxes.tolist()


@pytest.mark.parametrize("size", [(7, 5), (13, 31), (12, 8), (5, 17)])
def test_nearest_equals_that_of_torch(size):
    mask = random_mask(6, 8)
    expected = F.interpolate(torch.from_numpy(mask)[None, None].float(), size, mode="nearest")[0, 0]
    assert np.array_equal(input_mask_to_image(mask, size, "nearest"), expected.numpy() > 0)


@pytest.mark.parametrize("size", [(75, 100), (31, 57), (17, 9)])
def test_resizing_through_the_input_equals_direct_resizing(size):
    mask = random_mask(6, 8)
    through_input = input_mask_to_image(
        grid_mask_to_input(mask, (16, 16), (96, 128)), size, "nearest"
    )
    assert np.array_equal(through_input, input_mask_to_image(mask, size, "nearest"))


@pytest.mark.parametrize("rule", ["nearest", "bicubic"])
def test_the_same_size_changes_nothing(rule):
    mask = random_mask(11, 7)
    assert np.array_equal(input_mask_to_image(mask, (11, 7), rule), mask)


def test_bicubic_by_hand():
    # A step of 255 is enlarged. The cubic is odd about the border: it crosses half of 255 there
    # and nowhere else.
    step = np.zeros((4, 6), dtype=bool)
    step[:, 3:] = True
    enlarged = input_mask_to_image(step, (16, 24), "bicubic")
    assert np.array_equal(enlarged, step.repeat(4, 0).repeat(4, 1))
    # One of nine pixels is reduced to one: far below half of 255, but the largest value.
    dot = np.zeros((9, 9), dtype=bool)
    dot[4, 4] = True
    expected = np.zeros((3, 3), dtype=bool)
    expected[1, 1] = True
    assert np.array_equal(input_mask_to_image(dot, (3, 3), "bicubic"), expected)


@pytest.mark.parametrize("size", [(37, 61), (333, 500), (640, 427), (20, 20)])
def test_no_cell_vanishes(size):
    # the input is MaskCut's square, whatever the shape of the image
    for row, column in [(0, 0), (3, 59), (59, 0), (31, 17)]:
        mask = np.zeros((60, 60), dtype=bool)
        mask[row, column] = True
        on_input = grid_mask_to_input(mask, (8, 8), (480, 480))
        assert on_input.sum() == 64
        assert input_mask_to_image(on_input, size, "bicubic").any()


@pytest.mark.parametrize("rule", ["nearest", "bicubic"])
@pytest.mark.parametrize("size", [(333, 500), (640, 427), (479, 481)])
def test_an_object_keeps_its_place_and_area(rule, size):
    mask = np.zeros((480, 480), dtype=bool)
    mask[120:360, 80:200] = True
    in_image = input_mask_to_image(mask, size, rule)
    assert in_image.dtype == np.bool_ and in_image.shape == size
    assert in_image.mean() == pytest.approx(mask.mean(), rel=0.02)
    ((x1, y1, x2, y2),) = mask_to_box(torch.from_numpy(in_image)[None]).tolist()
    height, width = size
    expected = [width / 6, height / 4, width * 5 / 12, height * 3 / 4]
    np.testing.assert_allclose([x1, y1, x2, y2], expected, atol=1)


@pytest.mark.parametrize("rule", ["nearest", "bicubic"])
def test_an_empty_mask_stays_empty(rule):
    assert not input_mask_to_image(np.zeros((9, 9), dtype=bool), (5, 20), rule).any()


def test_mistakes_are_named():
    mask = random_mask(3, 4)
    with pytest.raises(ValueError, match=r"input of 49 x 64 does not fit a grid of 3 x 4 cells"):
        grid_mask_to_input(mask, (16, 16), (49, 64))
    with pytest.raises(UserError, match="'linear' is unknown; known: nearest, bicubic"):
        input_mask_to_image(mask, (5, 5), "linear")
