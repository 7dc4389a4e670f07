"""Write pseudo-labels for other tools: a folder of YOLO, VOC, CSV, PNG masks or plain COCO."""

import argparse
from collections.abc import Sequence

from boxrefine_d2.cli.help_texts import INPUT_LABELS, MAX_BOXES, MIN_BOX_SCORE
from boxrefine_d2.errors import CommandParser, run_command
from boxrefine_d2.files.names import user_path
from boxrefine_d2.pseudo_labels.export import FORMATS, export_labels

EXAMPLES = (
    "boxrefine export --input labels.json --format yolo --output yolo",
    "boxrefine export --input labels.json --format voc --output voc --min-score 0.5 --max-boxes 3",
)

FORMAT_HELP = "format to write"
OUTPUT_HELP = "output directory, new or empty"
OVERWRITE_HELP = "replace an earlier export of this format"


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = CommandParser(description=__doc__, examples=EXAMPLES)
    parser.add_argument(
        "--input", required=True, type=user_path, metavar="FILE.json", help=INPUT_LABELS
    )
    parser.add_argument("--format", required=True, metavar="|".join(FORMATS), help=FORMAT_HELP)
    parser.add_argument("--output", required=True, type=user_path, metavar="DIR", help=OUTPUT_HELP)
    parser.add_argument("--min-score", type=float, metavar="S", help=MIN_BOX_SCORE)
    parser.add_argument("--max-boxes", type=int, metavar="N", help=MAX_BOXES)
    parser.add_argument("--overwrite", action="store_true", help=OVERWRITE_HELP)
    return parser


def run(args: argparse.Namespace) -> None:
    """Export the labels and print the counts."""
    choice = {"min_score": args.min_score, "max_boxes": args.max_boxes}
    print(export_labels(args.input, args.format, args.output, overwrite=args.overwrite, **choice))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command. Returns: 0, or 2 for a user's mistake."""
    return run_command(lambda: run(parser().parse_args(argv)))
