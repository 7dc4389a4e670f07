"""Points and boxes of the original image, read from heatmaps."""

import cv2
import numpy as np
import pytest
import torch

from boxrefine_d2.discovery import build_rule
from boxrefine_d2.errors import UserError
from boxrefine_d2.grounding import queries
from boxrefine_d2.grounding.queries import averaged_heatmaps, brightest_pixels, found_in_heatmaps


def test_the_brightest_pixel_is_opencvs_first_maximum():
    heatmaps = np.random.default_rng(0).random((5, 24, 24), dtype=np.float32)
    for size in ((60, 91), (24, 24), (10, 7)):
        expected = []
        for heatmap in heatmaps:
            resized = cv2.resize(heatmap, size[::-1], interpolation=cv2.INTER_LINEAR)
            y, x = divmod(int(resized.argmax()), size[1])
            expected.append((x, y))
        assert brightest_pixels(torch.from_numpy(heatmaps), size) == expected
    flat = torch.zeros(1, 4, 4)
    flat[0, 1, 2] = flat[0, 3, 0] = 1
    assert brightest_pixels(flat, (4, 4)) == [(2, 1)]


def test_pixels_that_differ_by_rounding_are_equally_bright():
    heatmap = torch.full((1, 3, 3), 0.5)
    heatmap[0, 1, 2] += 1e-7
    heatmap[0, 2, 0] += 1e-5
    assert brightest_pixels(heatmap, (3, 3)) == [(0, 2)]
    heatmap[0, 2, 0] = 0.5
    assert brightest_pixels(heatmap, (3, 3)) == [(0, 0)]


def test_boxes_and_points_come_in_the_frame_of_the_image():
    heatmaps = torch.zeros(2, 20, 20)
    heatmaps[0, 5:15, 0:10] = 1.0
    heatmaps[1] = 0.3  # constant: no box
    first, second = found_in_heatmaps(heatmaps, build_rule("contours"), (40, 60))
    assert first.box == (0.0, 10.0, 30.0, 30.0) and first.boxes == [[0.0, 10.0, 30.0, 30.0]]
    x, y = first.point
    assert 0 <= x < 30 and 10 <= y < 30 and first.score == 1.0
    assert (second.box, second.boxes, second.score) == (None, [], 0.0)
    assert second.point == (0, 0)


def test_several_boxes_make_one_union():
    heatmaps = torch.zeros(1, 20, 20)
    heatmaps[0, 0:8, 0:8] = 1.0
    heatmaps[0, 12:20, 10:20] = 0.9
    (answer,) = found_in_heatmaps(heatmaps, build_rule("contours"), (20, 20))
    assert answer.boxes == [[0, 0, 8, 8], [10, 12, 20, 20]] and answer.box == (0, 0, 20, 20)


def test_phrasings_are_averaged_and_drawn_a_few_of_an_image_at_a_time(monkeypatch):
    monkeypatch.setattr(queries, "PAIRS_AT_ONCE", 2)
    values = {"a": 1.0, "b": 3.0, "c": 5.0}
    drawn = []

    def draw(number, phrases):
        drawn.append((number, phrases))
        return torch.tensor([values[p] + 10 * number for p in phrases])[:, None, None, None]

    averages = averaged_heatmaps([[["a", "b"], ["c"]], [], [["a"]], [["c"], ["a", "b", "c"]]], draw)
    assert [maps.flatten().tolist() for maps in averages] == [[2.0, 5.0], [], [21.0], [35.0, 33.0]]
    assert drawn == [
        (0, ["a", "b"]),
        (0, ["c"]),
        (2, ["a"]),
        (3, ["c", "a"]),
        (3, ["b", "c"]),
    ]


@pytest.mark.parametrize("queries_", [[], [[]]])
def test_without_queries_there_is_no_heatmap(queries_):
    assert [len(maps) for maps in averaged_heatmaps(queries_, None)] == [0] * len(queries_)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_heatmap_that_is_not_finite_is_refused(value):
    heatmaps = torch.zeros(2, 20, 20)
    heatmaps[1, 3, 3] = value
    with pytest.raises(UserError, match="not finite"):
        found_in_heatmaps(heatmaps, build_rule("contours"), (20, 20))
