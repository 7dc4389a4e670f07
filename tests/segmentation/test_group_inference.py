"""Classes of groups and pixels, by the example of golden 10.3, and windows."""

import math

import numpy as np
import pytest
import torch

from boxrefine_d2.segmentation.group_inference import (
    group_affinity,
    group_of_pixels,
    with_background,
)
from boxrefine_d2.segmentation.group_weights import random_groupvit
from boxrefine_d2.segmentation.sliding_window import (
    WindowSettings,
    class_scores,
    resized_size,
    window_starts,
)
from tests.segmentation.test_group_model import small


def at(*degrees):
    return torch.tensor([[math.cos(math.radians(a)), math.sin(math.radians(a))] for a in degrees])


@pytest.fixture
def affinity():
    return group_affinity(at(0, 90), at(40)[0], at(10, 75, 150), 3.0, likely=2)


def test_the_affinity_of_the_example(affinity):
    expected = torch.tensor([[0.804058, 0.010316, 0], [0.005886, 0.682874, 0]])
    torch.testing.assert_close(affinity, expected, atol=1e-6, rtol=0)


def test_the_background_of_the_example(affinity):
    attention = torch.tensor([[0.79, 0.30, 0.51, 0.525], [0.21, 0.70, 0.49, 0.475]])
    of_pixel = group_of_pixels(attention, (2, 2), (2, 2))
    assert of_pixel.flatten().tolist() == [0, 1, 0, 0]
    rows = with_background(affinity, [0.6, 0.95])
    classes = rows.argmax(dim=2)[:, of_pixel.flatten()]  # 0 is background
    assert classes.tolist() == [[1, 2, 1, 1], [1, 0, 1, 1]]


def test_a_threshold_above_all_affinities_keeps_the_best_group(affinity):
    assert with_background(affinity, [1.0])[0, :, 0].tolist() == [0, 1]


def test_windows_cover_the_image_and_the_last_one_is_moved_inside():
    assert window_starts(448, 448, 224) == [0]
    assert window_starts(672, 448, 224) == [0, 224]
    assert window_starts(673, 448, 224) == [0, 224, 225]
    settings = WindowSettings(short=448, longest=2048)
    assert resized_size(500, 375, settings) == (597, 448)
    assert resized_size(100, 1000, settings) == (205, 2048)


@pytest.fixture(scope="module")
def network():
    return random_groupvit(small(), 0)


@pytest.mark.parametrize("size", [(64, 64), (40, 90), (96, 64)])
def test_all_thresholds_at_once_equal_one_after_another(network, size):
    image = np.random.default_rng(0).integers(0, 255, (*size, 3), dtype=np.uint8)
    texts = network.encode_text(["cat", "dog", "car"])
    settings = WindowSettings(short=64, window=64, stride=32)
    together = class_scores(network, image, texts, [0.1, 0.3, 0.9], settings)
    assert together.shape == (3, 4, *size)
    for number, threshold in enumerate((0.1, 0.3, 0.9)):
        alone = class_scores(network, image, texts, [threshold], settings)
        torch.testing.assert_close(together[number], alone[0])


def test_one_window_is_the_whole_image(network):
    """An image of a window's size has the rows of its groups."""
    image = np.random.default_rng(1).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    texts = network.encode_text(["cat", "dog"])
    scores = class_scores(network, image, texts, [0.0], WindowSettings(64, 128, 64, 32))[0]
    assert not scores[0].any()
    assert len(scores.flatten(1).T.unique(dim=0)) <= 4  # one row per group
