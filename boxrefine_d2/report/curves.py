"""Line charts as inline SVG in the colours of the page, a chart per quantity."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from markupsafe import Markup

from .rendering import render

WIDTH, HEIGHT = 320, 176
SMOOTHED_FROM = 15  # a line with more points is drawn pale, with its running mean
MEAN_OF = 9  # points of the running mean
_MOST = 1e300  # largest absolute value that is drawn
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 8, 8, 24
_PLOT = {"left": _LEFT, "right": WIDTH - _RIGHT, "top": _TOP, "bottom": HEIGHT - _BOTTOM}

Series = Sequence[tuple[float, float]]  # (iteration, value), in order


@dataclass(frozen=True)
class Phase:
    """Range of iterations in one phase: first (inclusive) and last (exclusive)."""

    name: str
    first: int
    last: int


def chart(
    title: str,
    series: Mapping[Any, Series],
    phases: Sequence[Phase],
    iterations: float,
    *,
    ticks: Sequence[tuple[float, str]] = (),
    smoothed: bool = True,
) -> Markup:
    """Return the chart of one quantity over iterations, or over another quantity from 0 on.

    Args:
        title: title for screen readers; the page shows it above the chart.
        series: seed or other name of a line -> points. Values that are not finite, or too large
            to draw, are left out.
        phases: bands in the background.
        iterations: end of the axis.
        ticks: (place, text) on the axis; by default the iterations at which phases begin and end.
        smoothed: True for lines that are drawn pale, with their running mean.
    Returns: an <svg> element; empty if there is no point to draw.
    """
    finite = {seed: [p for p in line if abs(p[1]) < _MOST] for seed, line in series.items()}
    values = [value for line in finite.values() for _, value in line]
    if not values:
        return Markup()
    steps = nice_ticks(min(0.0, *values), max(values))
    low, high = steps[0], steps[-1]

    def x(iteration: float) -> float:
        return _LEFT + iteration / (iterations or 1) * (WIDTH - _LEFT - _RIGHT)

    def y(value: float) -> float:
        return _TOP + (high - value) / (high - low) * (HEIGHT - _TOP - _BOTTOM)

    axis: list[tuple[float, str, str]] = (
        [(at, text, "middle") for at, text in ticks]
        if ticks
        else [(at, str(at), anchor) for at, anchor in _iteration_ticks(phases, int(iterations))]
    )
    return render(
        "shared/chart.html",
        title=title,
        width=WIDTH,
        height=HEIGHT,
        plot=_PLOT,
        bands=[(p.name, x(p.first), x(p.last) - x(p.first)) for p in phases],
        grid=[(y(t), f"{t:g}") for t in steps],
        axis=[(x(at), text, anchor) for at, text, anchor in axis],
        lines=[
            _template_line(line, number % 5, phases if smoothed else None, x, y)
            for number, line in enumerate(finite.values())
            if line
        ],
    )


def nice_ticks(low: float, high: float) -> list[float]:
    """Return three to six round numbers, from at most `low` to at least `high`.

    >>> nice_ticks(0, 7.3)
    [0.0, 2.0, 4.0, 6.0, 8.0]
    """
    if high - low < 1 / _MOST:
        high = low + max(1.0, abs(low))
    rough = (high - low) / 4
    unit = 10.0 ** math.floor(math.log10(rough))
    step = unit * next(f for f in (1, 2, 2.5, 5, 10) if f * unit >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(k * step, 12) for k in range(first, last + 1)]


def running_mean(line: Series, phases: Sequence[Phase]) -> list[tuple[float, float]]:
    """Replace each value by the mean of the `MEAN_OF` points around it in its phase.

    >>> phases = [Phase("a", 0, 3), Phase("b", 3, 4)]
    >>> running_mean([(0, 1.0), (1, 9.0), (2, 2.0), (3, 50.0)], phases)
    [(0, 4.0), (1, 4.0), (2, 4.0), (3, 50.0)]
    """
    reach = MEAN_OF // 2
    phase_of = [next((p for p in phases if p.first <= i < p.last), None) for i, _ in line]
    means = []
    for place, (iteration, _) in enumerate(line):
        near = range(max(0, place - reach), min(len(line), place + reach + 1))
        means.append((iteration, fmean(line[k][1] for k in near if phase_of[k] == phase_of[place])))
    return means


def _template_line(
    line: Series,
    colour: int,
    phases: Sequence[Phase] | None,
    x: Callable[[float], float],
    y: Callable[[float], float],
) -> dict[str, Any]:
    """Return a line for the template: dots for few points, or a pale line and its mean.

    Without phases it is the line alone.
    """

    def path(points: Series) -> str:
        return " ".join(f"{x(i):.1f},{y(v):.1f}" for i, v in points)

    if phases is None:
        return {"colour": colour, "raw": "", "mid": path(line), "dots": []}
    if len(line) > SMOOTHED_FROM:
        mean = path(running_mean(line, phases))
        return {"colour": colour, "raw": path(line), "mid": mean, "dots": []}
    dots = [(x(i), y(v)) for i, v in line]
    return {"colour": colour, "raw": "", "mid": path(line), "dots": dots}


def _iteration_ticks(phases: Sequence[Phase], iterations: int) -> list[tuple[int, str]]:
    """Return start, end, and the borders between phases that leave room for their number."""
    room = iterations / 8
    borders = [(0, "start")]
    for phase in phases[1:]:
        if borders[-1][0] + room < phase.first < iterations - room:
            borders.append((phase.first, "middle"))
    return [*borders, (iterations, "end")]
