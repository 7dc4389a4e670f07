"""Draw MaskCut's masks of one image for N = 1, 2 and 3, beside a detector's detections."""

import argparse
from collections.abc import Sequence

import numpy as np
import torch

from boxrefine_d2.analysis.figures import FIGURE_HELP, FIGURE_SUFFIXES
from boxrefine_d2.analysis.mask_rounds_figure import detections_of, draw_mask_rounds
from boxrefine_d2.cli.help_texts import IMAGE, OUTPUT_FIGURE
from boxrefine_d2.config import paper_profile
from boxrefine_d2.data import read_image, read_pseudo_labels
from boxrefine_d2.data.mappers import SqueezedImageMapper
from boxrefine_d2.discovery import MaskCut, rule_parameters
from boxrefine_d2.errors import CommandParser, UserError, run_command
from boxrefine_d2.files.atomic import atomic_binary_file
from boxrefine_d2.files.names import user_name, user_path
from boxrefine_d2.files.outputs import check_output_file
from boxrefine_d2.networks import build_backbone, read_map
from boxrefine_d2.networks.command_line import add_network_arguments
from boxrefine_d2.networks.device import check_device
from boxrefine_d2.pseudo_labels.finishing import grid_masks

EXAMPLES = (
    "boxrefine picture-masks photo.jpg --output masks.png",
    "boxrefine picture-masks photo.jpg --detections detections.json --min-score 0.5 "
    "--output masks.png",
)

ROUNDS = 3
DETECTIONS_HELP = "pseudo-label file of a detector's predictions, with the image; default: none"
MIN_SCORE_HELP = "lowest score of a detection that is drawn; default: no limit"
CRF_HELP = "refine the masks by the image with a CRF, as the paper does; needs the extra `crf`"


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = CommandParser(description=__doc__, examples=EXAMPLES)
    parser.add_argument("image", type=user_name, metavar="IMAGE", help=IMAGE)
    parser.add_argument(
        "--output",
        required=True,
        type=user_path,
        metavar="FIGURE.png",
        help=f"{OUTPUT_FIGURE}; {FIGURE_HELP}",
    )
    parser.add_argument("--detections", type=user_path, metavar="FILE.json", help=DETECTIONS_HELP)
    parser.add_argument("--min-score", type=float, metavar="S", help=MIN_SCORE_HELP)
    add_network_arguments(parser, paper_profile().MODEL.MAP_NETWORK.NAME)
    parser.add_argument("--crf", action="store_true", help=CRF_HELP)
    return parser


def maskcut(crf: bool) -> MaskCut:
    """Return the rule MaskCut with three rounds.

    Raises: UserError if the CRF is asked for and its package is missing.
    """
    rule = MaskCut(**rule_parameters("maskcut", n_masks=ROUNDS, crf=crf))
    try:
        if rule.mask_steps.require:
            rule.mask_steps.require()
    except UserError as error:
        raise UserError(
            "--crf needs pydensecrf: pip install 'boxrefine_d2[crf]', which compiles it, or leave "
            "--crf out"
        ) from error
    return rule


@torch.no_grad()
def mask_rounds(args: argparse.Namespace, rule: MaskCut) -> list[np.ndarray]:
    """Return the masks after each round, (N, H, W) bool, in pixels of the original image."""
    network = build_backbone(args.backbone, args.weights)
    facet = rule.choose_facet(network.facets)
    sample = SqueezedImageMapper(rule.input_side)({"file_name": args.image, "image_id": args.image})
    features = read_map([sample["image"]], network.to(args.device), facet)
    steps = rule.mask_steps
    rounds = (
        steps(grid_masks(sample, boxes, features, steps)).masks
        for [boxes] in rule.after_each_round(features)
    )
    return [masks for masks in rounds if masks is not None]


def run(args: argparse.Namespace) -> None:
    """Draw the figure and print the numbers of masks and detections."""
    check_device(args.device)
    inputs = [args.image, *(path for path in (args.detections, args.weights) if path)]
    check_output_file(args.output, inputs=inputs, suffixes=FIGURE_SUFFIXES)
    rule = maskcut(args.crf)
    shown, title = None, ""
    if args.detections:
        detected = detections_of(read_pseudo_labels(args.detections), args.image, args.detections)
        min_score = -np.inf if args.min_score is None else args.min_score
        shown = [entry for entry in detected if entry.get("score", 1.0) >= min_score]
        title = f"detector: {len(shown)} of {len(detected)}"
    elif args.min_score is not None:
        raise UserError("--min-score applies to detections only; add --detections FILE.json")
    rounds = mask_rounds(args, rule)
    figure = draw_mask_rounds(read_image(args.image), rounds, shown, title, args.output.suffix)
    with atomic_binary_file(args.output) as file:
        file.write(figure)
    counts = ", ".join(f"{len(masks)} for N = {n}" for n, masks in enumerate(rounds, start=1))
    print(f"masks: {counts}{'; ' + title if title else ''}\n{args.output}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command. Returns: 0, or 2 for a user's mistake."""
    return run_command(lambda: run(parser().parse_args(argv)))
