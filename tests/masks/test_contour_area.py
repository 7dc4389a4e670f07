import cv2
import numpy as np
import pytest
from scipy import ndimage

from boxrefine_d2.masks.contour_area import contour_areas


def rectangle(mask, x1, y1, x2, y2, value=True):
    mask[y1:y2, x1:x2] = value
    return mask


@pytest.mark.parametrize(
    "size, area", [((1, 12), 0), ((3, 4), 6), ((4, 4), 9), ((1, 1), 0), ((5, 2), 4)]
)
def test_a_full_rectangle_has_the_area_between_the_centres_of_its_pixels(size, area):
    found = contour_areas(np.ones(size, dtype=bool))
    assert found.areas.tolist() == [area]
    assert found.boxes.tolist() == [[0, 0, size[1], size[0]]]


def test_a_hole_belongs_to_the_area_and_a_part_inside_it_has_its_own():
    mask = rectangle(np.zeros((9, 9), dtype=bool), 1, 1, 8, 8)
    rectangle(mask, 2, 2, 7, 7, False)
    rectangle(mask, 3, 3, 6, 6)
    found = contour_areas(mask)
    assert found.areas.tolist() == [36, 4]
    assert found.boxes.tolist() == [[1, 1, 8, 8], [3, 3, 6, 6]]
    assert found.largest == 0
    ring = rectangle(np.ones((5, 5), dtype=bool), 1, 1, 4, 4, False)
    assert contour_areas(ring).areas.tolist() == [16]


def test_pixels_that_touch_at_a_corner_are_one_component_but_holes_are_not():
    diagonal = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], dtype=bool)
    assert contour_areas(diagonal).areas.tolist() == [2]  # four blocks of three, with the hole
    assert contour_areas(diagonal).component_ids.tolist() == [[0, 1, 0], [1, 0, 1], [0, 1, 0]]


def test_the_last_component_wins_among_equals():
    mask = np.zeros((5, 5), dtype=bool)
    for corner in ((0, 0), (0, 3), (3, 0), (3, 3)):
        mask[corner[0] : corner[0] + 2, corner[1] : corner[1] + 2] = True
    found = contour_areas(mask)
    assert found.areas.tolist() == [1, 1, 1, 1]
    assert found.boxes[found.largest].tolist() == [3, 3, 5, 5]


def test_an_empty_mask_has_no_component():
    found = contour_areas(np.zeros((3, 4), dtype=bool))
    assert found.areas.shape == (0,)
    assert found.boxes.shape == (0, 4)
    with pytest.raises(ValueError):
        _ = found.largest


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("seed", range(12))
def test_areas_boxes_and_the_largest_are_those_of_opencv(seed, order):
    """The masks have many holes with parts inside, and ties between small components."""
    noise = np.random.default_rng(seed).normal(size=(48, 40))
    smooth = ndimage.gaussian_filter(noise, 0.4 + seed % 3 * 0.4)
    mask = np.asarray(smooth > np.quantile(smooth, 0.5 + seed % 4 * 0.1), order=order)
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    nested, tree = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    outer = [c for c, row in zip(nested, tree[0], strict=True) if row[3] < 0]
    expected = sorted((cv2.contourArea(c), *cv2.boundingRect(c)) for c in outer)
    found = contour_areas(mask)
    x1, y1, x2, y2 = found.boxes.T
    ours = sorted(zip(found.areas, x1, y1, x2 - x1, y2 - y1, strict=True))
    assert len(ours) > 5
    assert [tuple(map(float, row)) for row in ours] == [tuple(map(float, row)) for row in expected]
    x, y, width, height = cv2.boundingRect(max(contours, key=cv2.contourArea))
    assert found.boxes[found.largest].tolist() == [x, y, x + width, y + height]
    firsts = [np.flatnonzero(found.component_ids == i + 1)[0] for i in range(len(found.areas))]
    assert firsts == sorted(firsts)
