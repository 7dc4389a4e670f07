"""Pseudo-labels for any data set: images in, one COCO file out."""

import argparse
import os
import re
from collections.abc import Sequence

from detectron2.utils import comm

from boxrefine_d2.discovery import DISCOVERY_REGISTRY
from boxrefine_d2.errors import CommandParser, UserError, run_command
from boxrefine_d2.files.names import user_path
from boxrefine_d2.networks.command_line import add_network_arguments
from boxrefine_d2.networks.device import PRECISIONS
from boxrefine_d2.pseudo_labels import DiscoverySettings, discover_dataset, parameters_of
from boxrefine_d2.training.launch import run_torchrun

EXAMPLES = (
    "boxrefine discover --method lost --data folder:photos --output labels.json",
    "boxrefine discover --method maskcut --set crf=false --data coco:labels.json:images --output masks.json",
)

NUM_WORKERS_HELP = "processes that decode images; default: the number of cores, at most 4"


def parser() -> argparse.ArgumentParser:
    """The command line."""
    defaults = DiscoverySettings("lost")
    parser = CommandParser(description=__doc__, examples=EXAMPLES)
    rules = ", ".join(sorted(name for name, _ in DISCOVERY_REGISTRY))
    parser.add_argument("--method", required=True, help=f"a discovery rule: {rules}")
    parser.add_argument(
        "--data", required=True, metavar="SPEC", help="a dataset spec, e.g. folder:DIR"
    )
    parser.add_argument("--output", required=True, type=user_path, metavar="FILE.json")
    add_network_arguments(parser, defaults.backbone, defaults.max_side)
    parser.add_argument("--batch-size", type=int, default=defaults.batch_size, metavar="B")
    parser.add_argument("--precision", default=defaults.precision, choices=PRECISIONS)
    workers = min(4, os.cpu_count() or 1)
    parser.add_argument(
        "--num-workers", type=int, default=workers, metavar="W", help=NUM_WORKERS_HELP
    )
    parser.add_argument(
        "--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="k_patches=50"
    )
    parser.add_argument(
        "--shard",
        metavar="I/N",
        help="only the I-th of N parts, for machines that share the output's folder but do not talk to each other; the "
        "one that ends last writes the file",
    )
    parser.add_argument(
        "--probe",
        action="store_true",
        help="only look at the features: statistics, and a picture of five images beside the output",
    )
    return parser


def shard_of(text: str | None) -> tuple[int, int] | None:
    """(2, 8) from "2/8"."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    number, of = (int(part) for part in match.groups()) if match else (0, 0)
    if not 1 <= number <= of:
        raise UserError(f"--shard {text!r} is not I/N with I from 1 to N")
    return number, of


def run(args: argparse.Namespace) -> None:
    """Discovers in each process."""
    settings = DiscoverySettings(
        method=args.method,
        backbone=args.backbone,
        weights=args.weights,
        parameters=parameters_of(args.set),
        batch_size=args.batch_size,
        precision=args.precision,
        max_side=args.max_side,
    )
    if args.probe:
        if comm.is_main_process():
            # it draws: a run without it need not load that
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
    """The command; 0, or 2 for a user's mistake."""
    kept = "what is finished is kept, the same command goes on from there"
    return run_command(lambda: run_torchrun(run, parser().parse_args(argv)), kept)
