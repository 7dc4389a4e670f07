"""Measure whether keys of the same class are more alike than keys of different classes.

For each of five measures, it writes the AUC, two histograms and a figure.
"""

import argparse
import json
from collections.abc import Sequence

from boxrefine_d2.analysis.instance_keys import PER
from boxrefine_d2.analysis.key_figure import draw_key_similarity
from boxrefine_d2.analysis.key_similarity import PAIRS, key_similarity
from boxrefine_d2.cli.help_texts import LABELLED_DATA
from boxrefine_d2.config import paper_profile
from boxrefine_d2.data.dataset_spec import files_of_spec
from boxrefine_d2.errors import CommandParser, run_command
from boxrefine_d2.files.atomic import atomic_binary_file, atomic_text_file
from boxrefine_d2.files.names import user_path
from boxrefine_d2.files.outputs import check_output_file, output_folder_if_done
from boxrefine_d2.networks.command_line import add_network_arguments
from boxrefine_d2.networks.device import check_device

EXAMPLES = (
    "boxrefine compare-keys --data voc_2007_val --output output/keys",
    "boxrefine compare-keys --data cutouts_val --backbone dino_mini --per image "
    "--output output/keys",
)

OUTPUT_HELP = "output directory, for key_similarity.json and key_similarity.png"
PER_HELP = "average the keys of each instance, or of each image; default: %(default)s"
PAIRS_HELP = (
    "most pairs of the same class, and most of different classes; a random sample is drawn from "
    "more; default: %(default)s"
)
SEED_HELP = "seed of the random sample of pairs; default: %(default)s"


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    defaults = paper_profile()
    parser = CommandParser(description=__doc__, examples=EXAMPLES)
    parser.add_argument("--data", required=True, metavar="SPEC", help=LABELLED_DATA)
    parser.add_argument("--output", required=True, type=user_path, metavar="DIR", help=OUTPUT_HELP)
    add_network_arguments(parser, defaults.MODEL.MAP_NETWORK.NAME, defaults.INPUT.MAX_SIDE)
    parser.add_argument("--per", default=PER[0], choices=PER, help=PER_HELP)
    parser.add_argument("--pairs", type=int, default=PAIRS, metavar="N", help=PAIRS_HELP)
    parser.add_argument("--seed", type=int, default=0, help=SEED_HELP)
    return parser


def run(args: argparse.Namespace) -> None:
    """Compare the keys, write both files and print the table."""
    check_device(args.device)
    numbers, drawing = args.output / "key_similarity.json", args.output / "key_similarity.png"
    with output_folder_if_done(args.output):
        inputs = [*files_of_spec(args.data), *([args.weights] if args.weights else [])]
        for path in (numbers, drawing):
            check_output_file(path, inputs=inputs)
        similarity = key_similarity(
            args.data,
            backbone=args.backbone,
            weights=args.weights,
            per=args.per,
            pairs=args.pairs,
            seed=args.seed,
            max_side=args.max_side,
            device=args.device,
        )
    with atomic_text_file(numbers) as file:
        json.dump(similarity.to_json(), file, indent=1, allow_nan=False)
        file.write("\n")
    figure = draw_key_similarity(similarity)
    with atomic_binary_file(drawing) as file:
        file.write(figure)
    print(f"{similarity.to_text()}\n{numbers}, {drawing}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command. Returns: 0, or 2 for a user's mistake."""
    return run_command(lambda: run(parser().parse_args(argv)))
