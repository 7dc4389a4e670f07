"""Line charts as inline SVG that follows the page's colours: one small chart a quantity, one line a seed."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from markupsafe import Markup

from .rendering import render

WIDTH, HEIGHT = 320, 176
SMOOTHED_FROM = 15  # lines of more points are drawn pale, with their running mean
MEAN_OF = 9  # points
_MOST = 1e300  # of a value; no axis reaches further
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 8, 8, 24
_PLOT = {"left": _LEFT, "right": WIDTH - _RIGHT, "top": _TOP, "bottom": HEIGHT - _BOTTOM}

Series = Sequence[tuple[float, float]]  # (iteration, value), in order


@dataclass(frozen=True)
class Phase:
    """A stretch of iterations: first (included) and last (not included)."""

    name: str
    first: int
    last: int


def chart(
    title: str, series: Mapping[int, Series], phases: Sequence[Phase], iterations: int
) -> Markup:
    """The chart of one quantity.

    Args:
        title: for screen readers; the page writes it above.
        series: seed -> points; values that are not finite, or too large to be drawn, are left out.
        phases: bands in the background.  iterations: where the axis ends.
    Returns: an <svg> element; nothing if there is no point to draw.
    """
    finite = {seed: [p for p in line if abs(p[1]) < _MOST] for seed, line in series.items()}
    values = [value for line in finite.values() for _, value in line]
    if not values:
        return Markup()
    ticks = nice_ticks(min(0.0, *values), max(values))
    low, high = ticks[0], ticks[-1]

    def x(iteration: float) -> float:
        return _LEFT + iteration / max(iterations, 1) * (WIDTH - _LEFT - _RIGHT)

    def y(value: float) -> float:
        return _TOP + (high - value) / (high - low) * (HEIGHT - _TOP - _BOTTOM)

    return render(
        "shared/chart.html",
        title=title,
        width=WIDTH,
        height=HEIGHT,
        plot=_PLOT,
        bands=[(p.name, x(p.first), x(p.last) - x(p.first)) for p in phases],
        grid=[(y(t), f"{t:g}") for t in ticks],
        axis=[(x(at), at, anchor) for at, anchor in _iteration_ticks(phases, iterations)],
        lines=[
            _drawn(line, number % 5, phases, x, y)
            for number, line in enumerate(finite.values())
            if line
        ],
    )


def nice_ticks(low: float, high: float) -> list[float]:
    """Round numbers from at most `low` to at least `high`, three to six of them.

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
    """Each value replaced by the mean of the `MEAN_OF` points around it that are of its phase.

    >>> running_mean([(0, 1.0), (1, 9.0), (2, 2.0), (3, 50.0)], [Phase("a", 0, 3), Phase("b", 3, 4)])
    [(0, 4.0), (1, 4.0), (2, 4.0), (3, 50.0)]
    """
    reach = MEAN_OF // 2
    of = [next((p for p in phases if p.first <= i < p.last), None) for i, _ in line]
    found = []
    for place, (iteration, _) in enumerate(line):
        near = range(max(0, place - reach), min(len(line), place + reach + 1))
        found.append((iteration, fmean(line[k][1] for k in near if of[k] == of[place])))
    return found


def _drawn(
    line: Series,
    colour: int,
    phases: Sequence[Phase],
    x: Callable[[float], float],
    y: Callable[[float], float],
) -> dict[str, Any]:
    """Return a line as the template takes it: few points with dots, many as a pale line with its running mean."""

    def path(points: Series) -> str:
        return " ".join(f"{x(i):.1f},{y(v):.1f}" for i, v in points)

    if len(line) > SMOOTHED_FROM:
        mean = path(running_mean(line, phases))
        return {"colour": colour, "raw": path(line), "mid": mean, "dots": []}
    dots = [(x(i), y(v)) for i, v in line]
    return {"colour": colour, "raw": "", "mid": path(line), "dots": dots}


def _iteration_ticks(phases: Sequence[Phase], iterations: int) -> list[tuple[int, str]]:
    """Start, end, and the borders between phases that leave room for their number."""
    room = iterations / 8
    borders = [(0, "start")]
    for phase in phases[1:]:
        if borders[-1][0] + room < phase.first < iterations - room:
            borders.append((phase.first, "middle"))
    return [*borders, (iterations, "end")]
