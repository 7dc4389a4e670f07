"""Train what a configuration names.

That is the box-based refinement of a map network, the training of g, or self-supervised
pre-training.
"""

from collections.abc import Sequence

from boxrefine_d2.cli.help_texts import explain_training_flags
from boxrefine_d2.errors import CommandParser
from boxrefine_d2.training.command import training_command, training_parser

EXAMPLES = (
    "boxrefine train --config-file configs/lost_refine.yaml OUTPUT_DIR output/lost",
    "boxrefine train --config-file configs/demo/lost_refine.yaml --resume",
)


def parser() -> CommandParser:
    """Return the parser of the command line."""
    parser = training_parser(__doc__, EXAMPLES)
    explain_training_flags(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command. Returns: 0, or 2 for a user's mistake."""
    return training_command(parser(), argv)
