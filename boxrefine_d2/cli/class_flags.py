"""Flags of the commands that read names of classes: `boxrefine name` and `boxrefine segment`."""

import argparse
import os

from boxrefine_d2.cli.discover import NUM_WORKERS_HELP
from boxrefine_d2.networks.command_line import DEVICE_HELP
from boxrefine_d2.networks.device import default_device

CLASSES_HELP = "names of the classes: a list with commas, or a file with one name a line"
TEMPLATE_HELP = (
    "texts around a name: simple (a photo of a NAME.), several (the mean of seven), or none; "
    "default: %(default)s"
)


def add_class_flags(parser: argparse.ArgumentParser) -> None:
    """Add the names, the texts around them, the device and the processes that decode images."""
    parser.add_argument("--classes", required=True, metavar="A,B,...|FILE", help=CLASSES_HELP)
    parser.add_argument("--template", default="simple", metavar="KIND", help=TEMPLATE_HELP)
    parser.add_argument("--device", default=default_device(), help=DEVICE_HELP)
    workers = min(4, os.cpu_count() or 1)
    parser.add_argument(
        "--num-workers", type=int, default=workers, metavar="W", help=NUM_WORKERS_HELP
    )
