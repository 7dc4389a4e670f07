"""Says what is installed here and whether it works: `python tools/doctor.py [--json FILE]`.

Packages, devices, weights and data, one line each, then what to do about what is missing. Exit codes: 0 the required
parts work; 2 one does not, named with its remedy in one line on stderr.
"""

import argparse
import faulthandler
import json
import sys
from collections.abc import Sequence
from pathlib import Path

try:
    from boxrefine_d2 import doctor
    from boxrefine_d2.errors import CommandParser, UserError, run_command
    from boxrefine_d2.files.atomic import atomic_text_file
except ModuleNotFoundError as error:
    print(
        f"error: boxrefine_d2 is not installed in {sys.executable} ({error}); in its folder run `make setup`, then "
        "`source .venv/bin/activate`",
        file=sys.stderr,
    )
    sys.exit(2)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = CommandParser(prog="doctor.py", description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the findings there")
    return parser


def run(args: argparse.Namespace) -> None:
    """Examines, prints, writes, and fails if a required part does."""
    faulthandler.enable()  # a package may crash while it is imported
    facts = doctor.examine()
    print(doctor.to_text(facts))
    if args.json:
        with atomic_text_file(args.json) as file:
            json.dump(doctor.to_json(facts), file, indent=2)
    if doctor.first_fault(facts):
        raise UserError(doctor.verdict(facts))


def main(argv: Sequence[str] | None = None) -> int:
    """The command; 0, or 2 if a required part does not work."""
    return run_command(lambda: run(parser().parse_args(argv)))


if __name__ == "__main__":
    sys.exit(main())
