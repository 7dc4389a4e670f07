"""Regions of cells by hand."""

import pytest
import torch

from boxrefine_d2.losses import BACKGROUND, IGNORED
from boxrefine_d2.refinement.cell_regions import (
    NO_CELL,
    NOTHING_OUTSIDE,
    CellRegions,
    shares_on_grid,
)

CELLS = CellRegions(border=0.75, outside=True, apart=False)


def row(*shares):
    """Return the shares of masks on a grid of one row."""
    return torch.tensor(shares)[:, None, :]


def test_an_edge_is_ignored_unless_one_side_fills_the_border_share():
    shares = row([1.0, 0.75, 0.7, 0.3, 0.25, 0.0])
    assert CELLS.of_image(shares, (1, 6)).tolist() == [1, 1, IGNORED, IGNORED, 0, 0]
    strict = CellRegions(border=1.0, outside=True, apart=False)
    assert strict.of_image(shares, (1, 6)).tolist() == [1, *[IGNORED] * 4, 0]


def test_several_masks_by_hand():
    """The cells are in A, in B, in both, cut by both, in A with some B, and outside."""
    shares = row([1, 0.0, 1, 0.5, 0.8, 0.1], [0, 1.0, 1, 0.5, 0.3, 0.1])
    expected = [1, 2, IGNORED, IGNORED, 1, BACKGROUND]
    assert CELLS.of_image(shares, (1, 6)).tolist() == expected
    ignored = CellRegions(border=0.75, outside=False, apart=True)
    assert ignored.of_image(shares, (1, 6)).tolist() == [*expected[:-1], IGNORED]


def test_masks_stored_in_256_levels_keep_three_quarters():
    stored = torch.tensor([[[round(0.75 * 255) / 255, round(0.25 * 255) / 255]]])
    assert CELLS.of_image(stored, (1, 2)).tolist() == [1, 0]


@pytest.mark.parametrize(
    ("shares", "outside", "apart", "fault"),
    [
        (row([1.0, 0.0]), True, False, None),
        (row([1.0, 1.0]), True, False, NOTHING_OUTSIDE),  # it covers the image
        (row([0.3, 0.4]), True, False, NO_CELL),  # it is thin
        (torch.zeros(0, 1, 2), True, False, NO_CELL),
        (row([1.0, 0.0]), False, True, NOTHING_OUTSIDE),  # one region, and the rest is unknown
        (row([1.0, 0.0], [0.0, 1.0]), False, True, None),
        (row([1.0, 0.0], [0.0, 1.0]), True, False, NOTHING_OUTSIDE),
    ],
)
def test_an_image_of_no_use_is_ignored_whole(shares, outside, apart, fault):
    cells = CellRegions(0.75, outside, apart)
    assert cells.fault(cells.of_image(shares, (1, 2))) == fault
    batch = cells([shares, shares], (1, 2))
    assert batch.shape == (2, 2)
    assert (batch == IGNORED).all() == (fault is not None)


def test_only_cells_on_which_mask_and_boxes_agree_count():
    inside = CellRegions(border=0.75, outside=True, apart=False)
    mask = row([1.0, 1.0, 1.0, 0.0, 0.0, 0.0])
    box = torch.tensor([[3.5 / 6, 0.5, 0.5, 1.0]])  # columns 2 to 4
    expected = [IGNORED, IGNORED, 1, IGNORED, IGNORED, 0]
    assert inside.inside([mask], [box], (1, 6)).tolist() == [expected]
    wide = torch.tensor([[0.5, 0.5, 1.0, 1.0]])
    for boxes in (wide, wide[:0]):  # nothing lies outside; h is sure of nothing
        assert inside.inside([mask], [boxes], (1, 6)).tolist() == [[IGNORED] * 6]


def test_other_grids():
    fine = torch.rand(2, 6, 8, generator=torch.Generator().manual_seed(0))
    coarse = shares_on_grid(fine, (3, 4))
    assert coarse[1, 2, 3] == pytest.approx(fine[1, 4:, 6:].mean().item())
    assert shares_on_grid(coarse, (6, 8))[0, 5, 7] == coarse[0, 2, 3]
    assert shares_on_grid(torch.tensor([[[True, False]]]), (1, 2)).tolist() == [[[1, 0]]]
    assert shares_on_grid(fine[:0], (3, 4)).shape == (0, 3, 4)
