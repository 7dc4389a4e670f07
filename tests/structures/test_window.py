"""Windows against pixels that are moved one by one."""

import numpy as np
import pytest
import torch

from boxrefine_d2.structures import Window, mask_to_box

SIZE = (9, 13)
WINDOWS = [
    Window(0, 0, SIZE),
    Window(0, 0, SIZE, mirrored=True),
    Window(2, 3, (5, 8)),
    Window(1, 4, (7, 6), mirrored=True),
]


def place(window, row, column):
    """Return the row and column in the image of a pixel of the window."""
    return window.top + row, window.left + (
        window.size[1] - 1 - column if window.mirrored else column
    )


@pytest.mark.parametrize("window", WINDOWS)
def test_pixels_and_masks_keep_their_place(window):
    image = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    cut = window.cut(image)
    masks = np.random.default_rng(1).random((2, *window.size)) < 0.5
    expected = np.zeros((2, *SIZE), bool)
    for row in range(window.size[0]):
        for column in range(window.size[1]):
            there = place(window, row, column)
            assert (cut[row, column] == image[there]).all()
            expected[(slice(None), *there)] = masks[:, row, column]
    assert cut.flags.c_contiguous
    assert np.array_equal(window.masks_to_image(masks, SIZE), expected)


@pytest.mark.parametrize("window", WINDOWS)
def test_a_box_moves_with_its_mask(window):
    draw = np.random.default_rng(2)
    for _ in range(20):
        mask = draw.random((1, *window.size)) < 0.06
        mask[0, draw.integers(window.size[0]), draw.integers(window.size[1])] = True
        box = mask_to_box(torch.from_numpy(mask)).double().numpy()
        moved = window.masks_to_image(mask, SIZE)
        expected = mask_to_box(torch.from_numpy(moved)).tolist()
        assert window.boxes_to_image(box).tolist() == expected


def test_no_box_and_no_mask():
    window = WINDOWS[3]
    assert window.boxes_to_image(np.zeros((0, 4))).shape == (0, 4)
    assert window.masks_to_image(np.zeros((0, *window.size), bool), SIZE).shape == (0, *SIZE)
