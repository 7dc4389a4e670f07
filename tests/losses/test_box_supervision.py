"""The terms of BoxInst by hand, on maps of a few cells."""

import math

import pytest
import torch
from torch.testing import assert_close

from boxrefine_d2.losses import BoxSupervision
from boxrefine_d2.losses.box_supervision import (
    box_shares,
    foreground_logits,
    projection_term,
    useful,
)
from boxrefine_d2.losses.lab import lab_of


def test_shares_of_a_box_by_hand():
    """The box covers columns 1 to 2.5 of 4, and rows 0 to 1 of 2."""
    box = torch.tensor([[1.75 / 4, 0.25, 1.5 / 4, 0.5]])
    assert_close(box_shares(box, (2, 4)), torch.tensor([[[0, 1, 0.5, 0], [0.0, 0, 0, 0]]]))
    assert box_shares(box[:0], (2, 4)).shape == (0, 2, 4)


def test_projection_by_hand():
    foreground = torch.tensor([[[0.5, 0.0], [0.25, 1.0]]])
    box = torch.tensor([[[0.0, 1.0], [0.0, 1.0]]])
    # largest values: columns (0.5, 1) against (0, 1), rows (0.5, 1) against (1, 1)
    columns = 2 * 1 / (0.25 + 1 + 1)
    rows = 2 * 1.5 / (0.25 + 1 + 2)
    assert_close(projection_term(foreground, box), torch.tensor([(1 - columns) + (1 - rows)]))
    assert_close(projection_term(box, box), torch.zeros(1))


def test_logits_by_hand():
    """The inside is along x; the mean of the two cells outside is along (1, 1)."""
    keys = torch.tensor([[2.0, 0.0], [0.0, 3.0], [1.0, 0.0]])
    shares = torch.tensor([[[1.0, 0.0, 0.0]]])
    half = math.sqrt(0.5)
    expected = 5 * torch.tensor([[[1 - half, 0 - half, 1 - half]]])
    assert_close(foreground_logits(keys, shares, 5.0), expected)


def test_pairs_by_hand():
    """Three cells in a row: the first two have one colour, the third another; a box has the first.

    The pair (1, 2) counts. (2, 3) has no cell inside, and (1, 3) is no pair.
    """
    keys = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    shares = torch.tensor([[[1.0, 0.0, 0.0]]])
    colours = torch.tensor([[[50.0, 0, 0], [51.0, 0, 0], [90.0, 0, 0]]])
    p, q = (1 / (1 + math.exp(-5 * x)) for x in (1, -1))
    expected = -math.log(p * q + (1 - p) * (1 - q))
    loss = BoxSupervision(5.0, 0.3, 1)
    projection, pairwise = loss(keys, shares, colours)
    assert_close(pairwise, torch.tensor([expected]))
    assert_close(
        projection, projection_term(foreground_logits(keys, shares, 5.0).sigmoid(), shares)
    )
    # a difference of 2.5 is below the similarity of 0.3, exp(-1.25)
    apart = torch.tensor([[[50.0, 0, 0], [52.5, 0, 0], [90.0, 0, 0]]])
    assert loss(keys, shares, apart)[1].tolist() == [0]
    far = BoxSupervision(5.0, 0.0, 2)  # cells 1 and 3, of any colour
    assert_close(far(keys, shares, colours)[1], torch.tensor([expected]))


@pytest.mark.parametrize("distance", [1, 2, 3, 9])
def test_pairs_equal_a_loop_over_cells(distance):
    generator = torch.Generator().manual_seed(distance)
    keys = torch.randn(20, 6, generator=generator)
    shares = box_shares(torch.tensor([[0.4, 0.5, 0.5, 0.6], [0.7, 0.7, 0.3, 0.4]]), (4, 5))
    colours = 4 * torch.rand(4, 5, 3, generator=generator)
    foreground = foreground_logits(keys, shares, 5.0).sigmoid()
    expected = []
    for m in range(2):
        losses = []
        cells = [(y, x) for y in range(4) for x in range(5)]
        for y, x in cells:
            for v, u in cells:
                if (y, x) >= (v, u) or {abs(y - v), abs(x - u)} - {0, distance}:
                    continue
                alike = math.exp(-(colours[y, x] - colours[v, u]).norm().item() / 2) >= 0.3
                if alike and max(shares[m, y, x], shares[m, v, u]) >= 0.5:
                    p, q = foreground[m, y, x].item(), foreground[m, v, u].item()
                    losses.append(-math.log(p * q + (1 - p) * (1 - q)))
        expected.append(sum(losses) / max(1, len(losses)))
    got = BoxSupervision(5.0, 0.3, distance)(keys, shares, colours)[1]
    assert_close(got, torch.tensor(expected))


def test_boxes_of_no_use():
    boxes = torch.tensor([[0.5, 0.5, 0.5, 0.5], [0.5, 0.5, 0.05, 0.05]])
    assert useful(box_shares(boxes, (4, 4))).tolist() == [True, False]
    whole = torch.tensor([[0.5, 0.5, 1.0, 1.0]])
    assert useful(box_shares(torch.cat([boxes, whole]), (4, 4))).tolist() == [False] * 3
    assert useful(box_shares(boxes[:0], (4, 4))).tolist() == []


def test_colours_in_lab():
    """Values of the CIE for D65."""
    rgb = torch.tensor([[1.0, 1, 1], [0, 0, 0], [1, 0, 0], [0, 0, 1]])
    lab = torch.tensor([[100.0, 0, 0], [0, 0, 0], [53.24, 80.09, 67.20], [32.30, 79.19, -107.86]])
    assert_close(lab_of(rgb), lab, atol=0.02, rtol=0)
