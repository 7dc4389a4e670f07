"""The box of FOUND's mask: planted components, and OpenCV's components of equal connectivity."""

import cv2
import numpy as np
import pytest
import torch

from boxrefine_d2.discovery import build_rule, discover, rule_parameters
from boxrefine_d2.errors import UserError
from boxrefine_d2.structures import FeatureMap


def map_of(*masks: np.ndarray, sizes=None, stride=8) -> FeatureMap:
    data = torch.from_numpy(np.stack(masks)).float()[:, None]
    full = [(mask.shape[0] * stride, mask.shape[1] * stride) for mask in masks]
    return FeatureMap(data, stride, sizes or full, "mask")


def planted(size, *boxes, inside=0.9, outside=0.1) -> np.ndarray:
    """Return a mask (h, w) float64 with rectangles (x1, y1, x2, y2) of cells, half-open."""
    mask = np.full(size, outside)
    for x1, y1, x2, y2 in boxes:
        mask[y1:y2, x1:x2] = inside
    return mask


def test_the_planted_object_wherever_it_is():
    """Move the object: no constant box can pass."""
    boxes = [(1, 2, 4, 5), (6, 0, 9, 2), (0, 3, 10, 6), (9, 5, 10, 6)]
    found = discover("found", map_of(*(planted((6, 10), box) for box in boxes)))
    assert [f.boxes.tolist() for f in found] == [[[8 * x for x in box]] for box in boxes]
    assert [int(f.masks.sum()) for f in found] == [9, 6, 30, 1]
    for f in found:
        assert f.scores.tolist() == pytest.approx([0.9])


def test_the_most_cells_win_and_of_equals_the_first():
    mask = planted((8, 12), (0, 0, 1, 8), (4, 2, 7, 5), (10, 5, 12, 7))
    assert discover("found", map_of(mask))[0].boxes.tolist() == [[32, 16, 56, 40]]
    equal = planted((8, 12), (8, 0, 10, 2), (1, 5, 3, 7))
    assert discover("found", map_of(equal))[0].boxes.tolist() == [[64, 0, 80, 16]]


def test_corners_do_not_touch():
    mask = planted((6, 8), (0, 0, 3, 2), (3, 2, 5, 4))
    assert discover("found", map_of(mask))[0].boxes.tolist() == [[0, 0, 24, 16]]


def test_a_box_is_clipped_to_the_image_before_padding():
    mask = planted((3, 4), (1, 1, 4, 3))
    (found,) = discover("found", map_of(mask, sizes=[(21, 30)]))
    assert found.boxes.tolist() == [[8, 8, 30, 21]]


def test_a_half_is_not_above_a_half_and_an_empty_mask_gives_no_box():
    empty, one = np.full((3, 4), 0.5), planted((3, 4), (2, 1, 3, 2), inside=0.51, outside=0.5)
    nothing, something = discover("found", map_of(empty, one))
    assert nothing.boxes.shape == (0, 4) and nothing.scores.shape == (0,)
    assert nothing.masks.shape == (0, 3, 4)
    assert something.boxes.tolist() == [[16, 8, 24, 16]]


@pytest.mark.parametrize("seed", range(10))
def test_against_opencv(seed):
    mask = np.random.default_rng(seed).uniform(size=(9, 13))
    count, _, stats, _ = cv2.connectedComponentsWithStats(
        (mask > 0.5).astype(np.uint8), None, None, None, 4
    )
    areas = stats[1:, cv2.CC_STAT_AREA]
    assert count > 2
    (found,) = discover("found", map_of(mask, stride=1))
    assert int(found.masks.sum()) == areas.max()
    x1, y1, x2, y2 = found.boxes[0].int().tolist()
    largest = [list(row[:4]) for row in stats[1:] if row[4] == areas.max()]
    assert [x1, y1, x2 - x1, y2 - y1] in largest


def test_further_objects_are_the_next_components():
    mask = planted((10, 10), (0, 0, 4, 4), (6, 6, 9, 9), (0, 8, 1, 9))
    (found,) = discover("found", map_of(mask), max_objects=5, min_area=0.02)
    assert found.boxes.tolist() == [[0, 0, 32, 32], [48, 48, 72, 72]]


def test_parameters_and_mistakes():
    assert rule_parameters("found")["mask_thresh"] == 0.5
    keys = FeatureMap(torch.zeros(1, 3, 2, 2), 8, [(16, 16)], "key")
    with pytest.raises(UserError, match="found reads a mask of one channel, not the facet 'key'"):
        build_rule("found")(keys)
    with pytest.raises(UserError, match="max_objects is 0"):
        build_rule("found", max_objects=0)
