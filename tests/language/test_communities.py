"""Groups of captions in small examples computed by hand."""

import math

import pytest
import torch
import torch.nn.functional as F

from boxrefine_d2.errors import UserError
from boxrefine_d2.language.communities import communities, most_central


def at_degrees(*angles):
    radians = torch.tensor([math.radians(angle) for angle in angles])
    return torch.stack([radians.cos(), radians.sin()], dim=1)


def within(degrees, vectors, **changes):
    settings = {"min_size": 2, "overlap": "discard"} | changes
    limit = math.cos(math.radians(degrees)) - 1e-6
    return communities(vectors, min_similarity=limit, **settings)


def test_four_points_of_which_two_groups_overlap():
    """Group 0, 10 and 20 degrees around 10; 30 is within 10 degrees of 20 only."""
    vectors = at_degrees(0, 10, 20, 30)
    # around 10: {0, 1, 2}; around 20: {1, 2, 3} shares two; around 0: {0, 1}; around 30: {2, 3}
    assert within(10, vectors) == [[0, 1, 2]]
    # after trimming, {3} alone is too small
    assert within(10, vectors, overlap="trim") == [[0, 1, 2]]
    assert within(10, vectors, overlap="trim", min_size=1) == [[0, 1, 2], [3]]


def test_trimming_keeps_what_discarding_loses():
    """Trim the group 20, 30, 40 around 30, of which 20 is taken already."""
    vectors = at_degrees(0, 10, 20, 30, 40, 50, 11)
    assert within(10, vectors)[0] == [0, 1, 2, 6]
    assert within(10, vectors, overlap="trim") == [[0, 1, 2, 6], [3, 4]]


def test_groups_without_common_members_are_all_kept_the_largest_first():
    vectors = at_degrees(0, 1, 90, 91, 92, 180)
    assert within(5, vectors) == [[2, 3, 4], [0, 1]]
    assert within(5, vectors, min_size=3) == [[2, 3, 4]]


@pytest.mark.parametrize("overlap", ["discard", "trim"])
def test_texts_that_are_all_alike_are_one_group(overlap):
    """Group equal texts; release 2.2.2 of the library never returns for them."""
    assert within(5, at_degrees(*[3] * 7), overlap=overlap) == [[0, 1, 2, 3, 4, 5, 6]]


def test_few_texts():
    assert within(5, torch.zeros(0, 2)) == []
    assert within(5, at_degrees(0)) == []
    assert within(5, at_degrees(0), min_size=1) == [[0]]


def test_the_most_central_is_nearest_to_the_mean():
    vectors = at_degrees(0, 8, 20, 90)
    assert most_central(vectors, [0, 1, 2]) == 1
    assert most_central(F.normalize(torch.ones(3, 2), dim=1), [1, 2]) == 1


def test_mistakes_are_named():
    with pytest.raises(UserError, match="overlap 'keep' is unknown; known: discard, trim"):
        within(5, at_degrees(0), overlap="keep")
    with pytest.raises(UserError, match="at least 1 member, not 0"):
        within(5, at_degrees(0), min_size=0)
