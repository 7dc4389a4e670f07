"""Trains what a configuration names: box-based refinement of a map network, or its self-supervised pre-training."""

import sys
from collections.abc import Sequence

from detectron2.engine import default_argument_parser

from boxrefine_d2.engine import run_distributed, train
from boxrefine_d2.errors import CommandParser, run_command


def main(argv: Sequence[str] | None = None) -> int:
    """The command; 0, or 2 for a user's mistake."""
    parser = CommandParser(
        prog="train_net.py",
        description=__doc__,
        parents=[default_argument_parser()],  # Detectron2's flags
        conflict_handler="resolve",
    )
    return run_command(lambda: run_distributed(train, parser.parse_args(argv)))


if __name__ == "__main__":
    sys.exit(main())
