"""Composition of cut-outs: masks of visible parts, shadow, light and crops."""

import numpy as np
import pytest


def noise(height, width, channels):
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), dtype=np.uint8)


def square(size, top, left, side):
    mask = np.zeros(size, bool)
    mask[top : top + side, left : left + side] = True
    return mask


def test_masks_are_the_visible_parts(module, monkeypatch):
    """Compose two 6 x 6 squares on 10 x 12 pixels.

    The second covers a 3 x 4 corner of the first; 24 of its 36 pixels stay visible.
    """
    composition = module("cutout_composition")
    size = (10, 12)
    lower, upper = square(size, 1, 1, 6), square(size, 4, 3, 6)
    layers = [np.dstack([noise(*size, 3), np.uint8(255) * mask]) for mask in (lower, upper)]
    objects = iter([composition.Placed(i, layer, 36) for i, layer in enumerate(layers)])
    monkeypatch.setattr(composition, "OBJECT_COUNTS", (0, 1))
    monkeypatch.setattr(composition, "image_size", lambda rng: size)
    monkeypatch.setattr(composition, "random_object", lambda *_: next(objects))
    composed = composition.compose(np.random.default_rng(0), [], [noise(500, 500, 3)])
    assert composed.pixels.shape == (*size, 3) and composed.stamps == [0, 1]
    expected = lower.copy()
    expected[4:7, 3:7] = False
    assert expected.sum() == 24
    np.testing.assert_array_equal(composed.masks, [expected, upper])


@pytest.mark.parametrize(
    ("left", "whole", "fits"),
    [
        (6, 36, True),  # beside the first
        (4, 36, True),  # covers 2 x 6 pixels of the first: 24 of 36 remain, two thirds
        (3, 36, False),  # covers 3 x 6 pixels: one half remains
        (6, 72, False),  # half of the second lies outside the image
    ],
)
def test_an_object_with_too_small_a_visible_part_is_not_placed(module, left, whole, fits):
    composition = module("cutout_composition")
    layers = [np.dstack([noise(12, 12, 3), 255 * square((12, 12), 0, x, 6)]) for x in (0, left)]
    placed = [composition.Placed(0, layers[0], 36), composition.Placed(1, layers[1], whole)]
    assert composition.acceptable(placed) is fits


def test_shadow_and_light_follow_the_light(module):
    """Light comes from the right: the shadow falls to the left, and the right side is brighter."""
    composition = module("cutout_composition")
    canvas = np.full((60, 80, 3), 100, np.float32)
    mask = square((60, 80), 20, 30, 20)
    alpha = np.uint8(255) * mask
    shaded = composition.cast_shadow(np.random.default_rng(0), canvas, alpha, light=0.0)
    assert shaded[30, 28, 0] < shaded[30, 51, 0] <= 100
    layer = np.dstack([np.full((60, 80, 3), 90, np.uint8), alpha])
    lit = composition.lay_over(np.random.default_rng(0), canvas, layer, light=0.0)
    np.testing.assert_array_equal(lit[~mask], canvas[~mask])
    assert lit[30, 49, 0] > lit[30, 30, 0]


def test_a_crop_is_not_enlarged(module):
    """A background of exactly the image's size is used whole, or mirrored."""
    composition = module("cutout_composition")
    background = noise(300, 400, 3)
    crop = composition.random_crop(np.random.default_rng(0), background, (300, 400))
    assert any(np.array_equal(crop, side) for side in (background, background[:, ::-1]))
