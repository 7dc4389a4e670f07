"""Points of the extreme values, against a sort of all values."""

import numpy as np
import pytest
import torch

from boxrefine_d2.analysis.extreme_points import ExtremePoints
from boxrefine_d2.discovery.representer import PointValues


def added(similarity, importance, batches, highest=3, lowest=2):
    extremes = ExtremePoints(highest, lowest)
    for places in batches:
        extremes.add(places, PointValues(similarity[places], importance[places]))
        assert len(extremes.highest) <= highest and len(extremes.lowest) <= lowest
    return extremes


def random_parts(seed, images=7, cells=12):
    """Return similarity and importance with many equal products."""
    generator = torch.Generator().manual_seed(seed)
    similarity = torch.randint(-3, 4, (images, cells), generator=generator).double() / 4
    importance = torch.randint(-4, 5, (images, cells), generator=generator).double()
    return similarity, importance


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("batches", [[[0, 1, 2, 3, 4, 5, 6]], [[5, 1], [0], [6, 4, 2], [3]]])
@pytest.mark.parametrize(("highest", "lowest"), [(3, 2), (1, 0), (200, 200)])
def test_they_are_the_first_of_all_sorted_values(seed, batches, highest, lowest):
    similarity, importance = random_parts(seed)
    extremes = added(similarity, importance, batches, highest, lowest)
    every = [
        (float(similarity[i, c] * importance[i, c]), i, c) for i in range(7) for c in range(12)
    ]
    top = sorted(every, key=lambda x: (-x[0], x[1], x[2]))[:highest]
    bottom = sorted(every)[:lowest]
    for kept, expected in ((extremes.highest, top), (extremes.lowest, bottom)):
        assert [(v, p, c) for p, c, _, _, v in kept.each()] == expected
    for place, cell, s, a, value in extremes.highest.each():
        assert (s, a) == (similarity[place, cell].item(), importance[place, cell].item())
        assert value == s * a
    assert extremes.points == 84
    products = (similarity * importance).numpy()
    assert extremes.excitatory == pytest.approx(products[products > 0].sum())
    assert extremes.inhibitory == pytest.approx(products[products < 0].sum())


def test_nothing_added_is_nothing_kept():
    extremes = ExtremePoints(2, 2)
    assert len(extremes.highest) == len(extremes.lowest) == extremes.points == 0
    assert np.array_equal(extremes.highest.value, [])
