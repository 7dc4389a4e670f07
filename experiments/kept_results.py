"""Common parts of the scripts for docs/results/small_world.md.

They run pipelines, keep the results, and write tables.
"""

import argparse
import json
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from boxrefine_d2.errors import CommandParser, UserError
from boxrefine_d2.evaluation import write_json

ROOT = Path(__file__).parents[1]
NOT_RUN = "Not run yet."


def page_arguments(program: str, description: str | None, names: str) -> argparse.Namespace:
    """Return the arguments of a program that runs measurements and writes their page.

    Args: program: its file name, PAGE.py; the output directory is output/PAGE.
        names: the form of the names after --run.
    """
    parser = CommandParser(prog=program, description=description)
    parser.add_argument(
        "--run", nargs="*", metavar=names, help="run these first; without a name, all"
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("output") / Path(program).stem,
        metavar="DIR",
        help="output directory of the runs (default: %(default)s)",
    )
    return parser.parse_args()


def run_pipeline(plan: str, settings: list[str]) -> dict[str, Any]:
    """Run a pipeline and return its command and the commit it ran on.

    Raises: UserError if the pipeline failed.
    """
    command = ["tools/pipeline.py", plan, *settings]
    if subprocess.run([sys.executable, *command], cwd=ROOT).returncode:
        raise UserError(f"{shlex.join(command)} failed; see its messages above")
    return {"commit": commit(), "command": shlex.join(["python", *command])}


def commit() -> str:
    """Return the short hash of the current commit."""
    command = ["git", "rev-parse", "--short", "HEAD"]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()


def read_json(path: Path) -> Any:
    """Return the content of a file; a relative path starts at the checkout."""
    return json.loads((ROOT / path).read_text(encoding="utf-8"))


def read_kept(path: Path) -> dict[str, Any]:
    """Return the kept results; "seeds" is always present and may be empty."""
    return read_json(path) if path.exists() else {"seeds": {}}


def keep(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the kept results; seeds stay in order."""
    kept = read_kept(path)
    change(kept)
    kept["seeds"] = dict(sorted(kept["seeds"].items(), key=lambda pair: int(pair[0])))
    write_json(path, kept)


def keep_seed(path: Path, seed: str, results: dict[str, Any]) -> None:
    """Keep the results of a seed beside those of other seeds."""
    keep(path, lambda kept: kept["seeds"].update({seed: results}))


def run_list(runs: Iterable[tuple[str, Mapping[str, Any]]]) -> str:
    """Return the name of each run, its command and its commit."""
    return "; ".join(f"{name} `{run['command']}` (commit {run['commit']})" for name, run in runs)


def seed_count(seeds: Mapping[str, Any]) -> str:
    """Return the number of seeds in words, e.g. "3 seeds"."""
    return f"{len(seeds)} seeds" if len(seeds) > 1 else "one seed"


def markdown(heads: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table."""
    return "\n".join([_row(heads), "|---" * len(heads) + "|", *map(_row, rows)])


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def interval(value: Mapping[str, Any], signed: bool = False) -> str:
    """Return a mean with its 95 % interval, e.g. "12.3 [10.0, 14.5]"."""
    low, high = (number(x, signed) for x in value["ci95"])
    return f"{number(value['mean'], signed)} [{low}, {high}]"


def number(value: float, signed: bool = False) -> str:
    """Return a number with one decimal, e.g. "12.3", or "+12.3" if signed."""
    return f"{value:+.1f}" if signed else f"{value:.1f}"
