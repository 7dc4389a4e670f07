"""Name and draw the objects in one image, without any text as input."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from boxrefine_d2.analysis.description_figure import box_text, draw_description
from boxrefine_d2.analysis.figures import FIGURE_HELP, FIGURE_SUFFIXES
from boxrefine_d2.cli.help_texts import CONFIG_CHANGES, IMAGE, OUTPUT_FIGURE, json_output
from boxrefine_d2.data import read_image
from boxrefine_d2.errors import CommandParser, UserError, require_grounding, run_command
from boxrefine_d2.evaluation import write_json
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
from boxrefine_d2.networks.command_line import DEVICE_HELP
from boxrefine_d2.networks.device import default_device
from boxrefine_d2.structures import DescribedObject, to_xywh

EXAMPLES = (
    "boxrefine describe photo.jpg --output named.png",
    "boxrefine describe photo.jpg --output named.png --most 3 --json named.json",
)

CAPTIONER_HELP = (
    "source of the names: phrases, the nearest phrase of a list (MODEL.CAPTIONER.WEIGHTS=FILE.txt "
    "for another list); blip, BLIP, whose folder MODEL.CAPTIONER.WEIGHTS names; default: that of "
    "the configuration"
)
MOST_HELP = "most objects to draw and print; default: %(default)s"
CONFIG_FILE_HELP = "configuration of the networks; default: %(default)s"
SET_HELP = CONFIG_CHANGES.format("MODEL.HEATMAP.WEIGHTS=g.safetensors")


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = CommandParser(description=__doc__, examples=EXAMPLES)
    parser.add_argument("image", type=user_name, metavar="IMAGE", help=IMAGE)
    parser.add_argument(
        "--output",
        required=True,
        type=user_path,
        metavar="FIGURE.png",
        help=f"{OUTPUT_FIGURE}; {FIGURE_HELP}",
    )
    parser.add_argument(
        "--json", type=user_path, metavar="OUT.json", help=json_output("all objects")
    )
    parser.add_argument("--captioner", help=CAPTIONER_HELP)
    parser.add_argument("--most", type=int, default=7, metavar="N", help=MOST_HELP)
    parser.add_argument(
        "--config-file", type=user_name, default=SMALL, metavar="FILE", help=CONFIG_FILE_HELP
    )
    parser.add_argument("--device", default=default_device(), help=DEVICE_HELP)
    parser.add_argument(
        "--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help=SET_HELP
    )
    return parser


def run(args: argparse.Namespace) -> None:
    """Describe the image, write the figure and print the name and box of each object."""
    require_grounding("describe.py")
    from boxrefine_d2.grounding.what_is_where import WhatIsWhere  # needs the extra `grounding`

    if args.most < 1:
        raise UserError(f"--most is {args.most}; give 1 or more")
    chosen = [f"MODEL.CAPTIONER.NAME={args.captioner}"] if args.captioner else []
    cfg = changed_config(args.config_file, [*args.set, *chosen], args.device)
    check_outputs(args, [args.image, find_config(args.config_file), *named_files(cfg)])
    sample = squeezed_sample(cfg, args.image)
    model = WhatIsWhere(cfg).to(cfg.MODEL.DEVICE).eval()
    [objects] = model.describe([sample])
    shown = objects[: args.most]
    if args.json:
        write_json(args.json, {"image": args.image, "sights": [record(x) for x in objects]})
    title = f"found: {len(objects)}"
    figure = draw_description(read_image(args.image), shown, title, args.output.suffix)
    with atomic_binary_file(args.output) as file:
        file.write(figure)
    for described in shown:
        print(f"{described.phrase}: {box_text(described.found.box)} ({described.regions} regions)")
    if len(objects) > len(shown):
        print(f"and {len(objects) - len(shown)} more; --most shows them")
    if not objects:
        print("nothing: no two regions were described alike")
    print(args.output)


def check_outputs(args: argparse.Namespace, inputs: Sequence[str | Path]) -> None:
    """Refuse outputs that cannot be written, would replace an input, or are the same file."""
    check_output_file(args.output, inputs=inputs, suffixes=FIGURE_SUFFIXES)
    if args.json:
        check_output_file(args.json, inputs=inputs, others=[args.output], flag="--json")


def record(described: DescribedObject) -> dict[str, object]:
    """Return an object's entry in the JSON file; boxes are [x, y, w, h] in pixels of the image."""
    box = described.found.box
    return {
        "caption": described.phrase,
        "regions": described.regions,
        "bbox": None if box is None else to_xywh(box),
        "boxes": [to_xywh(one) for one in described.found.boxes],
        "point": described.found.point,
        "score": described.found.score,
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command. Returns: 0, or 2 for a user's mistake."""
    return run_command(lambda: run(parser().parse_args(argv)))
