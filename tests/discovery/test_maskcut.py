import math

import numpy as np
import pytest
import torch
from published_cuts import affinity, component, first_largest, maskcut_masks, second_eigenpair

from boxrefine_d2.discovery import build_rule, discover
from boxrefine_d2.discovery import maskcut as module
from boxrefine_d2.discovery.normalized_cut import Cut
from boxrefine_d2.errors import UserError
from boxrefine_d2.structures import FeatureMap

from .test_normalized_cut import clustered_tokens

PLANTED = {4: (1, 1, 6, 5), 8: (7, 6, 11, 11), 12: (1, 8, 4, 10)}  # first channel: box in cells


def golden_map() -> FeatureMap:
    """Return a wave over 12 x 12 cells and 16 channels, with a background and three blocks."""
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
    """Check the appendix of the specification: the fourth round is rejected and emits nothing."""
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
    """Make the n-th mask the side of the largest value in the n-th cut of a 10 x 10 grid.

    The features do not matter.

    Returns: a list with the number of cells that had left the graph, for each cut so far.
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
    """Cut 4 x 4, then twice the 5 x 4 block that holds it: areas 16, 0, 4.

    The last two rounds share one cut.
    """
    calls = planted_cuts(monkeypatch, block((2, 6), (3, 7)), block((2, 7), (3, 7)))
    found = run()
    assert [int(mask.sum()) for mask in found.masks] == [16, 4]
    assert found.boxes.tolist() == [[24, 16, 56, 48], [24, 48, 56, 56]]
    assert calls == [0, 16]  # found cells have left the graph


def test_without_the_repeat_a_rejected_mask_ends_the_rounds(monkeypatch):
    planted_cuts(monkeypatch, block((2, 6), (3, 7)), block((2, 7), (3, 7)))
    assert [int(mask.sum()) for mask in run(repeat_rejected=False).masks] == [16]


def test_a_mask_that_is_too_small_is_never_emitted_unless_it_is_the_first(monkeypatch):
    planted_cuts(monkeypatch, block((2, 3), (3, 4)), block((5, 6), (5, 6)))
    assert [int(mask.sum()) for mask in run().masks] == [1]
    planted_cuts(monkeypatch, block((2, 3), (3, 4)), block((5, 6), (5, 6)), block((8, 9), (8, 9)))
    assert len(run(min_area=0.0099).masks) == 3


def test_a_side_with_three_corners_is_the_background(monkeypatch):
    """Check a cut whose upper side is all but a block; the seed is a cell of the block."""
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


def test_what_each_round_leaves_is_what_as_many_rounds_give():
    """Check the rounds of the golden map; the fourth round adds nothing."""
    features = golden_map()
    rule = build_rule("maskcut", n_masks=4)
    rounds = [found for [found] in rule.after_each_round(features)]
    assert [len(found) for found in rounds] == [1, 2, 3, 3]
    for n, found in enumerate(rounds, start=1):
        (alone,) = discover("maskcut", features, n_masks=n)
        assert torch.equal(found.masks, alone.masks) and torch.equal(found.scores, alone.scores)
        assert torch.equal(found.boxes, alone.boxes)


def map_of_graph(kinds, links=()):
    """Return features with edges, at tau 0.01, between cells of one kind and between linked cells.

    The Gram matrix of the features is the graph with a larger diagonal, which makes it positive
    definite.
    """
    kinds = np.asarray(kinds)
    graph = (kinds.reshape(-1, 1) == kinds.ravel()).astype(float)
    for one, other in links:
        graph[one, other] = graph[other, one] = 1
    raised = graph + (1 - np.linalg.eigvalsh(graph).min()) * np.eye(len(graph))
    tokens = torch.from_numpy(np.linalg.cholesky(raised)).float()
    h, w = kinds.shape
    return FeatureMap.from_tokens(tokens[None], (h, w), 8, [(8 * h, 8 * w)], "key")


def drawn(found):
    """Return the number of the mask that covers each cell; 0 for none."""
    return sum((i + 1) * mask.int() for i, mask in enumerate(found.masks)).tolist()


def test_a_side_with_two_corners_may_be_the_background():
    """Check two rows of six: the smaller side has the larger values and the first row's corners."""
    features = map_of_graph([[1] * 4] * 2 + [[0] * 4] * 4)
    (found,) = discover("maskcut", features, n_masks=1, tau=0.01)
    assert found.boxes.tolist() == [[0, 0, 32, 16]]
    (flipped,) = discover("maskcut", features, n_masks=1, tau=0.01, flip_on_two_corners=True)
    assert flipped.boxes.tolist() == [[0, 16, 32, 48]]


def test_what_was_found_may_leave_the_graph():
    """Check a bar of one kind, cut in two by a column of another kind.

    The column has no link to the rest and is found first. In the code it is then on the bar's side,
    which is one component. Without the column, the bar has two components.
    """
    bar, column = [0, 2, 2, 1, 2, 2, 0], [0] * 7
    kinds = np.array([column, bar, bar, bar, column, column])
    links = [(0, cell) for cell in np.flatnonzero(kinds == 2)[::2]]
    features = map_of_graph(kinds, links)
    (found,) = discover("maskcut", features, tau=0.01)
    assert drawn(found)[1:4] == [[0, 2, 2, 1, 2, 2, 0]] * 3
    (masked,) = discover("maskcut", features, tau=0.01, mask_affinity=True)
    assert drawn(masked)[1:4] == [[0, 2, 2, 1, 3, 3, 0]] * 3


def masks_of_masked_affinities(tokens, grid_size, n_masks, affinity_of_found):
    """Return the masks of MaskCut by dense solves with another affinity for found cells.

    The affinity 0 removes these cells from the graph.
    """
    h, w = grid_size
    weights = affinity(tokens, 0.15, 1e-5)
    left = np.ones(h * w, bool)
    previous, emitted = np.zeros((h, w), bool), []
    for number in range(n_masks):
        weights[~left] = weights[:, ~left] = affinity_of_found
        cells = np.flatnonzero(left if affinity_of_found == 0 else left | True)
        _, y = second_eigenpair(weights[np.ix_(cells, cells)])
        if y[first_largest(np.abs(y))] <= y.mean():
            y = -y
        upper = np.zeros(h * w, bool)
        upper[cells] = y > y.mean()
        if upper.reshape(h, w)[[0, 0, -1, -1], [0, -1, 0, -1]].sum() >= 3:
            upper[cells], y = y <= y.mean(), -y
        mask = component(upper.reshape(h, w), divmod(int(cells[first_largest(y)]), w))
        overlap = (mask & previous).sum() / (mask | previous).sum()
        if number and (overlap > 0.5 or mask.mean() <= 0.01):
            mask = np.zeros_like(mask)
        previous = mask
        left &= ~mask.ravel()
        emitted.append(mask & ~np.any([*emitted, np.zeros_like(mask)], axis=0))
    return [mask for mask in emitted if mask.any()]


@pytest.mark.parametrize("seed", range(10))
def test_masked_affinities_equal_the_dense_solution(seed):
    """Compare both affinities: 0 is the option, eps is that of features of 0."""
    tokens = clustered_tokens(patches=81, groups=6, noise=0.5, seed=seed)
    features = FeatureMap.from_tokens(tokens[None], (9, 9), 8, [(72, 72)], "key")
    for value, chosen in ((0.0, True), (1e-5, False)):
        (found,) = discover("maskcut", features, n_masks=5, mask_affinity=chosen)
        expected = masks_of_masked_affinities(tokens.numpy(), (9, 9), 5, value)
        assert np.array_equal(found.masks.numpy(), np.stack(expected))


def test_masked_affinities_of_a_batch():
    tokens = torch.stack([clustered_tokens(81, 6, 0.5, seed) for seed in range(3)])
    batch = FeatureMap.from_tokens(tokens, (9, 9), 8, [(72, 72)] * 3, "key")
    together = discover("maskcut", batch, n_masks=4, mask_affinity=True)
    for i in range(3):
        one = FeatureMap.from_tokens(tokens[i : i + 1], (9, 9), 8, [(72, 72)], "key")
        (alone,) = discover("maskcut", one, n_masks=4, mask_affinity=True)
        assert torch.equal(alone.masks, together[i].masks)


def test_masked_affinities_may_leave_no_cell():
    """Find a single cell, after which no cell is left to cut."""
    features = FeatureMap(torch.ones(1, 2, 1, 1), 8, [(8, 8)], "key")
    (found,) = discover("maskcut", features, mask_affinity=True)
    assert found.masks.tolist() == [[[True]]]


@pytest.mark.parametrize(
    ("parameters", "message"), [({"n_masks": 0}, "n_masks is 0"), ({"eps": 1.0}, "eps is 1.0")]
)
def test_mistakes_are_named(parameters, message):
    with pytest.raises(UserError, match=message):
        build_rule("maskcut", **parameters)
