"""Learn to localise objects from class labels, and draw a box and a mask on each image.

Give a folder with a folder of images per class. The command trains with defaults that suit a few
hundred images. DIR/result holds boxes.json, localization.json and the page. Completed stages are
skipped, so the same command continues an interrupted one.
"""

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from boxrefine_d2.cli.help_texts import OUTPUT_FOLDER
from boxrefine_d2.cli.stages_command import run_stages_command
from boxrefine_d2.config.options import meanings
from boxrefine_d2.data.dataset_spec import files_of_spec, load_spec
from boxrefine_d2.data.digest import images_sha256
from boxrefine_d2.errors import CommandParser, check_choice
from boxrefine_d2.files.names import user_path
from boxrefine_d2.files.outputs import check_output_folder
from boxrefine_d2.localization.box_labels import BOXES_FILE
from boxrefine_d2.localization.plan import (
    OPTIONS,
    PAGE,
    RESULT,
    SOURCES,
    Localization,
    parse_settings,
    record_of,
)
from boxrefine_d2.networks.command_line import DEVICE_HELP
from boxrefine_d2.networks.device import check_device, default_device
from boxrefine_d2.workflow import is_at_work, plan_of_stages, run_plan, settle_record

RECORD = "localize.json"
EXAMPLES = (
    "boxrefine localize --data classes:photos --output output/localize",
    "boxrefine localize --data classes:photos --output output/weight_map --source weight_map "
    "--set MODEL.CLASSIFIER.TRUNK=resnet50 iterations=1000",
)

DATA_HELP = (
    "dataset spec of images with a class each: classes:DIR, a folder per class, or any labelled "
    "data set with +one_class"
)
SOURCE_HELP = (
    "what draws the map: a classifier (cam), a weight map that shows a classifier what it needs "
    "(weight_map), heads on a transformer (lcar), or features of all images, without a training "
    "(representer); default: %(default)s"
)
SET_HELP = (
    "changes to the settings; default: none. "
    + meanings(OPTIONS)
    + ". Keys of the configuration of the trainings, such as MODEL.CLASSIFIER.TRUNK, are accepted, "
    "too"
)


def main(argv: Sequence[str] | None = None, tools: Path | None = None) -> int:
    """Run the command; see `run_stages_command`."""
    return run_stages_command(parser, _run, argv, tools)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = CommandParser(description=__doc__, examples=EXAMPLES)
    parser.add_argument("--data", required=True, metavar="SPEC", help=DATA_HELP)
    parser.add_argument(
        "--output", required=True, type=user_path, metavar="DIR", help=OUTPUT_FOLDER
    )
    parser.add_argument("--source", default="cam", metavar="|".join(SOURCES), help=SOURCE_HELP)
    parser.add_argument("--device", default=default_device(), help=DEVICE_HELP)
    parser.add_argument(
        "--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help=SET_HELP
    )
    return parser


def _run(args: argparse.Namespace, tools: Path) -> int:
    check_choice("--source", args.source, SOURCES)
    check_device(args.device)
    settings = parse_settings(args.set)
    records = load_spec(args.data).records
    plan = Localization(args.data, len(records), args.source, settings, args.device)
    plan.check(records)
    check_output_folder(args.output, inputs=files_of_spec(args.data))
    settle_record(
        args.output / RECORD,
        record_of(plan, images_sha256(records)),
        "a localisation",
        at_work=is_at_work(args.output),
    )
    stages = plan_of_stages(plan.stages(), args.output, plan.values, "boxrefine localize")
    code = run_plan(stages, tools, partial(print, flush=True))
    if code == 0:
        print(f"{args.output / RESULT / BOXES_FILE}: boxes and masks with their classes")
        print(f"{args.output / RESULT / PAGE}: open it in a browser")
    return code
