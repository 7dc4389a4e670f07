"""Edits pseudo-label files: a file or two of discover.py or of a detector in, one of the same format out."""

import argparse
from collections.abc import Sequence

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
    "boxrefine edit merge --old labels.json --new detections.json --min-score 0.7 --output merged.json",
)

MAX_IOU = 0.5  # mask IoU at which an old label gives way to a prediction; CutLER, arXiv:2301.11320
MATCH_MIN_SCORE = 0.7  # of a prediction that confirms a label; ours, since the thesis names none
MATCH_MIN_IOU = 0.5  # of a label with such a prediction; ours, too

MERGE = "predictions of a score, and the old labels that meet none of them"
SEPARATE = "labels without overlapping boxes; images that lose theirs stay listed, and training leaves them out"
MATCHING = "labels that a detector finds, too; images that lose theirs stay listed"
TOP = "the best labels of each image"
MIN_SCORE_HELP = "of a prediction that is taken"
BY_HELP = "default: masks if all labels of both files have them, else boxes"
AREA_HELP = "what the labels' area is; CutLER's code writes the box's; default: mask"
DROP_HELP = "all labels of an image with overlapping boxes (default), or those boxes only"


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = CommandParser(description=__doc__, examples=EXAMPLES)
    edits = parser.add_subparsers(required=True, metavar="merge|separate|matching|top")

    merging = edits.add_parser("merge", help=MERGE, description=MERGE)
    merging.add_argument("--old", required=True, type=user_path, metavar="OLD.json")
    merging.add_argument("--new", required=True, type=user_path, metavar="PREDICTIONS.json")
    merging.add_argument("--min-score", required=True, type=float, metavar="S", help=MIN_SCORE_HELP)
    merging.add_argument("--max-iou", type=float, default=MAX_IOU, metavar="IOU")
    merging.add_argument("--by", choices=COMPARISONS, help=BY_HELP)
    merging.add_argument("--area", choices=AREAS, default="mask", help=AREA_HELP)
    merging.set_defaults(run=_merge)

    separating = edits.add_parser("separate", help=SEPARATE, description=SEPARATE)
    separating.add_argument("--input", required=True, type=user_path, metavar="FILE.json")
    separating.add_argument("--drop", choices=DROPS, default="images", help=DROP_HELP)
    separating.set_defaults(run=_separate)

    matching = edits.add_parser("matching", help=MATCHING, description=MATCHING)
    matching.add_argument("--input", required=True, type=user_path, metavar="FILE.json")
    matching.add_argument(
        "--predictions", required=True, type=user_path, metavar="PREDICTIONS.json"
    )
    matching.add_argument("--min-score", type=float, default=MATCH_MIN_SCORE, metavar="S")
    matching.add_argument("--min-iou", type=float, default=MATCH_MIN_IOU, metavar="IOU")
    matching.add_argument("--by", choices=COMPARISONS, help=BY_HELP)
    matching.set_defaults(run=_match)

    best = edits.add_parser("top", help=TOP, description=TOP)
    best.add_argument("--input", required=True, type=user_path, metavar="FILE.json")
    best.add_argument("--count", required=True, type=int, metavar="N", help="labels of an image")
    best.add_argument("--min-score", type=float, metavar="S", help="leave out labels below it")
    best.set_defaults(run=_top)

    for edit in (merging, separating, matching, best):
        edit.add_argument("--output", required=True, type=user_path, metavar="OUT.json")
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
    """Edits and says what became of the labels."""
    names = ("old", "new", "input", "predictions")
    check_output_file(args.output, inputs=[getattr(args, x) for x in names if hasattr(args, x)])
    print(args.run(args))


def main(argv: Sequence[str] | None = None) -> int:
    """The command; 0, or 2 for a user's mistake."""
    return run_command(lambda: run(parser().parse_args(argv)))
