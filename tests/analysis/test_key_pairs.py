from itertools import combinations

import numpy as np
import pytest
from scipy.spatial import distance
from scipy.stats import mannwhitneyu

from boxrefine_d2.analysis import key_pairs
from boxrefine_d2.analysis.key_pairs import MEASURES, class_pairs, measured, roc_auc

CLASSES = np.array([7, 2, 7, 7, 0, 2, 9])


def drawn(same, most=1000, seed=0, classes=CLASSES):
    chosen, total = class_pairs(classes, same=same, most=most, rng=np.random.default_rng(seed))
    return [tuple(sorted(pair)) for pair in chosen.tolist()], total


@pytest.mark.parametrize("same", [True, False])
def test_all_pairs_of_a_kind(same):
    expected = {p for p in combinations(range(7), 2) if (CLASSES[p[0]] == CLASSES[p[1]]) == same}
    chosen, total = drawn(same)
    assert total == len(chosen) == len(expected) == (4 if same else 17)
    assert set(chosen) == expected


def test_drawn_pairs_are_distinct_and_a_function_of_the_seed():
    chosen, total = drawn(False, most=9)
    assert total == 17 and len(set(chosen)) == 9
    assert set(chosen) < set(drawn(False)[0])
    assert chosen == drawn(False, most=9)[0] != drawn(False, most=9, seed=1)[0]


def test_every_pair_is_drawn_equally_often():
    """17 pairs, 400 draws of 5: 118 draws of each pair are expected, with a deviation of 9."""
    counts = dict.fromkeys(drawn(False)[0], 0)
    for seed in range(400):
        for pair in drawn(False, most=5, seed=seed)[0]:
            counts[pair] += 1
    assert min(counts.values()) > 80 and max(counts.values()) < 156


def test_many_keys_need_no_list_of_all_pairs():
    classes = np.arange(200_000) % 2
    chosen, total = drawn(True, most=10, classes=classes)
    assert total == 2 * (100_000 * 99_999 // 2)
    assert all(one % 2 == other % 2 and one < other for one, other in chosen)


def test_classes_without_a_pair_of_a_kind():
    assert drawn(True, classes=np.arange(3)) == ([], 0)
    assert drawn(False, classes=np.zeros(3, int)) == ([], 0)
    assert drawn(True, classes=np.zeros(0, int)) == ([], 0)


def test_measures_equal_scipy(monkeypatch):
    monkeypatch.setattr(key_pairs, "CHUNK", 4)
    keys = np.random.default_rng(0).standard_normal((12, 9)).astype(np.float32)
    pairs = np.array(list(combinations(range(12), 2)))
    scipy = {
        "cosine": lambda u, v: 1 - distance.cosine(u, v),
        "dot": np.dot,
        "l2": distance.euclidean,
        "l1": distance.cityblock,
        "chebyshev": distance.chebyshev,
    }
    assert list(MEASURES) == list(scipy)
    for name, function in scipy.items():
        expected = [function(*keys[pair].astype(np.float64)) for pair in pairs]
        np.testing.assert_allclose(measured(keys, pairs, MEASURES[name]), expected, rtol=1e-12)


def test_auc_by_hand():
    """0.9 exceeds 0.1, 0.5 and 0.5; 0.5 exceeds one and equals two: (3 + 1 + 0.5 + 0.5) / 6."""
    same, different = np.array([0.9, 0.5]), np.array([0.1, 0.5, 0.5])
    assert roc_auc(same, different, grows=True) == pytest.approx(5 / 6)
    assert roc_auc(same, different, grows=False) == pytest.approx(1 / 6)
    assert roc_auc(np.array([3.0]), np.array([1.0, 2.0]), grows=True) == 1


def test_auc_equals_scipy():
    rng = np.random.default_rng(0)
    same, different = rng.integers(0, 20, 50).astype(float), rng.integers(3, 25, 70).astype(float)
    expected = mannwhitneyu(same, different).statistic / (50 * 70)
    assert roc_auc(same, different, grows=True) == pytest.approx(expected)
