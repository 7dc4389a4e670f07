"""Check what is installed here, and that it works.

It prints one line for each package, device, weights file and data set, and then the remedies for
missing ones. Exit codes: 0, the required parts work; 2, one of them does not, and one line on
stderr names it and the remedy.
"""

import argparse
import faulthandler
import json
from collections.abc import Sequence
from pathlib import Path

from boxrefine_d2 import diagnostics
from boxrefine_d2.cli.help_texts import json_output
from boxrefine_d2.errors import CommandParser, UserError, run_command
from boxrefine_d2.files.atomic import atomic_text_file

EXAMPLES = (
    "boxrefine doctor",
    "boxrefine doctor --json findings.json",
)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = CommandParser(description=__doc__, examples=EXAMPLES)
    parser.add_argument("--json", type=Path, metavar="FILE", help=json_output("the findings"))
    return parser


def run(args: argparse.Namespace) -> None:
    """Examine the installation, print and write the findings.

    Raises: UserError if a required part does not work.
    """
    faulthandler.enable()  # a package may crash while Python imports it
    findings = diagnostics.examine()
    print(diagnostics.to_text(findings))
    if args.json:
        with atomic_text_file(args.json) as file:
            json.dump(diagnostics.to_json(findings), file, indent=2)
    if diagnostics.first_fault(findings):
        raise UserError(diagnostics.verdict(findings))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command. Returns: 0, or 2 if a required part does not work."""
    return run_command(lambda: run(parser().parse_args(argv)))
