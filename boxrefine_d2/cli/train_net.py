"""Trains what a configuration names: box-based refinement of a map network, or its self-supervised pre-training."""

from collections.abc import Sequence

from boxrefine_d2.errors import CommandParser
from boxrefine_d2.training.command import training_command, training_parser

EXAMPLES = (
    "boxrefine train --config-file configs/lost_refine.yaml OUTPUT_DIR output/lost",
    "boxrefine train --config-file configs/demo/lost_refine.yaml --resume",
)


def parser() -> CommandParser:
    """The command line."""
    return training_parser(__doc__, EXAMPLES)


def main(argv: Sequence[str] | None = None) -> int:
    """The command; 0, or 2 for a user's mistake."""
    return training_command(parser(), argv)
