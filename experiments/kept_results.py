"""What scripts of docs/results/small_world.md share: they run pipelines, keep what these found, and write tables of it."""

import json
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from boxrefine_d2.errors import UserError
from boxrefine_d2.evaluation import write_json

ROOT = Path(__file__).parents[1]
NOT_RUN = "Not run yet."


def run_pipeline(plan: str, settings: list[str]) -> dict[str, Any]:
    """The command and the commit that it was run on. Raises: UserError if it failed."""
    command = ["tools/pipeline.py", plan, *settings]
    if subprocess.run([sys.executable, *command], cwd=ROOT).returncode:
        raise UserError(f"{shlex.join(command)} failed; what it said stands above")
    return {"commit": commit(), "command": shlex.join(["python", *command])}


def commit() -> str:
    """That the results are of."""
    command = ["git", "rev-parse", "--short", "HEAD"]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()


def read_json(path: Path) -> Any:
    """The content of a file; a relative path is that of a file below the checkout."""
    return json.loads((ROOT / path).read_text(encoding="utf-8"))


def read_kept(path: Path) -> dict[str, Any]:
    """What is kept, "seeds" among it, which may be empty."""
    return read_json(path) if path.exists() else {"seeds": {}}


def keep(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Changes what is kept; seeds stay in order."""
    found = read_kept(path)
    change(found)
    found["seeds"] = dict(sorted(found["seeds"].items(), key=lambda pair: int(pair[0])))
    write_json(path, found)


def keep_seed(path: Path, seed: str, found: dict[str, Any]) -> None:
    """Beside what is kept of other seeds."""
    keep(path, lambda kept: kept["seeds"].update({seed: found}))


def run_list(runs: Iterable[tuple[str, Mapping[str, Any]]]) -> str:
    """The name of each run, its command and its commit."""
    return "; ".join(f"{name} `{of['command']}` (commit {of['commit']})" for name, of in runs)


def seed_count(seeds: Mapping[str, Any]) -> str:
    """ "3 seeds"."""
    return f"{len(seeds)} seeds" if len(seeds) > 1 else "one seed"


def markdown(heads: list[str], rows: list[list[str]]) -> str:
    """A table."""
    return "\n".join([_row(heads), "|---" * len(heads) + "|", *map(_row, rows)])


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def interval(value: Mapping[str, Any], signed: bool = False) -> str:
    """ "12.3 [10.0, 14.5]"."""
    low, high = (number(x, signed) for x in value["ci95"])
    return f"{number(value['mean'], signed)} [{low}, {high}]"


def number(value: float, signed: bool = False) -> str:
    """ "12.3", or "+12.3"."""
    return f"{value:+.1f}" if signed else f"{value:.1f}"
