"""Page of the metrics of score maps: accuracy over the threshold, and the thresholds chosen."""

from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup

import boxrefine_d2
from boxrefine_d2.evaluation import MAP_METRICS, MetricResult
from boxrefine_d2.evaluation.results import Curve
from boxrefine_d2.files.atomic import atomic_text_file

from .curves import Series, chart
from .rendering import render

TITLE = "Accuracy over the threshold"
TICKS = [(tenth / 10, f"{tenth / 10:g}") for tenth in range(0, 11, 2)]


def write_threshold_page(path: str | Path, result: MetricResult, data: str, file: str) -> None:
    """Write the page.

    Args:
        result: a result with curves.
        data: dataset spec of the ground truth.
        file: path of the results file.
    Raises: UserError if `path` cannot be written.
    """
    counts = {name.replace("_", " "): str(count) for name, count in result.counts.items()}
    facts = {"Ground truth": data, "Results file": file}
    values = [(name, value, result.rules.get(name, "")) for name, value in result.values.items()]
    first = next(name for name in result.values if name in MAP_METRICS)
    page = render(
        "thresholds/page.html",
        title=TITLE,
        verdict=f"{first} is {result.values[first]:.2f} % on {data}.",
        warnings=result.warnings,
        charts=threshold_charts(result.curves),
        values=values,
        facts=facts | counts | {"Version": f"boxrefine_d2 {boxrefine_d2.__version__}"},
    )
    with atomic_text_file(path) as file_to_write:
        file_to_write.write(page)


def threshold_charts(curves: Sequence[Curve]) -> list[tuple[str, list[str], Markup]]:
    """Return a chart of each subject, for `shared/line_charts.html`: title, names of lines, SVG."""
    charts = []
    for subject in dict.fromkeys(curve.subject for curve in curves):
        lines = {
            curve.name: _without_flat_points(list(zip(curve.thresholds, curve.percent)))
            for curve in curves
            if curve.subject == subject
        }
        drawing = chart(subject, lines, [], 1, ticks=TICKS, smoothed=False)
        charts.append((subject, list(lines), drawing))
    return charts


def _without_flat_points(line: Series) -> Series:
    """Return the points of a line that differ from a neighbour in height, and both ends."""
    inner = (
        point
        for before, point, after in zip(line, line[1:], line[2:])
        if not before[1] == point[1] == after[1]
    )
    return [line[0], *inner, line[-1]] if len(line) > 1 else line
