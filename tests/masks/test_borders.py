import cv2
import numpy as np
import pytest
from scipy import ndimage

from boxrefine_d2.masks.borders import border_boxes


def test_a_ring_has_two_borders():
    mask = np.zeros((10, 12), dtype=bool)
    mask[1:9, 2:11] = True
    mask[3:6, 4:8] = False
    assert border_boxes(mask).tolist() == [[2, 1, 11, 9], [3, 2, 9, 7]]


@pytest.mark.parametrize("value", [False, True])
def test_an_empty_mask_has_no_border_and_a_full_one_its_frame(value):
    assert border_boxes(np.full((4, 5), value)).tolist() == ([[0, 0, 5, 4]] if value else [])


@pytest.mark.parametrize("seed", range(8))
def test_boxes_are_those_of_opencv(seed):
    """The masks have many parts inside holes of other parts."""
    noise = np.random.default_rng(seed).normal(size=(60, 50))
    mask = ndimage.gaussian_filter(noise, 1) > 0
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_TREE, cv2.CHAIN_APPROX_NONE)
    expected = [(x, y, x + w, y + h) for x, y, w, h in map(cv2.boundingRect, contours)]
    boxes = border_boxes(mask)
    assert len(boxes) > 20
    assert sorted(map(tuple, boxes.tolist())) == sorted(expected)
