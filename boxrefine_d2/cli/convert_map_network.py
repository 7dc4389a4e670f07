"""Write the map network of a training to a small file that holds nothing else.

A checkpoint also holds the frozen copy, the detector h and the state of the optimizer. Equal
weights give equal bytes. The file can hold the mean of the weights after and before the training,
which often keeps what both do well (WiSE-FT, arXiv:2109.01903).
"""

import argparse
from collections.abc import Mapping, Sequence

import torch

from boxrefine_d2 import __version__
from boxrefine_d2.cli.help_texts import OUTPUT_WEIGHTS
from boxrefine_d2.errors import CommandParser, UserError, run_command
from boxrefine_d2.files.atomic import atomic_binary_file
from boxrefine_d2.files.names import user_path
from boxrefine_d2.files.outputs import check_output_file
from boxrefine_d2.files.safetensors_file import in_half_precision, safetensors_bytes
from boxrefine_d2.networks import build_backbone
from boxrefine_d2.networks.build import BACKBONES
from boxrefine_d2.networks.map_network import trained_state

EXAMPLES = (
    "boxrefine convert map-network --input output/lost/model_final.pth "
    "--output refined.safetensors",
    "boxrefine convert map-network --backbone dino_mini --input output/demo/model_final.pth "
    "--output refined.safetensors",
)

INPUT_HELP = "checkpoint of the training"
SHARE_HELP = "share of the weights after the training, above 0 and at most 1; default: %(default)s"
BEFORE_HELP = (
    "weights from before the training, for a --share below 1: a file or random:SEED; default: the "
    "network's own weights"
)
HALF_HELP = "store numbers in half precision, for half the size"
BACKBONE_HELP = f"network in the checkpoint: {', '.join(BACKBONES)}; default: %(default)s"


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = CommandParser(description=__doc__, examples=EXAMPLES)
    parser.add_argument(
        "--input", required=True, type=user_path, metavar="MODEL.pth", help=INPUT_HELP
    )
    parser.add_argument(
        "--output", required=True, type=user_path, metavar="OUT.safetensors", help=OUTPUT_WEIGHTS
    )
    parser.add_argument("--backbone", default="dino_vits16", metavar="NAME", help=BACKBONE_HELP)
    parser.add_argument("--share", type=float, default=1.0, metavar="S", help=SHARE_HELP)
    parser.add_argument("--before", metavar="WEIGHTS", help=BEFORE_HELP)
    parser.add_argument("--half", action="store_true", help=HALF_HELP)
    return parser


def run(args: argparse.Namespace) -> None:
    """Read the checkpoint, check that it holds the network, and write what training changed."""
    check_output_file(args.output, inputs=[args.input], suffixes=(".safetensors",))
    if not 0 < args.share <= 1:
        raise UserError(f"--share is {args.share}; give a number above 0 and at most 1")
    if args.before and args.share == 1:
        raise UserError(f"--before {args.before!r} is of no use with --share 1; lower --share")
    network = build_backbone(args.backbone, args.input)
    if args.share < 1:
        network = network.for_refinement()
    state = trained_state(network)
    if args.share < 1:
        before = build_backbone(args.backbone, args.before).for_refinement()
        state = _mean(state, before.state_dict(), args.share)
    if args.half:
        state = in_half_precision(state)
    tensors = {name: value.contiguous() for name, value in state.items()}
    about = {"backbone": args.backbone, "version": __version__} | network.file_facts()
    with atomic_binary_file(args.output) as file:
        file.write(safetensors_bytes(tensors, about))
    print(f"{args.output}: {len(tensors)} tensors of {args.backbone}")


def _mean(
    after: Mapping[str, torch.Tensor], before: Mapping[str, torch.Tensor], share: float
) -> dict[str, torch.Tensor]:
    """Return the mean of two states; what is no number with a fraction is that of `after`."""
    return {
        name: torch.lerp(before[name], value, share) if value.is_floating_point() else value
        for name, value in after.items()
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command. Returns: 0, or 2 for a user's mistake."""
    return run_command(lambda: run(parser().parse_args(argv)))
