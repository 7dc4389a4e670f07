"""Train a detector that reads images on pseudo-labels: CAD, or CutLER's."""

from collections.abc import Sequence

from boxrefine_d2.cli.help_texts import explain_training_flags
from boxrefine_d2.errors import CommandParser
from boxrefine_d2.training.command import training_command, training_parser

EXAMPLES = (
    "boxrefine train-detector --config-file configs/cad_lost.yaml --num-gpus 2",
    "boxrefine train-detector --config-file configs/demo/cad.yaml "
    "DATASETS.TRAIN \"('folder:photos+pseudo=labels.json',)\"",
)


def parser() -> CommandParser:
    """Return the parser of the command line."""
    parser = training_parser(__doc__, EXAMPLES)
    explain_training_flags(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command. Returns: 0, or 2 for a user's mistake."""
    return training_command(parser(), argv)
