import itertools

import numpy as np
import pytest

from boxrefine_d2.evaluation.bootstrap import bootstrap_means, mean_with_interval, paired_gain


def test_two_images_by_hand():
    """Draws of two images, one of them hit: no hit 1/4, one hit 1/2, two hits 1/4."""
    means = bootstrap_means(np.array([[1.0, 0.0]]), draws=20_000)
    values, counts = np.unique(means, return_counts=True)
    assert values.tolist() == [0, 0.5, 1]
    np.testing.assert_allclose(counts / 20_000, [0.25, 0.5, 0.25], atol=0.015)


def test_a_draw_takes_the_same_seeds_for_all_its_images():
    """Two seeds that differ on the first image: all combinations of draws, counted by hand."""
    values = np.array([[1.0, 0.0], [0.0, 0.0]])
    pairs = list(itertools.product((0, 1), repeat=2))
    expected = [values[np.ix_(seeds, images)].mean() for seeds in pairs for images in pairs]
    means = bootstrap_means(values, draws=20_000)
    for value in np.unique(expected):
        assert np.mean(means == value) == pytest.approx(np.mean(expected == value), abs=0.015)
    assert set(means) == set(expected)


def test_the_interval_is_near_the_normal_one():
    """40 of 100 images: the standard error of the mean is sqrt(0.4 * 0.6 / 100) = 4.9 points."""
    hits = np.zeros((1, 100))
    hits[0, :40] = 1
    estimate = mean_with_interval(hits)
    assert estimate.mean == pytest.approx(40)
    assert estimate.low == pytest.approx(40 - 1.96 * 4.9, abs=1)
    assert estimate.high == pytest.approx(40 + 1.96 * 4.9, abs=1)


def test_values_of_an_image_are_drawn_together():
    """One image has three values, another has one; the draws take each once, or one twice."""
    values = np.array([[1.0, 0.0, 1.0, 0.0]])
    means = bootstrap_means(values, images=[0, 1, 0, 0], draws=20_000)
    estimate, counts = np.unique(means, return_counts=True)
    np.testing.assert_allclose(estimate, [0, 2 / 4, 2 / 3])
    np.testing.assert_allclose(counts / 20_000, [0.25, 0.5, 0.25], atol=0.015)


def test_images_of_one_value_each_equal_no_images():
    values = np.random.default_rng(5).random((3, 7))
    assert mean_with_interval(values, images=range(7)) == mean_with_interval(values)


def test_images_of_another_length_are_refused():
    with pytest.raises(ValueError, match="2 values, but the images of 3"):
        bootstrap_means(np.array([[1.0, 0.0]]), images=[0, 0, 1])


def test_pairs_stay_together():
    """The second network hits one image more than the first, so the gain cannot be negative."""
    before = np.tile([1, 0], 10)[None]
    after = before.copy()
    after[0, 1] = 1
    estimate = paired_gain(before, after)
    assert estimate.mean == pytest.approx(5)
    assert estimate.low == 0
    assert 10 <= estimate.high <= 20
    same = paired_gain(before, before)
    assert (same.mean, same.low, same.high) == (0, 0, 0)


def test_equal_arguments_give_equal_draws_in_any_chunks(monkeypatch):
    values = np.random.default_rng(5).random((3, 7))
    assert mean_with_interval(values) == mean_with_interval(values)
    assert mean_with_interval(values) != mean_with_interval(values, seed=1)
    monkeypatch.setattr("boxrefine_d2.evaluation.bootstrap._VALUES_AT_ONCE", 21 * 30)
    means = bootstrap_means(values, draws=100)
    assert means.shape == (100,)
    assert len(set(means)) > 90


@pytest.mark.parametrize(
    ("before", "after"), [([[1, 0]], [[1]]), ([], []), ([[]], [[]]), ([1, 0], [1, 0])]
)
def test_values_without_pairs_are_refused(before, after):
    with pytest.raises(ValueError, match="hits before|at least one"):
        paired_gain(before, after)
