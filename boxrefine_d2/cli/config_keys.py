"""Print keys of the configuration: default, meaning, values, unit and source.

Without a name it prints all keys. Detectron2 documents its own keys. Exit codes: 0, done; 2, there
is no such key.
"""

import argparse
import sys
from collections.abc import Iterable, Sequence
from importlib import import_module

from boxrefine_d2.errors import CommandParser, run_command

EXAMPLES = (
    "boxrefine config REFINE",
    "boxrefine config REFINE.REG_ON DISCOVERY.LOST",
)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = CommandParser(description=__doc__, examples=EXAMPLES)
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help="section or key, such as REFINE.REG_ON; default: all keys",
    )
    parser.add_argument(
        "--markdown", action="store_true", help="print the documentation page of all keys"
    )
    return parser


def names_in(registry: str) -> Iterable[str]:
    """Return the names in a registry of this package.

    Args: registry: its dotted name below the package, such as "networks.build.BACKBONES".
    """
    module, _, table = registry.rpartition(".")
    entries = getattr(import_module(f"boxrefine_d2.{module}"), table)
    return sorted(entry if isinstance(entry, str) else entry[0] for entry in entries)


def run(args: argparse.Namespace) -> None:
    """Print the texts of the named keys, or the page of all keys."""
    from boxrefine_d2.config.reference import reference_page, reference_text

    if args.markdown:
        sys.stdout.write(reference_page(names_in))
        return
    sys.stdout.write("\n".join(reference_text(name, names_in) for name in args.names or [""]))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command. Returns: 0, or 2 for an unknown name."""
    return run_command(lambda: run(parser().parse_args(argv)))
