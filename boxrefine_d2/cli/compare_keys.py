"""Whether keys of one class are more alike than keys of two: AUC, histograms and a picture, for five measures."""

import argparse
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from boxrefine_d2.analysis.instance_keys import PER
from boxrefine_d2.analysis.key_figure import draw_key_similarity
from boxrefine_d2.analysis.key_similarity import PAIRS, key_similarity
from boxrefine_d2.config import paper_profile
from boxrefine_d2.data.dataset_spec import files_of_spec
from boxrefine_d2.errors import CommandParser, run_command
from boxrefine_d2.files.atomic import atomic_binary_file, atomic_text_file
from boxrefine_d2.files.names import user_path
from boxrefine_d2.files.outputs import check_output_file, check_output_folder
from boxrefine_d2.networks.command_line import add_network_arguments
from boxrefine_d2.networks.device import check_device

EXAMPLES = (
    "boxrefine compare-keys --data voc_2007_val --output output/keys",
    "boxrefine compare-keys --data cutouts_val --backbone dino_mini --per image --output output/keys",
)

PAIRS_HELP = "pairs of each kind, of the same class and of different ones, at most; more are drawn"


def parser() -> argparse.ArgumentParser:
    """The command line."""
    defaults = paper_profile()
    parser = CommandParser(description=__doc__, examples=EXAMPLES)
    parser.add_argument("--data", required=True, metavar="SPEC", help="a labelled data set")
    parser.add_argument("--output", required=True, type=user_path, metavar="DIR")
    add_network_arguments(parser, defaults.MODEL.MAP_NETWORK.NAME, defaults.INPUT.MAX_SIDE)
    parser.add_argument("--per", default=PER[0], choices=PER, help="what has one mean key")
    parser.add_argument("--pairs", type=int, default=PAIRS, metavar="N", help=PAIRS_HELP)
    parser.add_argument("--seed", type=int, default=0)
    return parser


def run(args: argparse.Namespace) -> None:
    """Compares, writes both files and prints the table."""
    check_device(args.device)
    numbers, picture = args.output / "key_similarity.json", args.output / "key_similarity.png"
    with _folder_if_done(args.output):
        inputs = [*files_of_spec(args.data), *([args.weights] if args.weights else [])]
        for path in (numbers, picture):
            check_output_file(path, inputs=inputs)
        found = key_similarity(
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
        json.dump(found.to_json(), file, indent=1, allow_nan=False)
        file.write("\n")
    figure = draw_key_similarity(found)
    with atomic_binary_file(picture) as file:
        file.write(figure)
    print(f"{found.to_text()}\n{numbers}, {picture}")


@contextmanager
def _folder_if_done(folder: Path) -> Iterator[None]:
    """Make the output folder before the work, and leave no empty one where the work ends with an error."""
    is_new = not os.path.exists(folder)
    try:
        check_output_folder(folder)
        yield
    except BaseException:
        if is_new:
            with suppress(OSError):
                folder.rmdir()
        raise


def main(argv: Sequence[str] | None = None) -> int:
    """The command; 0, or 2 for a user's mistake."""
    return run_command(lambda: run(parser().parse_args(argv)))
