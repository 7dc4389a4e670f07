import math

import numpy as np
import pytest
import torch
from published_cuts import maskcut_masks

from boxrefine_d2.discovery import build_rule, discover
from boxrefine_d2.discovery import maskcut as module
from boxrefine_d2.discovery.normalized_cut import Cut
from boxrefine_d2.errors import UserError
from boxrefine_d2.structures import FeatureMap

from .test_normalized_cut import clustered_tokens

PLANTED = {4: (1, 1, 6, 5), 8: (7, 6, 11, 11), 12: (1, 8, 4, 10)}  # first channel: box in cells


def golden_map() -> FeatureMap:
    """A wave over 12 x 12 cells and 16 channels, with a background and three planted blocks."""
    tokens = torch.zeros(144, 16, dtype=torch.float64)
    for p in range(144):
        row, column = divmod(p, 12)
        kind = 0
        for channel, (x1, y1, x2, y2) in PLANTED.items():
            if y1 <= row < y2 and x1 <= column < x2:
                kind = channel
        for j in range(16):
            wave = 0.3 * math.sin(0.7 * (p + 1) * (j + 1))
            tokens[p, j] = wave + (0.9 if kind <= j < kind + 4 else 0.0)
    return FeatureMap.from_tokens(tokens.float()[None], (12, 12), 8, [(96, 96)], "key")


def cells(*boxes):
    mask = torch.zeros(12, 12, dtype=torch.bool)
    for x1, y1, x2, y2 in boxes:
        mask[y1:y2, x1:x2] = True
    return mask


def test_golden_masks():
    """Appendix of the specification: the fourth round is rejected and emits nothing."""
    (found,) = discover("maskcut", golden_map(), n_masks=4)
    assert [int(mask.sum()) for mask in found.masks] == [20, 5, 21]
    assert torch.equal(found.masks[0], cells((1, 1, 6, 5)))
    assert torch.equal(found.masks[1], cells((1, 8, 3, 9), (1, 9, 4, 10)))
    assert torch.equal(found.masks[2], cells((7, 6, 11, 11), (10, 11, 11, 12)))
    assert found.boxes[0].tolist() == [8, 8, 48, 40]


@pytest.mark.parametrize("seed", range(20))
def test_masks_equal_the_dense_solution(seed):
    tokens = clustered_tokens(patches=81, groups=6, noise=0.5, seed=seed)
    features = FeatureMap.from_tokens(tokens[None], (9, 9), 8, [(72, 72)], "key")
    (found,) = discover("maskcut", features, n_masks=5)
    expected = [m for m in maskcut_masks(tokens.numpy(), (9, 9), 5) if m.any()]
    assert np.array_equal(found.masks.numpy(), np.stack(expected))


def planted_cuts(monkeypatch, *masks, sign=1):
    """The n-th cut of a 10 x 10 grid has the n-th mask as the side of its largest value, whatever the features.

    Returns: a list that holds, for each cut so far, how many cells had left the graph.
    """
    calls = []

    def cut(edges, eps):
        mask = masks[len(calls)]
        calls.append(int((edges.sum(dim=2) == 0).sum()))
        vector = torch.where(mask.flatten(), 1.0, -0.1).double()[None]
        return Cut(sign * vector, torch.tensor([0.25]).double(), torch.tensor([False]))

    monkeypatch.setattr(module, "normalized_cut", cut)
    return calls


def block(rows, columns):
    mask = torch.zeros(10, 10, dtype=torch.bool)
    mask[rows[0] : rows[1], columns[0] : columns[1]] = True
    return mask


def run(**parameters):
    features = FeatureMap(torch.ones(1, 2, 10, 10), 8, [(80, 80)], "key")
    return discover("maskcut", features, **parameters)[0]


def test_a_mask_rejected_for_overlap_is_emitted_by_the_next_round(monkeypatch):
    """4 x 4, then twice the 5 x 4 block that holds it: areas 16, 0, 4, with one cut for the last two rounds."""
    calls = planted_cuts(monkeypatch, block((2, 6), (3, 7)), block((2, 7), (3, 7)))
    found = run()
    assert [int(mask.sum()) for mask in found.masks] == [16, 4]
    assert found.boxes.tolist() == [[24, 16, 56, 48], [24, 48, 56, 56]]
    assert calls == [0, 16]  # what was found has left the graph


def test_without_the_repeat_a_rejected_mask_ends_the_rounds(monkeypatch):
    planted_cuts(monkeypatch, block((2, 6), (3, 7)), block((2, 7), (3, 7)))
    assert [int(mask.sum()) for mask in run(repeat_rejected=False).masks] == [16]


def test_a_mask_that_is_too_small_is_never_emitted_unless_it_is_the_first(monkeypatch):
    planted_cuts(monkeypatch, block((2, 3), (3, 4)), block((5, 6), (5, 6)))
    assert [int(mask.sum()) for mask in run().masks] == [1]
    planted_cuts(monkeypatch, block((2, 3), (3, 4)), block((5, 6), (5, 6)), block((8, 9), (8, 9)))
    assert len(run(min_area=0.0099).masks) == 3


def test_a_side_with_three_corners_is_the_background(monkeypatch):
    """All but a block is the upper side; its seed is a cell of the block."""
    for sign in (1, -1):
        planted_cuts(monkeypatch, ~block((2, 6), (3, 7)), sign=sign)
        assert torch.equal(run(n_masks=1).masks[0], block((2, 6), (3, 7)))
    half = block((0, 5), (0, 10))  # two corners
    planted_cuts(monkeypatch, half)
    assert torch.equal(run(n_masks=1).masks[0], half)
    planted_cuts(monkeypatch, half)
    assert torch.equal(run(n_masks=1, max_corners=1).masks[0], ~half)


def test_a_batch_gives_what_each_image_gives():
    tokens = torch.stack([clustered_tokens(81, 6, 0.5, seed) for seed in range(4)])
    batch = FeatureMap.from_tokens(tokens, (9, 9), 8, [(72, 72)] * 4, "key")
    together = discover("maskcut", batch, n_masks=4)
    for i in range(4):
        one = FeatureMap.from_tokens(tokens[i : i + 1], (9, 9), 8, [(72, 72)], "key")
        (alone,) = discover("maskcut", one, n_masks=4)
        assert torch.equal(alone.masks, together[i].masks)
        assert torch.equal(alone.scores, together[i].scores)


def test_masks_of_one_image_are_disjoint():
    (found,) = discover("maskcut", golden_map(), n_masks=4, min_area=0.0)
    assert found.masks.sum(dim=0).max() == 1


@pytest.mark.parametrize(
    ("parameters", "message"), [({"n_masks": 0}, "n_masks is 0"), ({"eps": 1.0}, "eps is 1.0")]
)
def test_mistakes_are_named(parameters, message):
    with pytest.raises(UserError, match=message):
        build_rule("maskcut", **parameters)
