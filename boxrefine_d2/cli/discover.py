"""Make pseudo-labels of any data set: images in, one COCO file out."""

import argparse
import os
import re
from collections.abc import Sequence

from detectron2.utils import comm

from boxrefine_d2.cli.help_texts import DATA, OUTPUT_LABELS
from boxrefine_d2.discovery import DISCOVERY_REGISTRY
from boxrefine_d2.errors import CommandParser, UserError, run_command
from boxrefine_d2.files.names import user_path
from boxrefine_d2.networks.command_line import add_network_arguments
from boxrefine_d2.networks.device import PRECISIONS
from boxrefine_d2.pseudo_labels import DiscoverySettings, discover_dataset, parameters_of
from boxrefine_d2.training.launch import run_torchrun

EXAMPLES = (
    "boxrefine discover --method lost --data folder:photos --output labels.json",
    "boxrefine discover --method maskcut --set crf=false --data coco:labels.json:images "
    "--output masks.json",
)

BATCH_SIZE_HELP = "most images per batch; default: %(default)s"
PRECISION_HELP = "number format of the network's computations; default: %(default)s"
NUM_WORKERS_HELP = (
    "processes that decode images, and as many that refine masks; default: the number of CPU "
    "cores, at most 4"
)
SET_HELP = "changes to the rule's parameters, such as k_patches=50; default: none"
VIEW_HELP = (
    "view of the image that the network reads: mirrored; scale:F, F times as large; crop:F, the "
    "centre, F of each side; boxes are written for the original image; default: %(default)s"
)
BASE_HELP = (
    "dataset spec of the images whose features the rule representer compares with; default: that "
    "of --data"
)
SHARD_HELP = (
    "compute only part I of N, for machines that share the output's folder but do not "
    "communicate; the last shard to finish writes the file; default: all parts"
)
PROBE_HELP = (
    "only inspect the features: print statistics, and draw a figure of five images beside the "
    "output"
)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    defaults = DiscoverySettings("lost")
    parser = CommandParser(description=__doc__, examples=EXAMPLES)
    rules = ", ".join(sorted(name for name, _ in DISCOVERY_REGISTRY))
    parser.add_argument("--method", required=True, help=f"discovery rule: {rules}")
    parser.add_argument("--data", required=True, metavar="SPEC", help=DATA)
    parser.add_argument(
        "--output", required=True, type=user_path, metavar="FILE.json", help=OUTPUT_LABELS
    )
    add_network_arguments(parser, defaults.backbone, defaults.max_side)
    parser.add_argument(
        "--batch-size", type=int, default=defaults.batch_size, metavar="B", help=BATCH_SIZE_HELP
    )
    parser.add_argument(
        "--precision", default=defaults.precision, choices=PRECISIONS, help=PRECISION_HELP
    )
    workers = min(4, os.cpu_count() or 1)
    parser.add_argument(
        "--num-workers", type=int, default=workers, metavar="W", help=NUM_WORKERS_HELP
    )
    parser.add_argument(
        "--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help=SET_HELP
    )
    parser.add_argument("--view", default=defaults.view, metavar="VIEW", help=VIEW_HELP)
    parser.add_argument("--base", default="", metavar="SPEC", help=BASE_HELP)
    parser.add_argument("--shard", metavar="I/N", help=SHARD_HELP)
    parser.add_argument("--probe", action="store_true", help=PROBE_HELP)
    return parser


def shard_of(text: str | None) -> tuple[int, int] | None:
    """Parse the value of --shard: (2, 8) from "2/8". Raises: UserError for another form."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    number, count = (int(part) for part in match.groups()) if match else (0, 0)
    if not 1 <= number <= count:
        raise UserError(f"--shard {text!r} is not I/N with I from 1 to N")
    return number, count


def run(args: argparse.Namespace) -> None:
    """Compute this process's part of the pseudo-labels, or probe the features."""
    settings = DiscoverySettings(
        method=args.method,
        backbone=args.backbone,
        weights=args.weights,
        parameters=parameters_of(args.set),
        batch_size=args.batch_size,
        precision=args.precision,
        max_side=args.max_side,
        view=args.view,
        base=args.base,
    )
    if args.probe:
        if comm.is_main_process():
            # the import loads the drawing libraries, which other runs do not need
            from boxrefine_d2.report.probe import probe

            print(probe(args.data, args.output, settings, args.device))
        return
    summary = discover_dataset(
        args.data,
        args.output,
        settings,
        device=args.device,
        num_workers=args.num_workers,
        shard=shard_of(args.shard),
    )
    if comm.is_main_process():
        print(summary)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command. Returns: 0, or 2 for a user's mistake."""
    kept = "finished batches are kept; the same command continues from there"
    return run_command(lambda: run_torchrun(run, parser().parse_args(argv)), kept)
