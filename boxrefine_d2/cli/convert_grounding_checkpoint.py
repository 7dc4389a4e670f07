"""Write the tensors of a grounding network that was saved whole, without running its code."""

import argparse
from collections.abc import Sequence

from boxrefine_d2.cli.help_texts import OUTPUT_WEIGHTS
from boxrefine_d2.errors import CommandParser, run_command
from boxrefine_d2.files.atomic import atomic_binary_file
from boxrefine_d2.files.names import user_path
from boxrefine_d2.files.outputs import check_output_file
from boxrefine_d2.files.safetensors_file import safetensors_bytes
from boxrefine_d2.networks.pickled_module import read_pickled_module
from boxrefine_d2.networks.text_heatmap import HEATMAPS, our_names
from boxrefine_d2.networks.weights import build_empty, load_into

EXAMPLES = (
    "boxrefine convert grounding-checkpoint --input g.pth --output g.safetensors",
    "boxrefine convert grounding-checkpoint --network heatmap_mini --input g.pth "
    "--output g.safetensors",
)

INPUT_HELP = "file of a network that torch.save wrote as a whole"
NETWORK_HELP = "architecture of the network in the file; default: %(default)s"


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = CommandParser(description=__doc__, examples=EXAMPLES)
    parser.add_argument(
        "--input", required=True, type=user_path, metavar="NETWORK.pth", help=INPUT_HELP
    )
    parser.add_argument(
        "--output", required=True, type=user_path, metavar="OUT.safetensors", help=OUTPUT_WEIGHTS
    )
    parser.add_argument("--network", default="heatmap_vgg16", choices=HEATMAPS, help=NETWORK_HELP)
    return parser


def run(args: argparse.Namespace) -> None:
    """Read the file, check that it holds the network, and write its tensors under our names."""
    check_output_file(args.output, inputs=[args.input], suffixes=(".safetensors",))
    state = read_pickled_module(args.input)
    state = our_names({name.removeprefix("module."): value for name, value in state.items()})
    network = build_empty(HEATMAPS[args.network].build)
    load_into(network, state, name=args.network, path=args.input)
    tensors = {name: value.contiguous() for name, value in network.state_dict().items()}
    with atomic_binary_file(args.output) as file:
        file.write(safetensors_bytes(tensors, {"heatmap": args.network}))
    print(f"{args.output}: {len(tensors)} tensors of {args.network}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command. Returns: 0, or 2 for a user's mistake."""
    return run_command(lambda: run(parser().parse_args(argv)))
