"""Draw what a network finds in one image: the objects of a rule, or phrases. It trains nothing.

`make demo` runs tools/run_demo.py, which trains the demonstration of refinement.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from boxrefine_d2.analysis.description_figure import box_text, draw_description
from boxrefine_d2.analysis.figures import FIGURE_HELP, FIGURE_SUFFIXES
from boxrefine_d2.analysis.mask_rounds_figure import draw_mask_rounds
from boxrefine_d2.cli.help_texts import IMAGE, OUTPUT_FIGURE
from boxrefine_d2.data import read_image
from boxrefine_d2.errors import CommandParser, UserError, require_grounding, run_command
from boxrefine_d2.files.atomic import atomic_binary_file
from boxrefine_d2.files.names import user_name, user_path
from boxrefine_d2.files.outputs import check_output_file
from boxrefine_d2.files.shipped import find_config
from boxrefine_d2.grounding.grounding_command import (
    SMALL,
    changed_config,
    named_files,
    squeezed_sample,
)
from boxrefine_d2.networks.command_line import add_network_arguments
from boxrefine_d2.pseudo_labels import DiscoverySettings, discover_image, parameters_of

EXAMPLES = (
    "boxrefine demo photo.jpg --output found.png",
    'boxrefine demo photo.jpg --phrase "a red car" --output car.png',
)

DEFAULT_METHOD = "lost"
METHOD_HELP = f"discovery rule; default: {DEFAULT_METHOD}"
PHRASE_HELP = "phrase to locate; repeat the flag for further phrases; default: none"
CONFIG_FILE_HELP = "with --phrase: configuration of the networks; default: %(default)s"
SET_HELP = (
    "with --method: changes to the rule's parameters, such as k_patches=50; with --phrase: changes "
    "to the configuration, such as MODEL.HEATMAP.WEIGHTS=g.safetensors; default: none"
)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    defaults = DiscoverySettings(DEFAULT_METHOD)
    parser = CommandParser(description=__doc__, examples=EXAMPLES)
    parser.add_argument("image", type=user_name, metavar="IMAGE", help=IMAGE)
    targets = parser.add_mutually_exclusive_group()
    targets.add_argument("--method", help=METHOD_HELP)
    targets.add_argument("--phrase", action="append", metavar="TEXT", help=PHRASE_HELP)
    parser.add_argument(
        "--output",
        required=True,
        type=user_path,
        metavar="FIGURE.png",
        help=f"{OUTPUT_FIGURE}; {FIGURE_HELP}",
    )
    add_network_arguments(parser, defaults.backbone, defaults.max_side)
    parser.add_argument(
        "--config-file", type=user_name, default=SMALL, metavar="FILE", help=CONFIG_FILE_HELP
    )
    parser.add_argument(
        "--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help=SET_HELP
    )
    return parser


def draw_objects(args: argparse.Namespace) -> tuple[bytes, list[str]]:
    """Return the figure of the objects that the rule finds, and one line of text per object."""
    settings = DiscoverySettings(
        method=args.method or DEFAULT_METHOD,
        backbone=args.backbone,
        weights=args.weights,
        parameters=parameters_of(args.set),
        max_side=args.max_side,
    )
    check_output(args, [args.weights] if args.weights else [])
    objects = discover_image(args.image, settings, device=args.device)
    title = f"{settings.method}: {len(objects)} found"
    lines = [
        f"object {number}: {box_text([x, y, x + w, y + h])}"
        for number, (x, y, w, h) in enumerate((entry["bbox"] for entry in objects), start=1)
    ]
    return draw_mask_rounds(read_image(args.image), [], objects, title, args.output.suffix), lines


def draw_phrases(args: argparse.Namespace) -> tuple[bytes, list[str]]:
    """Return the figure with the heatmaps of the phrases, and one line of text per phrase."""
    require_grounding("--phrase")
    from boxrefine_d2.grounding.heatmap_model import HeatmapModel  # needs the extra `grounding`

    if args.weights:
        raise UserError(
            "--weights applies to --method only; with --phrase, give --set "
            "MODEL.HEATMAP.WEIGHTS=FILE"
        )
    cfg = changed_config(args.config_file, args.set, args.device)
    check_output(args, [find_config(args.config_file), *named_files(cfg)])
    sample = squeezed_sample(cfg, args.image)
    model = HeatmapModel.of_config(cfg).to(cfg.MODEL.DEVICE).eval()
    [objects] = model.localise([sample], [args.phrase], cfg.GROUNDING.PROMPT)
    lines = [f"{described.phrase}: {box_text(described.found.box)}" for described in objects]
    title = f"phrases: {len(objects)}"
    return draw_description(read_image(args.image), objects, title, args.output.suffix), lines


def check_output(args: argparse.Namespace, inputs: Sequence[str | Path]) -> None:
    """Refuse an --output that has no figure's suffix, cannot be written, or is a file to be read.

    Args: inputs: files to be read besides the image.
    """
    check_output_file(args.output, inputs=[args.image, *inputs], suffixes=FIGURE_SUFFIXES)


def run(args: argparse.Namespace) -> None:
    """Find the objects or phrases, write the figure and print the lines of text."""
    figure, lines = (draw_phrases if args.phrase else draw_objects)(args)
    with atomic_binary_file(args.output) as file:
        file.write(figure)
    print("\n".join([*lines, str(args.output)]))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command. Returns: 0, or 2 for a user's mistake."""
    return run_command(lambda: run(parser().parse_args(argv)))
