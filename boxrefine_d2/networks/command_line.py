"""The arguments of every command that makes maps of images."""

import argparse

from boxrefine_d2.files.names import user_name

from .build import BACKBONES
from .device import default_device

WEIGHTS_HELP = "default: the file that ships, or else the official one"
DEVICE_HELP = "default: the GPU if there is one, else the CPU"


def add_network_arguments(
    parser: argparse.ArgumentParser, backbone: str, max_side: int | None = None
) -> None:
    """Adds --backbone, --weights and --device, and --max-side unless the images have one size only.

    Args: backbone, max_side: the defaults.
    """
    parser.add_argument("--backbone", default=backbone, help=", ".join(BACKBONES))
    parser.add_argument(
        "--weights", type=user_name, metavar="FILE | random[:SEED]", help=WEIGHTS_HELP
    )
    parser.add_argument("--device", default=default_device(), help=DEVICE_HELP)
    if max_side is not None:
        parser.add_argument(
            "--max-side", type=int, default=max_side, metavar="N", help="pixels; 0 is never"
        )
