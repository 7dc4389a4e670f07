"""Write DINO's ResNet-50 under Detectron2's names. CAD and CutLER start from this file."""

import argparse
import pickle
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

import boxrefine_d2
from boxrefine_d2.cli.help_texts import OUTPUT_WEIGHTS
from boxrefine_d2.errors import CommandParser, run_command
from boxrefine_d2.files.atomic import atomic_binary_file
from boxrefine_d2.files.names import user_path
from boxrefine_d2.files.outputs import check_output_file
from boxrefine_d2.files.safetensors_file import safetensors_bytes
from boxrefine_d2.networks.build import build_backbone, official_file
from boxrefine_d2.networks.checkpoint_file import check_weights_file
from boxrefine_d2.networks.detectron2_names import to_detectron2_names
from boxrefine_d2.networks.weights import file_sha256

EXAMPLES = (
    "boxrefine convert dino-resnet --output dino_resnet50.safetensors",
    "boxrefine convert dino-resnet --input resnet50.pth --output resnet50.pkl",
)

BACKBONE = "dino_resnet50"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command. Returns: 0, or 2 for a user's mistake."""
    return run_command(lambda: _convert(parser().parse_args(argv)))


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = CommandParser(description=__doc__, examples=EXAMPLES)
    parser.add_argument(
        "--input",
        type=user_path,
        metavar="FILE",
        help="weights file of a ResNet-50 with torchvision's names; default: DINO's, from the "
        "cache or its host",
    )
    parser.add_argument(
        "--output",
        type=user_path,
        required=True,
        metavar="FILE",
        help=f"{OUTPUT_WEIGHTS}, .safetensors or .pkl",
    )
    return parser


def _convert(args: argparse.Namespace) -> None:
    inputs = [args.input] if args.input else []
    check_output_file(args.output, inputs=inputs, suffixes=(".safetensors", ".pkl"))
    if args.input:
        check_weights_file(args.input)
    source = args.input or official_file(BACKBONE)
    state = to_detectron2_names(build_backbone(BACKBONE, source).state_dict())
    state = {name: value.detach().float().contiguous() for name, value in state.items()}
    with atomic_binary_file(args.output) as file:
        file.write(_bytes(state, args.output, source))
    print(f"{args.output}: {len(state)} tensors of {source}")


def _bytes(state: dict[str, Tensor], output: Path, source: Path) -> bytes:
    if output.suffix.lower() == ".safetensors":
        metadata = {
            "source": source.name,
            "source_sha256": file_sha256(source),
            "version": boxrefine_d2.__version__,
        }
        return safetensors_bytes(state, metadata)
    arrays = {name: value.numpy() for name, value in state.items()}
    content = {"model": arrays, "matching_heuristics": True, "__author__": "boxrefine_d2"}
    return pickle.dumps(content)
