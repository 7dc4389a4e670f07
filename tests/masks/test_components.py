import numpy as np
import pytest

from boxrefine_d2.masks.components import component_of, largest_component

MASK = np.array(
    [
        [1, 1, 0, 0, 1],
        [0, 0, 1, 0, 1],  # the middle cell touches other cells at a corner only
        [1, 1, 0, 0, 0],
    ],
    dtype=bool,
)


def test_the_largest_component_is_the_first_among_equals():
    largest = largest_component(MASK)
    assert largest.dtype == np.bool_
    assert np.argwhere(largest).tolist() == [[0, 0], [0, 1]]
    more = MASK.copy()
    more[2, 2] = True  # connects the last row and the middle cell
    assert np.argwhere(largest_component(more)).tolist() == [[1, 2], [2, 0], [2, 1], [2, 2]]


@pytest.mark.parametrize("value", [False, True])
def test_the_largest_component_of_an_empty_and_a_full_mask(value):
    assert (largest_component(np.full((2, 3), value)) == value).all()


def test_a_cell_outside_the_mask_is_its_own_component():
    assert np.argwhere(component_of(MASK, (0, 1))).tolist() == [[0, 0], [0, 1]]
    assert np.argwhere(component_of(MASK, (2, 4))).tolist() == [[2, 4]]
