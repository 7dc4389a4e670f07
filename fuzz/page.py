"""Writer of docs/results/robustness.md from experiments/robustness.json.

    python -m fuzz.page [output/fuzz/fuzz.json]

If a results file of `make fuzz` is given, it first replaces the kept results.
"""

import argparse
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tabulate import tabulate

from boxrefine_d2.errors import CommandParser, UserError, run_command
from boxrefine_d2.files.atomic import atomic_text_file
from boxrefine_d2.files.inputs import read_json

from .outcomes import BAD, OK, REFUSED

ROOT = Path(__file__).parents[1]
KEPT = ROOT / "experiments" / "robustness.json"
PAGE = ROOT / "docs" / "results" / "robustness.md"

_TEXT = """\
# Robustness: damaged, hostile and interrupted use

`make fuzz` runs every command with damaged and hostile inputs, and interrupts commands at random
moments. A seed draws the inputs, and any try can be repeated. One process imports the commands.
Each try is a fork of this process, with at most 3 GiB more address space and a time limit. A try
ends in one of these ways:

- **ok**: exit code 0.
- **refused**: exit code 2 and one line that names the mistake.
- **failed**: a traceback, another exit code, no line or several lines, a wrong result (an image
  that is neither processed nor listed, live markup in a page, another result after an
  interruption), death by a signal, no end within the time limit, more than 2 GiB of memory,
  execution of code in the input, a process that outlives its command, a file outside the output
  directory.

Tests with planted faults show that the harness finds each of these failures
(`tests/fuzz/test_harness.py`).

## Families of tries

{families}

## Result

{table}

The column "slowest s" is the duration of the slowest try in seconds. "MiB" is the peak memory of a
process, including Python and its libraries (about 750 MiB). {failures}

## Record

- Command: `{command}`, seed {seed}
- Commit: {commit}
- Machine: {machine}

The number of tries depends on the speed of the machine; the N-th try of a family is the same
everywhere. `python -m fuzz.run --only FAMILY --first N --tries 1 --seed {seed}` repeats it. Failed
tries are kept below `output/fuzz/`. `python -m fuzz.page output/fuzz/fuzz.json` writes this page.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return 0, or 2 for a user's mistake."""
    parser = CommandParser(prog="page", description=__doc__)
    parser.add_argument(
        "results",
        nargs="?",
        metavar="fuzz.json",
        help="results of `make fuzz` that replace the kept ones",
    )
    return run_command(lambda: _write(parser.parse_args(argv)))


def _write(args: argparse.Namespace) -> None:
    results = read_json(args.results or KEPT, "results file")
    if not isinstance(results, dict) or "families" not in results:
        raise UserError(
            f"results file {args.results!r} is not a complete result of `make fuzz`; run it again"
        )
    with atomic_text_file(KEPT) as file:
        json.dump(published(results), file, indent=1)
        file.write("\n")
    with atomic_text_file(PAGE) as file:
        file.write(page(published(results)))
    print(PAGE)


def published(results: dict[str, Any]) -> dict[str, Any]:
    """Return the results without absolute paths and without the folders of failed tries."""
    families = {
        name: family
        | {
            "failures": [
                {key: _pathless(failure[key]) for key in ("cause", "count", "first", "title")}
                for failure in family["failures"]
            ]
        }
        for name, family in results["families"].items()
    }
    return results | {"families": families}


def _pathless(value: Any) -> Any:
    """Return a text with each absolute path shortened to its last name."""
    return re.sub(r"(?<![\w.])/(?:[^\s/'\"]+/)+", "", value) if isinstance(value, str) else value


def page(results: dict[str, Any]) -> str:
    """Return the page. Args: results: content of a results file of `make fuzz`."""
    families = results["families"]
    rows = [_row(name, family) for name, family in families.items()]
    total = sum(family["tries"] for family in families.values())
    failed = sum(_failed(family) for family in families.values())
    headers = ["family", "tries", "ok", "refused", "failed", "tries/s", "slowest s", "MiB"]
    lines = [
        f"- {name}: {failure['count']} × {failure['cause']}"
        for name, family in families.items()
        for failure in family["failures"]
    ]
    verdict = f"{failed} of {total} tries failed" + (":\n\n" + "\n".join(lines) if lines else ".")
    return _TEXT.format(
        families="\n".join(f"- **{name}**: {family['what']}." for name, family in families.items()),
        table=tabulate(rows, headers, "github"),
        failures=verdict,
        **{key: results[key] for key in ("command", "seed", "commit", "machine")},
    )


def _row(name: str, family: dict[str, Any]) -> list[Any]:
    counts = [family["outcomes"].get(kind, 0) for kind in (OK, REFUSED)]
    rate = family["tries"] / max(family["seconds"], 0.1)
    return [
        name,
        family["tries"],
        *counts,
        _failed(family),
        f"{rate:.1f}",
        f"{family['slowest_seconds']:.1f}",
        family["peak_mib"],
    ]


def _failed(family: dict[str, Any]) -> int:
    return sum(family["outcomes"].get(kind, 0) for kind in BAD)


if __name__ == "__main__":
    sys.exit(main())
