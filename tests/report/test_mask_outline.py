import re

import numpy as np
import pytest
from skimage.draw import polygon2mask

from boxrefine_d2.report.mask_outline import mask_path


def filled_path(path, shape):
    """Fill a path by the even-odd rule at the centres of pixels, as a browser does."""
    filled = np.zeros(shape, bool)
    for part in re.findall(r"M([^Z]*)Z", path):
        corners = np.array([[float(y), float(x)] for x, y in (p.split(",") for p in part.split())])
        filled ^= polygon2mask(shape, corners - 0.5)
    return filled


def iou(one, other):
    return (one & other).sum() / (one | other).sum()


def test_an_outline_covers_its_mask_and_leaves_the_hole_open():
    y, x = np.mgrid[:80, :120]
    distance = np.hypot(y - 40, x - 60)
    ring = (distance < 30) & (distance > 12)
    path = mask_path(ring, shown_side=512)
    assert path.count("M") == 2
    assert iou(filled_path(path, ring.shape), ring) > 0.95


def test_a_mask_at_the_border_is_closed_there():
    mask = np.zeros((40, 60), bool)
    mask[:10, 50:] = True
    assert iou(filled_path(mask_path(mask, 512), mask.shape), mask) > 0.85
    assert mask_path(np.ones((40, 60), bool), 512).count("M") == 1


def test_large_masks_are_reduced_but_keep_their_place():
    mask = np.zeros((1000, 2000), bool)
    mask[200:700, 600:1500] = True
    path = mask_path(mask, shown_side=200)
    assert len(path) < 200
    xs, ys = zip(*(map(float, p.split(",")) for p in path.strip("MZ").split()), strict=True)
    assert (min(xs), max(xs)) == pytest.approx((600, 1500), abs=10)
    assert (min(ys), max(ys)) == pytest.approx((200, 700), abs=10)


def test_an_empty_mask_has_no_path():
    assert mask_path(np.zeros((5, 5), bool), 512) == ""
