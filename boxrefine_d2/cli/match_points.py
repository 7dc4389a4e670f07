"""Draw corresponding points of two images: cells that are each other's K most similar ones."""

import argparse
import json
from collections.abc import Sequence

from boxrefine_d2.analysis.figures import FIGURE_HELP, FIGURE_SUFFIXES
from boxrefine_d2.analysis.matched_points import match_points
from boxrefine_d2.analysis.matched_points_figure import draw_matched_points
from boxrefine_d2.cli.help_texts import IMAGE, OUTPUT_FIGURE, json_output
from boxrefine_d2.config import paper_profile
from boxrefine_d2.errors import CommandParser, UserError, run_command
from boxrefine_d2.files.atomic import atomic_binary_file, atomic_text_file
from boxrefine_d2.files.names import user_name, user_path
from boxrefine_d2.files.outputs import check_output_file
from boxrefine_d2.networks.command_line import add_network_arguments
from boxrefine_d2.networks.device import check_device

EXAMPLES = (
    "boxrefine match-points one.jpg two.jpg --output pairs.png",
    "boxrefine match-points one.jpg two.jpg --k 1,5,10 --everywhere --output pairs.png "
    "--json pairs.json",
)

K_HELP = (
    "comma-separated numbers of neighbours, with one row of the figure for each; 1 means mutual "
    "nearest neighbours; default: %(default)s"
)
FACET_HELP = "features to compare: key, query, value, kqv or output; default: %(default)s"
FOREGROUND_HELP = "discovery rule in whose masks cells are matched; default: %(default)s"
EVERYWHERE_HELP = "match all cells, not only those of the foreground"


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    defaults = paper_profile()
    parser = CommandParser(description=__doc__, examples=EXAMPLES)
    parser.add_argument("images", nargs=2, type=user_name, metavar="IMAGE", help=IMAGE)
    parser.add_argument(
        "--output",
        required=True,
        type=user_path,
        metavar="FIGURE.png",
        help=f"{OUTPUT_FIGURE}; {FIGURE_HELP}",
    )
    parser.add_argument(
        "--json", type=user_path, metavar="OUT.json", help=json_output("the points")
    )
    parser.add_argument("--k", default="1,5", metavar="K", help=K_HELP)
    add_network_arguments(parser, defaults.MODEL.MAP_NETWORK.NAME, defaults.INPUT.MAX_SIDE)
    parser.add_argument("--facet", default="key", help=FACET_HELP)
    cells = parser.add_mutually_exclusive_group()
    cells.add_argument("--foreground", default="tokencut", metavar="RULE", help=FOREGROUND_HELP)
    cells.add_argument("--everywhere", action="store_true", help=EVERYWHERE_HELP)
    return parser


def neighbours(text: str) -> list[int]:
    """Parse the value of --k: [1, 5] from "1,5". Raises: UserError for another form."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and int(part) for part in parts):
        raise UserError(f"--k {text!r} is not whole numbers from 1, separated by commas, as 1,5")
    return [int(part) for part in parts]


def run(args: argparse.Namespace) -> None:
    """Match the points, write the outputs and print the number of pairs."""
    ks = neighbours(args.k)
    check_device(args.device)
    inputs = [*args.images, *([args.weights] if args.weights else [])]
    check_output_file(args.output, inputs=inputs, suffixes=FIGURE_SUFFIXES)
    if args.json:
        check_output_file(args.json, inputs=inputs, others=[args.output], flag="--json")
    matches = match_points(
        args.images,
        ks=ks,
        backbone=args.backbone,
        weights=args.weights,
        facet=args.facet,
        foreground=None if args.everywhere else args.foreground,
        max_side=args.max_side,
        device=args.device,
    )
    if args.json:
        with atomic_text_file(args.json) as file:
            json.dump(matches.to_json(), file, indent=1, allow_nan=False)
            file.write("\n")
    figure = draw_matched_points(matches, args.output.suffix)
    with atomic_binary_file(args.output) as file:
        file.write(figure)
    print(f"{matches.to_text()}\n{args.output}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command. Returns: 0, or 2 for a user's mistake."""
    return run_command(lambda: run(parser().parse_args(argv)))
