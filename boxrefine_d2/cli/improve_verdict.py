"""Compare boxes before and after a refinement without labels, and keep the better ones.

DIR gets boxes.json, a copy of the better file, verdict.json with the reasons, and per_image.json
with the signals of each image. If the images have labels, verdict.json also states the accuracy of
both files; the decision does not read it.
"""

import argparse
from collections.abc import Sequence

from boxrefine_d2.cli.help_texts import DATA, OUTPUT_FOLDER
from boxrefine_d2.data.dataset_spec import files_of_spec
from boxrefine_d2.errors import CommandParser, UserError, run_command
from boxrefine_d2.files.names import user_path
from boxrefine_d2.files.outputs import check_output_folder
from boxrefine_d2.improvement import (
    BOXES,
    LEAST_IMAGES,
    OPTIONS,
    Comparison,
    Network,
    write_verdict,
)
from boxrefine_d2.networks.command_line import add_network_arguments
from boxrefine_d2.networks.device import check_device

EXAMPLES = (
    "boxrefine improve verdict --data folder:photos --before before.json --after after.json "
    "--refined refined.safetensors --runs output/refine --output output/verdict",
    "boxrefine improve verdict --data folder:photos --before before.json --after one.json two.json "
    "--refined one.safetensors two.safetensors --runs output/one output/two "
    "--output output/verdict --backbone dino_mini",
)

BEFORE_HELP = "pseudo-label file of the network from before"
AFTER_HELP = "pseudo-label files of the refined networks, one per round"
REFINED_HELP = "weights files of the refined networks, one per round"
RUNS_HELP = "output directories of the refinements, one per round"
IMAGES_HELP = f"{OPTIONS['verdict_images'].meaning}; default: %(default)s"
NUM_WORKERS_HELP = "processes that decode images; default: %(default)s"


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = CommandParser(description=__doc__, examples=EXAMPLES)
    parser.add_argument("--data", required=True, metavar="SPEC", help=DATA)
    add_compared_files(parser)
    parser.add_argument(
        "--output", required=True, type=user_path, metavar="DIR", help=OUTPUT_FOLDER
    )
    add_network_arguments(parser, "dino_vits16")
    most = OPTIONS["verdict_images"].default
    parser.add_argument("--images", type=int, default=most, metavar="N", help=IMAGES_HELP)
    parser.add_argument("--num-workers", type=int, default=2, metavar="W", help=NUM_WORKERS_HELP)
    return parser


def add_compared_files(parser: argparse.ArgumentParser) -> None:
    """Add the flags with the files of all rounds."""
    parser.add_argument(
        "--before", required=True, type=user_path, metavar="FILE.json", help=BEFORE_HELP
    )
    parser.add_argument(
        "--after", required=True, nargs="+", type=user_path, metavar="FILE.json", help=AFTER_HELP
    )
    parser.add_argument(
        "--refined", required=True, nargs="+", type=user_path, metavar="FILE", help=REFINED_HELP
    )
    parser.add_argument(
        "--runs", required=True, nargs="+", type=user_path, metavar="DIR", help=RUNS_HELP
    )


def run(args: argparse.Namespace) -> None:
    """Write the verdict, and print its sentence and the reasons."""
    for flag, value, least in (
        ("--images", args.images, LEAST_IMAGES),
        ("--num-workers", args.num_workers, 0),
    ):
        if value < least:
            raise UserError(f"{flag} is {value}; give {least} or more")
    check_device(args.device)
    read = [args.before, *args.after, *args.refined, *args.runs, *files_of_spec(args.data)]
    check_output_folder(args.output, inputs=read)
    for path in (args.before, *args.after):
        if (args.output / BOXES).resolve() == path.resolve():
            raise UserError(f"--output {args.output} holds {path}, an input; name another folder")
    network = Network(args.backbone, args.weights or "")
    comparison = Comparison(args.data, args.before, args.after, args.refined, args.runs, network)
    verdict = write_verdict(
        comparison,
        args.output,
        images=args.images,
        device=args.device,
        num_workers=args.num_workers,
    )
    print(verdict["sentence"])
    for number, found in enumerate(verdict["rounds"], start=1):
        for reason in found["objections"]:
            print(f"  round {number}: {reason}")
    if verdict["near_duplicates"]:
        print(
            f"warning: {verdict['near_duplicates']} of {verdict['images_measured']} images look "
            "nearly identical to another one; the intervals are then too narrow"
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command. Returns: 0, or 2 for a user's mistake."""
    return run_command(lambda: run(parser().parse_args(argv)))
