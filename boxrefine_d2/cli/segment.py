"""Write masks and boxes with names for a folder of images, by GroupViT.

The output is a pseudo-label file with the classes as categories, a mask for each connected part.
"""

import argparse
from collections.abc import Sequence

from boxrefine_d2.cli.class_flags import add_class_flags
from boxrefine_d2.cli.help_texts import DATA, OUTPUT_LABELS
from boxrefine_d2.data.dataset_spec import files_of_spec
from boxrefine_d2.errors import CommandParser, require_grounding, run_command
from boxrefine_d2.files.names import user_path
from boxrefine_d2.files.outputs import check_output_file, check_output_folder
from boxrefine_d2.networks.device import check_device

EXAMPLES = (
    'boxrefine segment --data folder:photos --classes "cat,dog,car" --output named.json',
    "boxrefine segment --data voc_2007_test --classes names.txt --weights groupvit.pth "
    "--background-threshold 0.95 --output named.json --maps output/maps",
)

NETWORK_HELP = (
    "groupvit_gcc_yfcc or groupvit_gcc_redcaps, whose weights are fetched once; default: "
    "%(default)s"
)
WEIGHTS_HELP = (
    "checkpoint of GroupViT's public repository, or a folder of transformers; default: the "
    "official weights"
)
BACKGROUND_HELP = (
    "a group whose best affinity with a class is lower is background; 0: no background; the "
    "release has 0.95 for VOC and COCO and 0.35 for Pascal Context; default: %(default)s"
)
AREA_HELP = "smallest share of the image that a mask covers, from 0 to 1; default: %(default)s"
SIDE_HELP = (
    "short side of the resized image, and side of the windows, in pixels; default: %(default)s"
)
MAPS_HELP = "also write semantic.json and a map per image to this folder; default: no maps"


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = CommandParser(description=__doc__, examples=EXAMPLES)
    parser.add_argument("--data", required=True, metavar="SPEC", help=DATA)
    parser.add_argument(
        "--output", required=True, type=user_path, metavar="OUT.json", help=OUTPUT_LABELS
    )
    parser.add_argument("--maps", type=user_path, metavar="DIR", help=MAPS_HELP)
    parser.add_argument("--network", default="groupvit_gcc_yfcc", metavar="NAME", help=NETWORK_HELP)
    parser.add_argument("--weights", default="", metavar="FILE|DIR", help=WEIGHTS_HELP)
    parser.add_argument(
        "--background-threshold", type=float, default=0.9, metavar="T", help=BACKGROUND_HELP
    )
    parser.add_argument("--min-area", type=float, default=0.005, metavar="SHARE", help=AREA_HELP)
    parser.add_argument("--side", type=int, default=448, metavar="PIXELS", help=SIDE_HELP)
    add_class_flags(parser)
    return parser


def run(args: argparse.Namespace) -> None:
    """Segment the images, write the files and print the counts."""
    require_grounding("boxrefine segment")
    from boxrefine_d2.segmentation.class_names import class_names  # needs the extra `grounding`
    from boxrefine_d2.segmentation.group_weights import build_groupvit
    from boxrefine_d2.segmentation.segmenting import (
        SEMANTIC_FILE,
        SegmentSettings,
        segment_images,
    )
    from boxrefine_d2.segmentation.sliding_window import window_settings

    settings = SegmentSettings(
        classes=class_names(args.classes),
        threshold=args.background_threshold,
        templates=args.template,
        min_area=args.min_area,
        windows=window_settings(args.side),
        num_workers=args.num_workers,
    )
    settings.check()
    check_device(args.device)
    inputs = [*files_of_spec(args.data), args.classes, args.weights]
    check_output_file(args.output, inputs=inputs)
    if args.maps:
        check_output_folder(args.maps, inputs=inputs)
    network = build_groupvit(args.network, args.weights).to(args.device)
    counts = segment_images(network, args.data, args.output, settings, args.maps)
    print(f"{counts.to_text()}\n{args.output}")
    if args.maps:
        print(args.maps / SEMANTIC_FILE)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command. Returns: 0, or 2 for a user's mistake."""
    return run_command(lambda: run(parser().parse_args(argv)))
