"""Score the boxes, masks or score maps of a prediction file against labels. It reads no image."""

import argparse
from collections.abc import Sequence

from boxrefine_d2 import evaluation
from boxrefine_d2.cli.help_texts import LABELLED_DATA, json_output
from boxrefine_d2.cli.map_flags import add_map_flags, map_options_of
from boxrefine_d2.data.dataset_spec import files_of_spec, load_spec
from boxrefine_d2.errors import CommandParser, UserError, run_command
from boxrefine_d2.files.names import user_path
from boxrefine_d2.files.outputs import check_output_file
from boxrefine_d2.report.threshold_page import write_threshold_page

EXAMPLES = (
    "boxrefine evaluate --gt voc_2007_test --pred labels.json --metrics corloc",
    "boxrefine evaluate --gt coco:truth.json:images --pred labels.json --metrics ap,ap50 "
    "--json scores.json",
    "boxrefine evaluate --gt classes:BIRDS --pred localization.json "
    "--metrics gt_known,top1_loc,maxboxacc_v2 --curve curve.html",
)

PRED_HELP = "COCO data set file or COCO results list; image ids as in SPEC (VOC: '000005')"
CATEGORIES_HELP = (
    "average precision as the mean over categories, as COCO's own; default: all objects have one "
    "category"
)
PROTOCOL_HELP = "protocol that defines the ground truth of CorLoc"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command. Returns: 0, or 2 for a user's mistake."""
    return run_command(lambda: _evaluate(argv))


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    metrics, protocols = ", ".join(evaluation.known_metrics()), ", ".join(evaluation.PROTOCOLS)
    parser = CommandParser(description=__doc__, examples=EXAMPLES)
    parser.add_argument("--gt", required=True, metavar="SPEC", help=LABELLED_DATA)
    parser.add_argument(
        "--pred", required=True, type=user_path, metavar="FILE.json", help=PRED_HELP
    )
    parser.add_argument("--metrics", required=True, help=f"comma-separated metrics, of: {metrics}")
    parser.add_argument(
        "--json", type=user_path, metavar="OUT.json", help=json_output("the scores")
    )
    parser.add_argument(
        "--protocol", default="lost", help=f"{PROTOCOL_HELP}: {protocols}; default: %(default)s"
    )
    parser.add_argument("--categories", action="store_true", help=CATEGORIES_HELP)
    add_map_flags(parser)
    return parser


def _evaluate(argv: Sequence[str] | None) -> None:
    args = parser().parse_args(argv)
    metrics = evaluation.parse_metrics(args.metrics)
    options = map_options_of(args)
    of_precision = (*evaluation.AP_METRICS, *evaluation.MASK_AP_METRICS)
    if args.categories and not set(metrics) & set(of_precision):
        raise UserError(f"--categories is for average precision: {', '.join(of_precision)}")
    inputs = [args.pred, *files_of_spec(args.gt)]
    for flag, path in (("--json", args.json), ("--curve", args.curve)):
        if path:
            check_output_file(path, inputs=inputs, flag=flag)
    if args.curve and not any(name in evaluation.MAP_METRICS for name in metrics):
        raise UserError(
            f"--curve draws metrics of score maps; name one: {', '.join(evaluation.MAP_METRICS)}"
        )
    predictions = evaluation.read_predictions(args.pred)
    dataset = load_spec(args.gt)
    truth = evaluation.GroundTruth(
        args.gt,
        dataset.records,
        dataset.category_ids,
        args.protocol,
        dataset.corloc_rounds_boxes,
        dataset.category_names,
        dataset.has_background,
    )
    result = evaluation.evaluate_predictions(
        truth, predictions, metrics, options, by_category=args.categories
    )
    print(result.to_text())
    if args.json:
        evaluation.write_json(args.json, result.to_json())
    if args.curve:
        write_threshold_page(args.curve, result, args.gt, predictions.path)
