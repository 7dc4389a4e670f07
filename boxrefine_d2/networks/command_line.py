"""Arguments of every command that computes maps of images."""

import argparse

from boxrefine_d2.files.names import user_name

from .build import BACKBONES
from .device import default_device

WEIGHTS_HELP = "weights file; default: the file that ships; the official file if none ships"
DEVICE_HELP = "device of the network; default: the GPU if there is one, else the CPU"


def add_network_arguments(
    parser: argparse.ArgumentParser, backbone: str, max_side: int | None = None
) -> None:
    """Add --backbone, --weights and --device, and --max-side if it has a default.

    Args:
        backbone: default of --backbone.
        max_side: default of --max-side in pixels; None if the images have one size only.
    """
    known = ", ".join(BACKBONES)
    parser.add_argument(
        "--backbone",
        default=backbone,
        help=f"network behind the map: {known}; default: %(default)s",
    )
    parser.add_argument(
        "--weights", type=user_name, metavar="FILE | random[:SEED]", help=WEIGHTS_HELP
    )
    parser.add_argument("--device", default=default_device(), help=DEVICE_HELP)
    if max_side is not None:
        parser.add_argument(
            "--max-side",
            type=int,
            default=max_side,
            metavar="N",
            help="longest side in pixels; larger images are resized; 0 keeps every size; "
            "default: %(default)s",
        )
