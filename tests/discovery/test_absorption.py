import numpy as np
import pytest
import torch

from boxrefine_d2.discovery import build_rule, discover
from boxrefine_d2.discovery.absorption import absorption_times, otsu_split
from boxrefine_d2.errors import UserError
from boxrefine_d2.structures import FeatureMap

from .test_lost import planted_square


def expected_steps(data: torch.Tensor, temperature: float, reach: int) -> np.ndarray:
    """Return the times of one map (C, h, w) by the textbook: (I - P)^-1 1, with dense matrices."""
    channels, h, w = data.shape
    cells = [(row, column) for row in range(h) for column in range(w)]
    unit = torch.nn.functional.normalize(data.double().flatten(1).T, dim=1).numpy()
    weights = np.zeros((len(cells), len(cells)))
    leave = np.zeros(len(cells))
    for i, (row, column) in enumerate(cells):
        leave[i] = row in (0, h - 1) or column in (0, w - 1)
        for j, (other_row, other_column) in enumerate(cells):
            step = max(abs(row - other_row), abs(column - other_column))
            if 1 <= step <= reach:
                weights[i, j] = np.exp((unit[i] @ unit[j] - 1) / temperature)
    steps = weights / (weights.sum(axis=1) + leave)[:, None]
    times = np.linalg.inv(np.eye(len(cells)) - steps) @ np.ones(len(cells))
    return times.reshape(h, w)


@pytest.mark.parametrize("grid", [(5, 7), (6, 3), (1, 6), (4, 1), (2, 2), (1, 1)])
@pytest.mark.parametrize("reach", [1, 2, 9])
def test_times_are_those_of_the_chain(grid, reach):
    data = torch.randn(2, 4, *grid, generator=torch.Generator().manual_seed(3))
    found = absorption_times(data, 0.3, reach)
    for times, one in zip(found, data, strict=True):
        np.testing.assert_allclose(times, expected_steps(one, 0.3, reach), rtol=1e-5)


def test_times_agree_with_a_simulated_walk():
    # one inner cell of a 3 x 3 grid: the first step leads to a border cell, always
    data = torch.ones(1, 2, 3, 3)
    times = absorption_times(data, 0.1, 1)[0]
    corner, edge, middle = times[0, 0], times[0, 1], times[1, 1]
    # a corner has 3 neighbours and the way out, an edge 5 and the way out
    assert corner == pytest.approx(1 + (2 * edge + middle) / 4)
    assert edge == pytest.approx(1 + (2 * corner + 2 * edge + middle) / 6)
    assert middle == pytest.approx(1 + (4 * corner + 4 * edge) / 8)


def test_a_planted_object_is_found_at_any_place_inside():
    for cells in [(2, 2, 6, 5), (5, 3, 9, 7), (3, 1, 8, 6)]:
        features = planted_square((8, 10), cells)
        boxes = discover("absorption", features)[0]
        assert (boxes.boxes[0] / 16).tolist() == list(cells)
        assert boxes.scores[0] > 0.8


def test_an_object_that_touches_one_side_is_found():
    boxes = discover("absorption", planted_square((12, 12), (4, 6, 9, 12)), temperature=0.05)[0]
    x1, y1, x2, y2 = (boxes.boxes[0] / 16).tolist()
    assert (x1, x2) == (4, 9)
    assert y1 == 6


def test_further_components_are_further_objects():
    features = planted_square((12, 16), (2, 2, 6, 6))
    features.data[:, :, 4:8, 10:14] = features.data[:, :, 3:4, 3:4]
    boxes = discover("absorption", features, max_objects=3)[0]
    assert sorted((boxes.boxes / 16).tolist()) == [[2, 2, 6, 6], [10, 4, 14, 8]]
    assert boxes.scores[0] > boxes.scores[1]


def test_equal_cells_give_a_box_in_the_middle():
    features = FeatureMap(torch.ones(1, 3, 9, 9), 16, [(144, 144)], "key")
    box = (discover("absorption", features)[0].boxes[0] / 16).tolist()
    assert box[0] == 9 - box[2] and box[1] == 9 - box[3]


def test_a_batch_gives_the_boxes_of_its_images():
    data = torch.randn(3, 5, 7, 6, generator=torch.Generator().manual_seed(0))
    rule = build_rule("absorption")
    together = rule(FeatureMap(data, 16, [(112, 96)] * 3, "key"))
    for one, boxes in zip(data, together, strict=True):
        alone = rule(FeatureMap(one[None], 16, [(112, 96)], "key"))[0]
        assert torch.equal(alone.boxes, boxes.boxes)
        assert torch.equal(alone.scores, boxes.scores)


def test_otsu_is_the_split_of_least_variance_within():
    values = np.random.default_rng(0).normal(size=40)
    values[:10] += 3
    threshold, explained = otsu_split(values)

    def within(limit):
        upper, lower = values[values > limit], values[values <= limit]
        return (upper.var() * len(upper) + lower.var() * len(lower)) / len(values)

    best = min(within(limit) for limit in np.sort(values)[:-1])
    assert within(threshold) == pytest.approx(best)
    assert explained == pytest.approx(1 - best / values.var())


def test_otsu_of_equal_values_has_no_upper_side():
    threshold, explained = otsu_split(np.full((2, 3), 4.0))
    assert (threshold, explained) == (4.0, 0.0)


@pytest.mark.parametrize("name, value", [("temperature", 0.0), ("reach", 0), ("max_objects", 0)])
def test_impossible_parameters_are_refused(name, value):
    with pytest.raises(UserError, match=name):
        build_rule("absorption", **{name: value})
