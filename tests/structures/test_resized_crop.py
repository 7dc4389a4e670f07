"""Frame of a crop of a resized image."""

import numpy as np
import pytest

from boxrefine_d2.structures import ResizedCrop


def test_a_box_worked_out_by_hand():
    """A 100 x 200 image becomes 50 x 50: y is halved, x is a quarter. The crop starts at 5, 10."""
    frame = ResizedCrop((100, 200), (50, 50), top=5, left=10, size=(40, 30))
    boxes = np.array([[80.0, 20.0, 120.0, 60.0]])
    assert frame.boxes_to_input(boxes).tolist() == [[10.0, 5.0, 20.0, 25.0]]
    mirrored = ResizedCrop((100, 200), (50, 50), top=5, left=10, size=(40, 30), mirrored=True)
    assert mirrored.boxes_to_input(boxes).tolist() == [[10.0, 5.0, 20.0, 25.0]]
    off_centre = np.array([[40.0, 20.0, 120.0, 60.0]])
    assert frame.boxes_to_input(off_centre).tolist() == [[0.0, 5.0, 20.0, 25.0]]
    assert mirrored.boxes_to_input(off_centre).tolist() == [[10.0, 5.0, 30.0, 25.0]]


@pytest.mark.parametrize("mirrored", [False, True])
def test_there_and_back(mirrored):
    frame = ResizedCrop((97, 211), (72, 60), 7, 3, (40, 51), mirrored)
    corners = np.sort(np.random.default_rng(0).uniform(0, 90, (20, 2, 2)), axis=1)
    boxes = corners.reshape(20, 4)
    moved = frame.boxes_to_input(boxes)
    assert (moved[:, 2:] >= moved[:, :2]).all()
    np.testing.assert_allclose(frame.boxes_to_image(moved), boxes, atol=1e-9)


def test_no_boxes():
    frame = ResizedCrop((4, 6), (2, 2), 0, 0, (2, 2), mirrored=True)
    assert frame.boxes_to_input(np.zeros((0, 4))).shape == (0, 4)
