"""Refine the network on your images, and keep the new boxes only if they are better.

The command draws boxes, chooses targets, refines the network, draws boxes again and compares both
without labels. It then trains a detector on the better boxes and writes a page. DIR/verdict holds
boxes.json and verdict.json, DIR/page the page. Completed stages are skipped, so the same command
continues an interrupted one.
"""

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from boxrefine_d2.cli.help_texts import DATA, OUTPUT_FOLDER
from boxrefine_d2.cli.stages_command import run_stages_command
from boxrefine_d2.config.options import meanings
from boxrefine_d2.data.dataset_spec import files_of_spec, load_spec
from boxrefine_d2.errors import CommandParser, check_choice
from boxrefine_d2.files import inputs
from boxrefine_d2.files.names import user_path
from boxrefine_d2.files.outputs import check_output_folder
from boxrefine_d2.improvement import (
    BOXES,
    METHODS,
    OPTIONS,
    PAGE,
    VERDICT,
    Improvement,
    Network,
    check_boxes,
    check_images,
    check_targets,
    is_labelled,
    parse_settings,
    settle,
)
from boxrefine_d2.networks.build import BACKBONES
from boxrefine_d2.networks.command_line import add_network_arguments
from boxrefine_d2.networks.device import check_device
from boxrefine_d2.pseudo_labels import DiscoverySettings
from boxrefine_d2.workflow import Stage, is_at_work, plan_of_stages, run_plan

EXAMPLES = (
    "boxrefine improve --data folder:photos --output output/improve --backbone dino_mini",
    "boxrefine improve --data coco:labels.json:images --output output/improve --method tokencut "
    "--rounds 2 --set detector=false",
)

METHOD_HELP = f"rule that draws the boxes: {', '.join(METHODS)}; default: %(default)s"
ROUNDS_HELP = (
    "number of refinements; each starts from the network of the one before; default: %(default)s"
)
SET_HELP = (
    "changes to the settings; default: none. "
    + meanings(OPTIONS)
    + ". Parameters of the rule and keys of the configuration of the refinement, such as "
    "REFINE.DRIFT.PERIOD, are accepted, too"
)


def main(argv: Sequence[str] | None = None, tools: Path | None = None) -> int:
    """Run the command; see `run_stages_command`."""
    return run_stages_command(parser, _run, argv, tools)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    defaults = DiscoverySettings("lost")
    parser = CommandParser(description=__doc__, examples=EXAMPLES)
    parser.add_argument("--data", required=True, metavar="SPEC", help=DATA)
    parser.add_argument(
        "--output", required=True, type=user_path, metavar="DIR", help=OUTPUT_FOLDER
    )
    add_network_arguments(parser, defaults.backbone, defaults.max_side)
    parser.add_argument("--method", default="lost", metavar="METHOD", help=METHOD_HELP)
    parser.add_argument("--rounds", type=int, default=1, metavar="N", help=ROUNDS_HELP)
    parser.add_argument(
        "--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help=SET_HELP
    )
    return parser


def _run(args: argparse.Namespace, tools: Path) -> int:
    check_choice("--method", args.method, METHODS)
    check_choice("--backbone", args.backbone, BACKBONES)
    check_device(args.device)
    settings = parse_settings(args.method, args.set)
    DiscoverySettings(args.method, max_side=args.max_side)
    records = load_spec(args.data).records
    check_images(args.data, records)
    plan = Improvement(
        data=args.data,
        images=len(records),
        network=Network(args.backbone, args.weights or ""),
        method=args.method,
        rounds=args.rounds,
        settings=settings,
        device=args.device,
        max_side=args.max_side,
        labelled=is_labelled(records),
    )
    plan.check()
    check_output_folder(args.output, inputs=files_of_spec(args.data))
    settle(args.output, plan, records, at_work=is_at_work(args.output))
    stages = plan_of_stages(plan.stages(), args.output, plan.values, "boxrefine improve")
    code = run_plan(stages, tools, partial(print, flush=True), inspect=partial(_inspect, plan))
    if code == 0:
        verdict = inputs.read_json(args.output / "verdict" / VERDICT, "verdict")
        print(f"{verdict['sentence']}: {args.output / 'verdict' / BOXES}")
        print(f"{args.output / 'page' / PAGE}: open it in a browser")
    return code


def _inspect(plan: Improvement, stage: Stage) -> None:
    """Check the files that a stage is about to read."""
    root = stage.folder.parent
    if stage.name == "targets":
        check_boxes(root / "before" / BOXES)
    if stage.name.startswith("refine"):
        targets = stage.name.replace("refine", "targets", 1)
        check_targets(root / targets / BOXES, plan.settings["targets"])
