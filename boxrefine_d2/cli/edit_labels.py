"""Edit pseudo-label files of `boxrefine discover` or of a detector.

Each edit reads one or two files and writes one of the same format.
"""

import argparse
from collections.abc import Sequence
from typing import Any

from boxrefine_d2.cli.help_texts import INPUT_LABELS, MIN_LABEL_SCORE, OUTPUT_LABELS
from boxrefine_d2.errors import CommandParser, run_command
from boxrefine_d2.files.names import user_path
from boxrefine_d2.files.outputs import check_output_file
from boxrefine_d2.pseudo_labels.edit import (
    AREAS,
    COMPARISONS,
    DROPS,
    EditSummary,
    match_labels,
    merge_labels,
    separate_labels,
    top_labels,
)

EXAMPLES = (
    "boxrefine edit separate --input labels.json --output apart.json",
    "boxrefine edit merge --old labels.json --new detections.json --min-score 0.7 "
    "--output merged.json",
)

MAX_IOU = 0.5  # mask IoU from which on an old label is dropped; CutLER, arXiv:2301.11320
MATCH_MIN_SCORE = 0.7  # of a prediction that confirms a label; our choice: the thesis has none
MATCH_MIN_IOU = 0.5  # of a label with such a prediction; our choice, too

MERGE = "write confident predictions, and the old labels that overlap none of them"
SEPARATE = (
    "write the labels whose boxes do not overlap; images without labels stay listed, and training "
    "leaves them out"
)
MATCHING = "write the labels that a detector confirms; images without labels stay listed"
TOP = "write the labels of highest score of each image"
OLD_HELP = "pseudo-label file to change"
PREDICTIONS_HELP = "pseudo-label file of a detector's predictions"
MERGE_MIN_SCORE_HELP = "lowest score of a prediction that becomes a label"
MAX_IOU_HELP = (
    "IoU with a new label from which on an old label is dropped, above 0 and at most 1; "
    "default: %(default)s"
)
MATCH_MIN_SCORE_HELP = "lowest score of a prediction that confirms a label; default: %(default)s"
MIN_IOU_HELP = (
    "lowest IoU of a label with such a prediction, above 0 and at most 1; default: %(default)s"
)
BY_HELP = (
    "compare masks or boxes; default: masks if all labels of both files have them, otherwise boxes"
)
AREA_HELP = (
    "area that the labels state: that of the mask, or that of the box, as CutLER's code writes it; "
    "default: %(default)s"
)
DROP_HELP = (
    "drop all labels of images with overlapping boxes, or only the instances that overlap; "
    "default: %(default)s"
)
COUNT_HELP = "most labels per image"

_FILE: dict[str, Any] = {"required": True, "type": user_path}


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = CommandParser(description=__doc__, examples=EXAMPLES)
    edits = parser.add_subparsers(
        required=True, metavar="merge|separate|matching|top", help="edit to make"
    )

    merging = edits.add_parser("merge", help=MERGE, description=MERGE)
    merging.add_argument("--old", **_FILE, metavar="OLD.json", help=OLD_HELP)
    merging.add_argument("--new", **_FILE, metavar="PREDICTIONS.json", help=PREDICTIONS_HELP)
    merging.add_argument(
        "--min-score", required=True, type=float, metavar="S", help=MERGE_MIN_SCORE_HELP
    )
    merging.add_argument("--max-iou", type=float, default=MAX_IOU, metavar="IOU", help=MAX_IOU_HELP)
    merging.add_argument("--by", choices=COMPARISONS, help=BY_HELP)
    merging.add_argument("--area", choices=AREAS, default="mask", help=AREA_HELP)
    merging.set_defaults(run=_merge)

    separating = edits.add_parser("separate", help=SEPARATE, description=SEPARATE)
    separating.add_argument("--input", **_FILE, metavar="FILE.json", help=INPUT_LABELS)
    separating.add_argument("--drop", choices=DROPS, default="images", help=DROP_HELP)
    separating.set_defaults(run=_separate)

    matching = edits.add_parser("matching", help=MATCHING, description=MATCHING)
    matching.add_argument("--input", **_FILE, metavar="FILE.json", help=INPUT_LABELS)
    matching.add_argument(
        "--predictions", **_FILE, metavar="PREDICTIONS.json", help=PREDICTIONS_HELP
    )
    matching.add_argument(
        "--min-score",
        type=float,
        default=MATCH_MIN_SCORE,
        metavar="S",
        help=MATCH_MIN_SCORE_HELP,
    )
    matching.add_argument(
        "--min-iou", type=float, default=MATCH_MIN_IOU, metavar="IOU", help=MIN_IOU_HELP
    )
    matching.add_argument("--by", choices=COMPARISONS, help=BY_HELP)
    matching.set_defaults(run=_match)

    best = edits.add_parser("top", help=TOP, description=TOP)
    best.add_argument("--input", **_FILE, metavar="FILE.json", help=INPUT_LABELS)
    best.add_argument("--count", required=True, type=int, metavar="N", help=COUNT_HELP)
    best.add_argument("--min-score", type=float, metavar="S", help=MIN_LABEL_SCORE)
    best.set_defaults(run=_top)

    for edit in (merging, separating, matching, best):
        edit.add_argument("--output", **_FILE, metavar="OUT.json", help=OUTPUT_LABELS)
    return parser


def _merge(args: argparse.Namespace) -> EditSummary:
    choice = {"min_score": args.min_score, "max_iou": args.max_iou, "area": args.area}
    return merge_labels(args.old, args.new, args.output, by=args.by, **choice)


def _separate(args: argparse.Namespace) -> EditSummary:
    return separate_labels(args.input, args.output, drop=args.drop)


def _match(args: argparse.Namespace) -> EditSummary:
    choice = {"min_score": args.min_score, "min_iou": args.min_iou, "by": args.by}
    return match_labels(args.input, args.predictions, args.output, **choice)


def _top(args: argparse.Namespace) -> EditSummary:
    return top_labels(args.input, args.output, count=args.count, min_score=args.min_score)


def run(args: argparse.Namespace) -> None:
    """Edit the labels and print the counts."""
    names = ("old", "new", "input", "predictions")
    check_output_file(args.output, inputs=[getattr(args, x) for x in names if hasattr(args, x)])
    print(args.run(args))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command. Returns: 0, or 2 for a user's mistake."""
    return run_command(lambda: run(parser().parse_args(argv)))
