import numpy as np
import torch

from boxrefine_d2.analysis.cells import (
    cell_centres,
    cells_in_box,
    cells_in_image,
    cells_in_mask,
)
from boxrefine_d2.structures import FeatureMap


def grid(image_size=(8, 20)):
    """Return the centres of 2 x 3 cells of 4 x 8 pixels.

    The input is 8 x 20 pixels, and half of the last column is padding.
    """
    features = FeatureMap(torch.zeros(1, 1, 2, 3), (4, 8), [(8, 20)])
    return cell_centres(features, image_size)


def test_centres_are_in_pixels_of_the_image():
    assert grid().tolist() == [[4, 2], [12, 2], [20, 2], [4, 6], [12, 6], [20, 6]]
    # the image is two and three times as large as the input
    assert grid(image_size=(16, 60))[[0, 5]].tolist() == [[12, 4], [60, 12]]


def test_a_box_is_half_open():
    assert cells_in_box(grid(), (4, 2, 12, 6)).tolist() == [True] + [False] * 5
    assert cells_in_box(grid(), (4, 2, 12.1, 6.1)).tolist() == [True, True, False] * 2


def test_centres_in_the_padding_are_not_in_the_image():
    assert cells_in_image(grid(), (8, 20)).tolist() == [True, True, False] * 2


def test_a_mask_decides_by_the_pixel_at_the_centre_of_a_cell():
    mask = np.zeros((8, 20), bool)
    mask[2, 4] = mask[6, 12] = mask[5, 4] = True  # the last pixel is next to a centre
    assert cells_in_mask(grid(), mask).tolist() == [True, False, False, False, True, False]
    assert cells_in_mask(grid(), np.ones((8, 20), bool)).tolist() == [True, True, False] * 2
