"""Shares of cells that masks fill, against sums over small pieces of pixels."""

import numpy as np
import pytest

from boxrefine_d2.masks.cell_shares import cell_shares, grid_edges

PIECES = 8  # a pixel is cut into 8 x 8 pieces


def by_pieces(mask, rows, columns):
    """Return the shares of cells whose edges lie between pieces, by counting pieces."""
    fine = np.kron(mask, np.ones((PIECES, PIECES)))
    y, x = (np.rint(np.asarray(edges) * PIECES).astype(int) for edges in (rows, columns))
    return np.array([[fine[a:b, c:d].mean() for c, d in zip(x, x[1:])] for a, b in zip(y, y[1:])])


@pytest.mark.parametrize("seed", range(5))
def test_shares_equal_counted_pieces(seed):
    rng = np.random.default_rng(seed)
    height, width = rng.integers(5, 20, 2)
    masks = rng.random((3, height, width)) < 0.4
    rows, columns = (
        np.sort(rng.choice(np.arange(side * PIECES + 1), 5, replace=False)) / PIECES
        for side in (height, width)
    )
    shares = cell_shares(masks, rows, columns)
    assert shares.shape == (3, 4, 4) and shares.dtype == np.float32
    for mask, share in zip(masks, shares, strict=True):
        np.testing.assert_allclose(share, by_pieces(mask, rows, columns), atol=1e-6)


def test_a_thin_mask_is_in_every_cell_that_it_crosses():
    """A line of one pixel has 1 / 16 of each cell of a column; sampled centres would miss it."""
    mask = np.zeros((1, 64, 64), bool)
    mask[:, :, 33] = True
    shares = cell_shares(mask, grid_edges(0, 64, 4), grid_edges(0, 64, 4))
    expected = np.zeros((4, 4))
    expected[:, 2] = 1 / 16
    np.testing.assert_allclose(shares[0], expected)


def test_no_mask_has_no_shares():
    edges = grid_edges(0, 8, 2)
    assert cell_shares(np.zeros((0, 8, 8), bool), edges, edges).shape == (0, 2, 2)


def test_edges():
    np.testing.assert_allclose(grid_edges(2, 8, 3), [2, 4, 6, 8])
