import pytest
import torch

from boxrefine_d2.analysis import best_buddies
from boxrefine_d2.errors import UserError

# the coordinates of A are its cosines with the axes
A = torch.tensor([[0.6, 0.8, 0.0], [0.8, 0.6, 0.0], [0.48, 0.64, 0.6]])
B = torch.eye(3)


def pairs(buddies):
    return [tuple(pair) for pair in buddies.pairs.tolist()]


def test_one_neighbour_is_mutual():
    """a2 prefers b1, and b1 prefers a0: neither a2 nor b2 has a buddy."""
    buddies = best_buddies(A, B, 1)
    assert sorted(pairs(buddies)) == [(0, 1), (1, 0)]
    torch.testing.assert_close(buddies.similarity, torch.tensor([0.8, 0.8]).double())


def test_two_neighbours():
    """b1 ranks a0 (0.8) and a2 (0.64) before a1 (0.6), although b1 is a1's second."""
    buddies = best_buddies(A, B, 2)
    assert set(pairs(buddies)) == {(0, 1), (1, 0), (2, 1), (0, 0), (2, 2)}
    expected = torch.tensor([0.8, 0.8, 0.64, 0.6, 0.6]).double()
    torch.testing.assert_close(buddies.similarity, expected)
    assert pairs(buddies)[2] == (2, 1)


def test_more_neighbours_than_rows_are_all():
    assert len(best_buddies(A, B, 3)) == len(best_buddies(A, B, 50)) == 9
    assert len(best_buddies(A, B[:1], 5)) == 3
    assert len(best_buddies(A, B[:0], 5)) == 0


def test_lengths_do_not_matter_and_the_sides_may_be_swapped():
    buddies = best_buddies(A * torch.tensor([[5.0], [0.1], [3.0]]), 7 * B, 2)
    assert set(pairs(buddies)) == set(pairs(best_buddies(A, B, 2)))
    turned = best_buddies(B, A, 2)
    assert {(i, j) for j, i in pairs(turned)} == set(pairs(buddies))


def test_among_equally_similar_rows_the_first_comes_first():
    twins = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    assert pairs(best_buddies(twins, twins, 1)) == [(0, 0)]


@pytest.mark.parametrize("k", [1, 3, 5])
def test_equals_the_definition(k):
    generator = torch.Generator().manual_seed(k)
    a, b = (torch.randn(n, 6, generator=generator).double() for n in (23, 17))
    cosine = torch.stack([torch.cosine_similarity(row[None], b) for row in a])
    expected = {
        (i, j)
        for i in range(23)
        for j in range(17)
        if (cosine[i] > cosine[i, j]).sum() < k and (cosine[:, j] > cosine[i, j]).sum() < k
    }
    assert set(pairs(best_buddies(a, b, k))) == expected


def test_no_neighbour_is_refused():
    with pytest.raises(UserError, match="K is 0"):
        best_buddies(A, B, 0)
