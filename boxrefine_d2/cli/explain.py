"""Explain a point of an image by the points of a data set that make it foreground or not.

It writes the points with the highest and the lowest representer values, and a page that shows them.
"""

import argparse
import os
import re
from collections.abc import Sequence

from boxrefine_d2.analysis.explainer import ExplainerSettings, PointExplainer, record_of
from boxrefine_d2.cli.discover import NUM_WORKERS_HELP
from boxrefine_d2.config import paper_profile
from boxrefine_d2.data.dataset_spec import files_of_spec
from boxrefine_d2.errors import CommandParser, UserError, run_command
from boxrefine_d2.evaluation import write_json
from boxrefine_d2.files.names import user_path
from boxrefine_d2.files.outputs import check_output_file, output_folder_if_done
from boxrefine_d2.networks.command_line import add_network_arguments
from boxrefine_d2.networks.device import check_device
from boxrefine_d2.pseudo_labels import parameters_of
from boxrefine_d2.report.explanation_page import write_explanation_page

EXAMPLES = (
    "boxrefine explain --data folder:photos --image beach/dog.jpg --point 210,140 --output why",
    "boxrefine explain --data kinds:val --base kinds:train --image val/000003 --point 120,90 "
    "--backbone dino_mini --output why",
)

DATA_HELP = "dataset spec of the image"
BASE_HELP = "dataset spec of the points that explain; default: that of --data"
IMAGE_HELP = "name of the image, relative to the folder of its data set, or its id"
POINT_HELP = "the point, in pixels of the image"
OUTPUT_HELP = "output directory, for explanation.json and explanation.html"
TOP_HELP = "number of points with the highest values; default: %(default)s"
BOTTOM_HELP = "number of points with the lowest values; default: %(default)s"
FACET_HELP = "features to read: key, query, value, kqv or output; default: the rule's"
SET_HELP = (
    "changes to the parameters of the rule representer, such as importance=mean_norm; default: none"
)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    defaults = paper_profile()
    parser = CommandParser(description=__doc__, examples=EXAMPLES)
    parser.add_argument("--data", required=True, metavar="SPEC", help=DATA_HELP)
    parser.add_argument("--base", metavar="SPEC", help=BASE_HELP)
    parser.add_argument("--image", required=True, metavar="NAME", help=IMAGE_HELP)
    parser.add_argument("--point", required=True, metavar="X,Y", help=POINT_HELP)
    parser.add_argument("--output", required=True, type=user_path, metavar="DIR", help=OUTPUT_HELP)
    parser.add_argument("--top", type=int, default=5, metavar="K", help=TOP_HELP)
    parser.add_argument("--bottom", type=int, default=5, metavar="K", help=BOTTOM_HELP)
    add_network_arguments(parser, defaults.MODEL.MAP_NETWORK.NAME, defaults.INPUT.MAX_SIDE)
    parser.add_argument("--facet", help=FACET_HELP)
    workers = min(4, os.cpu_count() or 1)
    parser.add_argument(
        "--num-workers", type=int, default=workers, metavar="W", help=NUM_WORKERS_HELP
    )
    parser.add_argument(
        "--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help=SET_HELP
    )
    return parser


def point_of(text: str) -> tuple[float, float]:
    """Parse the value of --point: (210, 140) from "210,140". Raises: UserError for another form."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*,\s*(\d+(?:\.\d+)?)\s*", text, re.ASCII)
    if match is None:
        raise UserError(f"--point {text!r} is not X,Y, two numbers from 0, such as 210,140")
    x, y = map(float, match.groups())
    return x, y


def run(args: argparse.Namespace) -> None:
    """Explain the point, write both files and print the table."""
    point = point_of(args.point)
    if min(args.top, args.bottom) < 0 or not args.top + args.bottom:
        raise UserError(
            f"--top {args.top} --bottom {args.bottom}: give numbers of points from 0, not both 0"
        )
    check_device(args.device)
    settings = ExplainerSettings(
        base=args.base or args.data,
        backbone=args.backbone,
        weights=args.weights,
        facet=args.facet,
        parameters=parameters_of(args.set),
        max_side=args.max_side,
        device=args.device,
        num_workers=args.num_workers,
    )
    numbers, page = args.output / "explanation.json", args.output / "explanation.html"
    with output_folder_if_done(args.output):
        inputs = [*files_of_spec(args.data), *files_of_spec(settings.base), args.weights or ""]
        for path in (numbers, page):
            check_output_file(path, inputs=inputs)
        record = record_of(args.data, args.image)
        explanation = PointExplainer(settings).explain(
            record, point, highest=args.top, lowest=args.bottom
        )
    write_json(numbers, explanation.to_json())
    write_explanation_page(page, explanation)
    print(f"{explanation.to_text()}\n{numbers}, {page}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command. Returns: 0, or 2 for a user's mistake."""
    return run_command(lambda: run(parser().parse_args(argv)))
