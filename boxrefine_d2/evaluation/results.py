"""The result of an evaluation and its JSON file."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tabulate import tabulate

from boxrefine_d2.files.atomic import atomic_text_file


@dataclass(frozen=True)
class Curve:
    """Percent at each threshold, in ascending order of thresholds.

    Attributes:
        subject: subject of a chart, which may have several curves.
        name: name of the curve in its chart.
    """

    subject: str
    name: str
    thresholds: list[float]
    percent: list[float]


@dataclass(frozen=True)
class MetricResult:
    """Numbers of one family of metrics on one prediction file.

    Attributes:
        values: metric -> percent.
        counts: denominators and numbers of left-out items, in printing order.
        warnings: one line per oddity that is not an error.
        rules: metric -> the rule of its threshold and the images that chose it, where it has one.
        curves: curves over thresholds.
        per_class: measure -> class -> percent.
    """

    values: dict[str, float]
    counts: dict[str, int]
    warnings: list[str] = field(default_factory=list)
    rules: dict[str, str] = field(default_factory=dict)
    curves: list[Curve] = field(default_factory=list)
    per_class: dict[str, dict[str, float]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return values and counts side by side, unrounded, with "rules" and "per_class" if any."""
        more = {"rules": self.rules, "per_class": self.per_class}
        return {**self.values, **self.counts} | {key: value for key, value in more.items() if value}

    def to_text(self) -> str:
        """Return a table for the terminal: warnings, values in percent, then every count.

        The rule of a threshold stands beside its value.
        """
        rules = ((self.rules[name],) if name in self.rules else () for name in self.values)
        rows: list[tuple[str, ...]] = [
            (name, f"{value:.2f} %", *rule)
            for (name, value), rule in zip(self.values.items(), rules, strict=True)
        ]
        rows += [
            (f"  {name}", f"{value:.2f} %")
            for of_class in self.per_class.values()
            for name, value in of_class.items()
        ]
        rows += [(name.replace("_", " "), str(count)) for name, count in self.counts.items()]
        align = ("left", "right", "left")[: max(map(len, rows), default=2)]
        table = tabulate(rows, tablefmt="plain", disable_numparse=True, colalign=align)
        return "\n".join([*(f"warning: {text}" for text in self.warnings), table])


def write_json(path: str | Path, value: Any) -> None:
    """Write a JSON file, whole or not at all; missing parent folders are made.

    Raises: UserError if it cannot be written.
    """
    with atomic_text_file(path) as file:
        json.dump(value, file, indent=1, allow_nan=False)
        file.write("\n")
