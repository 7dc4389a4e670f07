"""Give the boxes of a pseudo-label file names from a list, by CLIP.

The output has the same boxes and masks with the classes as categories, for any tool that trains a
detector with classes. Boxes that are like no class can be left out.
"""

import argparse
from collections.abc import Sequence
from typing import Any

from boxrefine_d2.cli.class_flags import add_class_flags
from boxrefine_d2.cli.help_texts import DATA, INPUT_LABELS, OUTPUT_LABELS
from boxrefine_d2.data.dataset_spec import files_of_spec
from boxrefine_d2.errors import CommandParser, require_grounding, run_command
from boxrefine_d2.files.names import user_path
from boxrefine_d2.files.outputs import check_output_file
from boxrefine_d2.networks.device import check_device

EXAMPLES = (
    'boxrefine name --input boxes.json --data folder:photos --classes "cat,dog,car" '
    "--output named.json",
    "boxrefine name --input boxes.json --data folder:photos --classes names.txt --clip clip_vitb32 "
    "--min-similarity 0.2 --output named.json",
)

CLIP_HELP = (
    "CLIP to use: clip_mini, which ships and knows little, or clip_vitb32, whose weights are "
    "fetched once; default: %(default)s"
)
WEIGHTS_HELP = "folder of the CLIP's weights; default: the shipped or official ones"
MARGIN_HELP = "pixels around a box, as a share of its longer side; default: %(default)s"
OUTSIDE_HELP = (
    "pixels outside of a mask: keep, grey, or the mean of both; boxes without masks keep them; "
    "default: %(default)s"
)
SIMILARITY_HELP = "smallest cosine of a box with its class; boxes below are left out; default: none"


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = CommandParser(description=__doc__, examples=EXAMPLES)
    file: dict[str, Any] = {"required": True, "type": user_path}
    parser.add_argument("--input", **file, metavar="FILE.json", help=INPUT_LABELS)
    parser.add_argument("--data", required=True, metavar="SPEC", help=DATA)
    parser.add_argument("--output", **file, metavar="OUT.json", help=OUTPUT_LABELS)
    parser.add_argument("--clip", default="clip_mini", metavar="NAME", help=CLIP_HELP)
    parser.add_argument("--weights", default="", metavar="DIR", help=WEIGHTS_HELP)
    parser.add_argument("--margin", type=float, default=0.1, metavar="SHARE", help=MARGIN_HELP)
    parser.add_argument("--outside", default="both", metavar="KIND", help=OUTSIDE_HELP)
    parser.add_argument(
        "--min-similarity", type=float, default=-1.0, metavar="S", help=SIMILARITY_HELP
    )
    add_class_flags(parser)
    return parser


def run(args: argparse.Namespace) -> None:
    """Name the boxes, write the file and print the counts."""
    require_grounding("boxrefine name")
    from boxrefine_d2.language.build import build_clip  # needs the extra `grounding`
    from boxrefine_d2.segmentation.class_names import class_names
    from boxrefine_d2.segmentation.naming import NamingSettings, name_boxes

    settings = NamingSettings(
        classes=class_names(args.classes),
        templates=args.template,
        margin=args.margin,
        outside=args.outside,
        min_similarity=args.min_similarity,
        num_workers=args.num_workers,
    )
    settings.check()
    check_device(args.device)
    check_output_file(args.output, inputs=[args.input, *files_of_spec(args.data), args.classes])
    clip = build_clip(args.clip, args.weights).to(args.device)
    counts = name_boxes(clip, args.data, args.input, args.output, settings)
    print(f"{counts.to_text(args.min_similarity)}\n{args.output}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command. Returns: 0, or 2 for a user's mistake."""
    return run_command(lambda: run(parser().parse_args(argv)))
