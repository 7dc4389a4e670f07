"""The result of an evaluation and its JSON file."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tabulate import tabulate

from boxrefine_d2.files.atomic import atomic_text_file


@dataclass(frozen=True)
class MetricResult:
    """Numbers of one family of metrics on one prediction file.

    Attributes:
        values: metric -> percent.
        counts: denominators and numbers of left-out items, in printing order.
        warnings: one line per oddity that is not an error.
    """

    values: dict[str, float]
    counts: dict[str, int]
    warnings: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, float | int]:
        """Return values and counts side by side, unrounded."""
        return {**self.values, **self.counts}

    def to_text(self) -> str:
        """Return a table for the terminal: warnings, values in percent, then every count."""
        rows = [(name, f"{value:.2f} %") for name, value in self.values.items()]
        rows += [(name.replace("_", " "), str(count)) for name, count in self.counts.items()]
        table = tabulate(rows, tablefmt="plain", disable_numparse=True, colalign=("left", "right"))
        return "\n".join([*(f"warning: {text}" for text in self.warnings), table])


def write_json(path: str | Path, value: Any) -> None:
    """Write a JSON file, whole or not at all; missing parent folders are made.

    Raises: UserError if it cannot be written.
    """
    with atomic_text_file(path) as file:
        json.dump(value, file, indent=1, allow_nan=False)
        file.write("\n")
