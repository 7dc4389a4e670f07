"""Says what is installed here and whether it works.

Packages, devices, weights and data, one line each, then what to do about what is missing. Exit codes: 0 the required
parts work; 2 one does not, named with its remedy in one line on stderr.
"""

import argparse
import faulthandler
import json
from collections.abc import Sequence
from pathlib import Path

from boxrefine_d2 import diagnostics
from boxrefine_d2.errors import CommandParser, UserError, run_command
from boxrefine_d2.files.atomic import atomic_text_file

EXAMPLES = (
    "boxrefine doctor",
    "boxrefine doctor --json findings.json",
)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = CommandParser(description=__doc__, examples=EXAMPLES)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the findings there")
    return parser


def run(args: argparse.Namespace) -> None:
    """Examines, prints, writes, and fails if a required part does."""
    faulthandler.enable()  # a package may crash while it is imported
    findings = diagnostics.examine()
    print(diagnostics.to_text(findings))
    if args.json:
        with atomic_text_file(args.json) as file:
            json.dump(diagnostics.to_json(findings), file, indent=2)
    if diagnostics.first_fault(findings):
        raise UserError(diagnostics.verdict(findings))


def main(argv: Sequence[str] | None = None) -> int:
    """The command; 0, or 2 if a required part does not work."""
    return run_command(lambda: run(parser().parse_args(argv)))
