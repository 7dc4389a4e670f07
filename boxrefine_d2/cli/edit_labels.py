"""Edit pseudo-label files of `boxrefine discover` or of a detector.

Each edit reads one or more files and writes one of the same format.
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
    KEPT,
    EditSummary,
    agree_labels,
    limit_areas,
    match_labels,
    merge_labels,
    separate_labels,
    top_labels,
)

EXAMPLES = (
    "boxrefine edit separate --input labels.json --output apart.json",
    "boxrefine edit merge --old labels.json --new detections.json --min-score 0.7 "
    "--output merged.json",
    "boxrefine edit agree --input labels.json --with mirrored.json other.json --output agreed.json",
)

MAX_IOU = 0.5  # mask IoU from which on an old label is dropped; CutLER, arXiv:2301.11320
MATCH_MIN_SCORE = 0.7  # of a prediction that confirms a label; our choice: the thesis has none
MATCH_MIN_IOU = 0.5  # of a label with such a prediction; our choice, too
AGREE_MIN_IOU = 0.5  # of two labels of one object, as in CorLoc

MERGE = "write confident predictions, and the old labels that overlap none of them"
SEPARATE = (
    "write the labels whose boxes do not overlap; images without labels stay listed, and the "
    "training of a detector leaves them out"
)
MATCHING = "write the labels that a detector confirms; images without labels stay listed"
TOP = "write the labels of highest score of each image"
AGREE = (
    "write the labels that other files of the same images hold as well; the score becomes the mean "
    "IoU with the nearest label of each file; images without labels stay listed"
)
LIMIT = (
    "write the labels whose mask, or box without a mask, covers a share of the image within "
    "limits; images without labels stay listed"
)
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
KEEP_HELP = (
    "keep the labels that agree, or all labels of the images with one, so that no object of a kept "
    "image becomes background; default: %(default)s"
)
DROP_HELP = (
    "drop all labels of images with overlapping boxes, or only the instances that overlap; "
    "default: %(default)s"
)
COUNT_HELP = "most labels per image"
WITH_HELP = "other files of the same images: pseudo-label files or COCO results lists"
AGREE_IOU_HELP = (
    "lowest IoU with a label of another file, above 0 and at most 1; default: %(default)s"
)
VOTES_HELP = "number of other files that must hold such a label; default: all"
AGREE_BY_HELP = "compare masks or boxes; default: %(default)s"
AGREE_MIN_SCORE_HELP = "lowest score of a label of another file; default: no limit"
MIN_AREA_HELP = "smallest share of the image, from 0 to 1; default: %(default)s"
MAX_AREA_HELP = "largest share of the image, from 0 to 1; default: %(default)s"

_FILE: dict[str, Any] = {"required": True, "type": user_path}


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = CommandParser(description=__doc__, examples=EXAMPLES)
    edits = parser.add_subparsers(
        required=True,
        metavar="merge|separate|matching|agree|areas|top",
        help="edit to make",
    )

    _add_comparisons(edits)
    _add_choices(edits)
    for edit in edits.choices.values():
        edit.add_argument("--output", **_FILE, metavar="OUT.json", help=OUTPUT_LABELS)
    return parser


def _add_comparisons(edits: Any) -> None:
    """Add the edits that compare files."""
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

    agreeing = edits.add_parser("agree", help=AGREE, description=AGREE)
    agreeing.add_argument("--input", **_FILE, metavar="FILE.json", help=INPUT_LABELS)
    agreeing.add_argument(
        "--with",
        dest="others",
        nargs="+",
        action="extend",
        required=True,
        type=user_path,
        metavar="FILE.json",
        help=WITH_HELP,
    )
    agreeing.add_argument(
        "--min-iou", type=float, default=AGREE_MIN_IOU, metavar="IOU", help=AGREE_IOU_HELP
    )
    agreeing.add_argument("--votes", type=int, metavar="N", help=VOTES_HELP)
    agreeing.add_argument("--by", choices=COMPARISONS, default="box", help=AGREE_BY_HELP)
    agreeing.add_argument("--min-score", type=float, metavar="S", help=AGREE_MIN_SCORE_HELP)
    agreeing.add_argument("--keep", choices=KEPT, default="labels", help=KEEP_HELP)
    agreeing.set_defaults(run=_agree)


def _add_choices(edits: Any) -> None:
    """Add the edits that read one file."""
    separating = edits.add_parser("separate", help=SEPARATE, description=SEPARATE)
    separating.add_argument("--input", **_FILE, metavar="FILE.json", help=INPUT_LABELS)
    separating.add_argument("--drop", choices=DROPS, default="images", help=DROP_HELP)
    separating.set_defaults(run=_separate)

    limiting = edits.add_parser("areas", help=LIMIT, description=LIMIT)
    limiting.add_argument("--input", **_FILE, metavar="FILE.json", help=INPUT_LABELS)
    limiting.add_argument("--min-area", type=float, default=0.0, metavar="S", help=MIN_AREA_HELP)
    limiting.add_argument("--max-area", type=float, default=1.0, metavar="L", help=MAX_AREA_HELP)
    limiting.set_defaults(run=_limit)

    best = edits.add_parser("top", help=TOP, description=TOP)
    best.add_argument("--input", **_FILE, metavar="FILE.json", help=INPUT_LABELS)
    best.add_argument("--count", required=True, type=int, metavar="N", help=COUNT_HELP)
    best.add_argument("--min-score", type=float, metavar="S", help=MIN_LABEL_SCORE)
    best.set_defaults(run=_top)


def _merge(args: argparse.Namespace) -> EditSummary:
    choice = {"min_score": args.min_score, "max_iou": args.max_iou, "area": args.area}
    return merge_labels(args.old, args.new, args.output, by=args.by, **choice)


def _separate(args: argparse.Namespace) -> EditSummary:
    return separate_labels(args.input, args.output, drop=args.drop)


def _match(args: argparse.Namespace) -> EditSummary:
    choice = {"min_score": args.min_score, "min_iou": args.min_iou, "by": args.by}
    return match_labels(args.input, args.predictions, args.output, **choice)


def _agree(args: argparse.Namespace) -> EditSummary:
    choice = {
        "votes": args.votes,
        "by": args.by,
        "min_score": args.min_score,
        "keep": args.keep,
    }
    return agree_labels(args.input, args.others, args.output, min_iou=args.min_iou, **choice)


def _limit(args: argparse.Namespace) -> EditSummary:
    return limit_areas(args.input, args.output, min_area=args.min_area, max_area=args.max_area)


def _top(args: argparse.Namespace) -> EditSummary:
    return top_labels(args.input, args.output, count=args.count, min_score=args.min_score)


def run(args: argparse.Namespace) -> None:
    """Edit the labels and print the counts."""
    names = ("old", "new", "input", "predictions")
    inputs = [getattr(args, name) for name in names if hasattr(args, name)]
    check_output_file(args.output, inputs=[*inputs, *getattr(args, "others", ())])
    print(args.run(args))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command. Returns: 0, or 2 for a user's mistake."""
    return run_command(lambda: run(parser().parse_args(argv)))
