"""PxAP and pIoU: worked examples, and histograms of NumPy as a second implementation."""

import numpy as np
import pytest

from boxrefine_d2.errors import UserError
from boxrefine_d2.evaluation.pixel_precision import PixelCounts

M = np.array([[0.9, 0.8, 0.3], [0.6, 0.2, 0.1], [0.05, 0, 1]])
T = np.array([[1, 1, 0], [0, 1, 0], [0, 0, 1]], dtype=bool)


def pxap(*images, width=0.001):
    counts = PixelCounts(width)
    for image in images:
        counts.add(*image)
    return counts.average_precision()


@pytest.mark.parametrize(("width", "percent"), [(0.001, 91.6667), (0.01, 91.6667), (0.25, 86.1111)])
def test_the_worked_example(width, percent):
    assert pxap((M, T), width=width) == pytest.approx(percent, abs=1e-4)


def test_ignored_pixels_do_not_count():
    ignored = np.zeros((3, 3), bool)
    ignored[1, 0] = True
    assert pxap((M, T, ignored)) == pytest.approx(95)


def test_pixels_of_an_object_are_never_ignored():
    assert pxap((M, T, T)) == pytest.approx(91.6667, abs=1e-4)


def test_a_constant_map_has_the_share_of_the_object():
    assert pxap((np.zeros((3, 3)), T)) == pytest.approx(44.4444, abs=1e-4)


def test_a_perfect_map():
    assert pxap((T.astype(float), T)) == 100


def test_images_are_pooled():
    second = np.array([[0.4, 0.3], [0.2, 0.1]]), np.array([[1, 0], [0, 0]], dtype=bool)
    assert pxap((M, T), second) == pytest.approx(87.1111, abs=1e-4)


@pytest.mark.parametrize(("width", "percent"), [(0.001, 100), (0.01, 83.3333)])
def test_scores_of_one_bin_are_not_told_apart(width, percent):
    image = np.array([[0.305, 0.9, 0.303, 0.1]]), np.array([[1, 1, 0, 0]], dtype=bool)
    assert pxap(image, width=width) == pytest.approx(percent, abs=1e-4)


def test_without_a_pixel_of_an_object():
    with pytest.raises(UserError, match="no pixel of an object"):
        pxap((M, np.zeros((3, 3), bool)))


def by_numpy(images):
    """Return PxAP and the IoU above each edge, from NumPy's histograms."""
    edges = [*np.arange(0, 1, 0.001), 1.0, 2.0, 3.0]
    right = sum(np.histogram(scores[truth], edges)[0] for scores, truth in images)[::-1].cumsum()
    wrong = sum(np.histogram(scores[~truth], edges)[0] for scores, truth in images)[::-1].cumsum()
    area, recall = 0.0, 0.0
    for tp, fp in zip(right, wrong, strict=True):
        if tp + fp:
            area += tp / (tp + fp) * (tp / right[-1] - recall)
            recall = tp / right[-1]
    return 100 * area, 100 * right / (right[-1] + wrong)


@pytest.mark.parametrize("seed", range(50))
def test_random_maps(seed):
    rng = np.random.default_rng(seed)
    images = []
    for _ in range(rng.integers(1, 4)):
        scores = rng.random(rng.integers(1, 20, size=2))
        if seed % 2:  # scores on the edges of bins
            scores = np.round(scores, 2 + seed % 3)
        truth = rng.random(scores.shape) < 0.4
        truth[0, 0] = True
        images.append((scores, truth))
    counts = PixelCounts()
    for image in images:
        counts.add(*image)
    area, iou = by_numpy(images)
    assert counts.average_precision() == pytest.approx(area)
    assert counts.iou()[::-1] == pytest.approx(iou)
