import math
from xml.etree import ElementTree

import pytest

from boxrefine_d2.refinement.phases import PhaseSchedule
from boxrefine_d2.report.curves import HEIGHT, WIDTH, Phase, chart, nice_ticks, running_mean
from boxrefine_d2.report.training_charts import phase_bands


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 7.3, [0, 2, 4, 6, 8]),
        (0, 1, [0, 0.25, 0.5, 0.75, 1]),
        (0, 0, [0, 0.25, 0.5, 0.75, 1]),
        (-3, 40, [-20, 0, 20, 40]),
        (0, 0.0012, [0, 0.0005, 0.001, 0.0015]),
    ],
)
def test_ticks(low, high, expected):
    assert nice_ticks(low, high) == pytest.approx(expected)


def test_points_have_their_positions():
    """The axes end at 100 and 8: the point (50, 8) is in the middle of the plot and at its top."""
    drawing = chart("a < b", {0: [(0, 0.0), (50, 8.0)], 7: [(0, math.nan)]}, [], 100)
    svg = ElementTree.fromstring(drawing)
    assert svg.get("aria-label") == "a < b"
    [line] = svg.iter("polyline")
    (x0, y0), (x1, y1) = (map(float, p.split(",")) for p in line.get("points").split())
    assert (x0, y0) == (44, HEIGHT - 24)
    assert (x1, y1) == (44 + (WIDTH - 52) / 2, 8)
    assert chart("empty", {0: [(0, math.inf)]}, [], 100) == ""


def test_the_running_mean_of_many_points_stays_in_its_phase():
    phases = [Phase("detector", 0, 10), Phase("refine", 10, 20)]
    values = [(i, 1.0 if i < 10 else 5.0) for i in range(20)]
    values[4] = (4, 10.0)
    svg = ElementTree.fromstring(chart("x", {0: values}, phases, 20))
    assert [line.get("class") for line in svg.iter("polyline")] == ["raw", "mid"]
    assert next(svg.iter("circle"), None) is None
    means = dict(running_mean(values, phases))
    assert means[4] == 2.0  # eight times 1 and once 10
    assert means[9] == 1.0 and means[10] == 5.0  # neither includes the other phase or iteration 4
    assert means[0] == (4 * 1 + 10) / 5


def test_phases_are_bands():
    svg = ElementTree.fromstring(
        chart("x", {0: [(0, 1.0)]}, [Phase("detector", 0, 20), Phase("refine", 20, 100)], 100)
    )
    one, two = svg.iter("rect")
    assert (one.get("class"), two.get("class")) == ("phase-detector", "phase-refine")
    assert float(two.get("width")) == pytest.approx(4 * float(one.get("width")), abs=0.5)
    texts = [text.text for text in svg.iter("text")]
    assert texts[-3:] == ["0", "20", "100"]


def test_bands_of_a_schedule_that_returns_to_h():
    bands = phase_bands(PhaseSchedule(2, 3, 1), 8)
    assert [(b.name, b.first, b.last) for b in bands] == [
        ("detector", 0, 2),
        ("refine", 2, 5),
        ("detector", 5, 6),
        ("refine", 6, 8),
    ]
