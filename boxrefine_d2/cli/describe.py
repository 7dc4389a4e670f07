"""Describe one image without any text: each thing found is named, boxed and drawn."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from boxrefine_d2.analysis.description_figure import box_text, draw_description
from boxrefine_d2.analysis.figures import FIGURE_HELP, FIGURE_SUFFIXES
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
    "phrases: the nearest of a list (MODEL.CAPTIONER.WEIGHTS=FILE.txt for another one); blip: BLIP, whose folder "
    "MODEL.CAPTIONER.WEIGHTS names"
)

SET_HELP = "changes to the configuration, e.g. MODEL.HEATMAP.WEIGHTS=g.safetensors"


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = CommandParser(description=__doc__, examples=EXAMPLES)
    parser.add_argument("image", type=user_name, metavar="IMAGE")
    parser.add_argument(
        "--output", required=True, type=user_path, metavar="PICTURE.png", help=FIGURE_HELP
    )
    parser.add_argument(
        "--json", type=user_path, metavar="OUT.json", help="also write what was found there"
    )
    parser.add_argument("--captioner", help=CAPTIONER_HELP)
    parser.add_argument(
        "--most", type=int, default=7, metavar="N", help="things to show; default 7"
    )
    parser.add_argument(
        "--config-file", type=user_name, default=SMALL, metavar="FILE", help="networks and settings"
    )
    parser.add_argument("--device", default=default_device(), help=DEVICE_HELP)
    parser.add_argument(
        "--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help=SET_HELP
    )
    return parser


def run(args: argparse.Namespace) -> None:
    """Describe the image, draw the figure and print what is where."""
    require_grounding("describe.py")
    from boxrefine_d2.grounding.what_is_where import WhatIsWhere  # needs the extra

    if args.most < 1:
        raise UserError(f"--most {args.most}: at least 1 is needed")
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
    """Refuse outputs that cannot be written, take the place of an input, or are one file."""
    check_output_file(args.output, inputs=inputs, suffixes=FIGURE_SUFFIXES)
    if args.json:
        check_output_file(args.json, inputs=inputs, others=[args.output], flag="--json")


def record(described: DescribedObject) -> dict[str, object]:
    """Return an object as --json has it; in pixels of the image."""
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
    """The command; 0, or 2 for a user's mistake."""
    return run_command(lambda: run(parser().parse_args(argv)))
