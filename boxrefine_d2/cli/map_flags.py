"""Flags of the metrics of score maps."""

import argparse

from boxrefine_d2.data.dataset_spec import load_spec
from boxrefine_d2.evaluation import GroundTruth, MapOptions, read_predictions
from boxrefine_d2.evaluation.map_options import THRESHOLDS_FROM, V2_RULES
from boxrefine_d2.evaluation.score_maps import NORMALISATIONS
from boxrefine_d2.files.names import user_path

RESIZE_HELP = "side of the frame of all maps in pixels; 0: size of each image; default: %(default)s"
NORMALISE_HELP = f"scale of a map: {', '.join(NORMALISATIONS)}; default: %(default)s"
V2_HELP = (
    f"thresholds of maxboxacc_v2, one for each IoU or a common one: {', '.join(V2_RULES)}; "
    "default: %(default)s"
)
FROM_HELP = (
    f"source of thresholds: {', '.join(THRESHOLDS_FROM)}; test takes the best one on the scored "
    "images; default: %(default)s"
)
THRESHOLD_HELP = "the fixed threshold, from 0 to below 1; default: none"
VAL_GT_HELP = "dataset spec of the images that choose the thresholds; default: none"
VAL_PRED_HELP = "results file of these images; default: none"
CURVE_HELP = "also draw accuracy over thresholds on this HTML page; default: no page"


def add_map_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags to a parser."""
    usual = MapOptions()
    flags = parser.add_argument_group("metrics of score maps")
    flags.add_argument(
        "--map-resize", type=int, default=usual.resize, metavar="SIZE", help=RESIZE_HELP
    )
    flags.add_argument("--map-normalise", default=usual.normalise, help=NORMALISE_HELP)
    flags.add_argument("--v2-rule", default=usual.v2_rule, help=V2_HELP)
    flags.add_argument("--threshold-from", default=usual.threshold_from, help=FROM_HELP)
    flags.add_argument("--threshold", type=float, metavar="T", help=THRESHOLD_HELP)
    flags.add_argument("--val-gt", metavar="SPEC", help=VAL_GT_HELP)
    flags.add_argument("--val-pred", type=user_path, metavar="FILE.json", help=VAL_PRED_HELP)
    flags.add_argument("--curve", type=user_path, metavar="FILE.html", help=CURVE_HELP)


def map_options_of(args: argparse.Namespace) -> MapOptions:
    """Return the checked options of parsed flags.

    Raises: UserError for impossible options, and for validation data that cannot be read.
    """
    validation = None
    if args.val_gt and args.val_pred:
        dataset = load_spec(args.val_gt)
        truth = GroundTruth(args.val_gt, dataset.records, dataset.category_ids)
        validation = truth, read_predictions(args.val_pred)
    options = MapOptions(
        args.map_resize,
        args.map_normalise,
        args.v2_rule,
        args.threshold_from,
        args.threshold,
        validation,
    )
    options.check()
    return options
