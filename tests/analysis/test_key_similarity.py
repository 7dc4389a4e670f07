import io

import numpy as np
import pytest
import torch
from PIL import Image

from boxrefine_d2.analysis.instance_keys import MeanKeys
from boxrefine_d2.analysis.key_figure import draw_key_similarity
from boxrefine_d2.analysis.key_similarity import BINS, compare
from boxrefine_d2.errors import UserError

INFO = {"backbone": "dino_mini", "per": "instance", "images_failed": []}


def compared(keys, classes, images=None, pairs=1000, info=INFO):
    keys_found = MeanKeys(
        [torch.tensor(key) for key in keys], classes, images or [0] * len(classes)
    )
    return compare(keys_found, ["cat", "dog", "cow"], pairs, 0, info, {"images": 2})


def separable():
    """Compare cats on one axis with dogs on another: two pairs of one class, four of two."""
    keys = [[1.0, 0.0], [2.0, 0.0], [0.0, 1.0], [0.0, 3.0]]
    return compared(keys, [0, 0, 1, 1], [0, 1, 1, 1])


def test_the_measures_by_hand():
    """Same class: dot products 2 and 3; L1 = L2 = Chebyshev, 1 and 2.

    Different classes: dot products 0; L2 the roots of 2, 10, 5, 13; L1 2, 4, 3, 5; Chebyshev 1, 3,
    2, 3.
    """
    measures = separable().measures
    assert {name: m.auc for name, m in measures.items()} == {
        "cosine": 1,
        "dot": 1,
        "l2": pytest.approx(7 / 8),  # 2 is larger than the root of 2 only
        "l1": pytest.approx(7.5 / 8),  # 2 ties with one value
        "chebyshev": pytest.approx((3.5 + 2.5) / 8),
    }
    assert (measures["dot"].same_mean, measures["dot"].different_mean) == (2.5, 0)


def test_histograms_hold_every_pair():
    for distribution in separable().measures.values():
        assert (sum(distribution.same), sum(distribution.different)) == (2, 4)
        assert len(distribution.same) == len(distribution.different) == BINS
        assert len(distribution.edges) == BINS + 1
    cosine = separable().measures["cosine"]
    assert (cosine.edges[0], cosine.edges[-1]) == (0, 1)
    assert cosine.same[-1] == 2 and cosine.different[0] == 4


def test_counts():
    assert separable().counts == {
        "images": 2,
        "keys": 4,
        "classes": 2,
        "pairs_of_the_same_class": 2,
        "pairs_of_different_classes": 4,
        "compared_of_the_same_class": 2,
        "compared_of_different_classes": 4,
        "of_the_same_class_in_one_image": 1,
        "of_different_classes_in_one_image": 2,
    }


def test_random_keys_are_at_chance():
    """There are 2 000 pairs of a kind; the deviation of an AUC is 0.009."""
    rng = np.random.default_rng(0)
    keys = rng.standard_normal((200, 8)).astype(np.float32).tolist()
    result = compared(keys, rng.integers(0, 3, 200).tolist(), pairs=2000)
    assert result.counts["compared_of_different_classes"] == 2000
    assert all(abs(m.auc - 0.5) < 0.05 for m in result.measures.values())


def test_the_table_names_every_measure_count_and_failure():
    info = INFO | {"images_failed": [{"file_name": "a.png", "reason": "cannot read image 'a.png'"}]}
    text = compared([[1.0], [2.0], [3.0]], [0, 0, 1], info=info).to_text()
    for part in ("cosine similarity", "Chebyshev distance", "pairs of the same class  "):
        assert part in text
    assert text.splitlines()[-1] == "failed: cannot read image 'a.png'"


def test_pairs_of_one_kind_only_are_refused():
    with pytest.raises(UserError, match="all 2 keys are of one class, 'dog'"):
        compared([[1.0], [2.0]], [1, 1])
    with pytest.raises(UserError, match="each of the 3 keys has a class of its own"):
        compared([[1.0], [2.0], [3.0]], [0, 1, 2])


def test_the_figure_is_a_function_of_the_numbers():
    drawn = draw_key_similarity(separable())
    figure = Image.open(io.BytesIO(drawn))
    assert figure.format == "PNG" and figure.width > 4 * figure.height
    assert drawn == draw_key_similarity(separable())
    assert drawn != draw_key_similarity(compared([[1.0], [2.0], [3.0]], [0, 0, 1]))
