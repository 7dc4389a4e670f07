"""Draw a contact sheet of pseudo-label files: one HTML page of images with boxes and masks."""

import argparse
from collections.abc import Sequence

from boxrefine_d2.cli.help_texts import MAX_BOXES, MIN_BOX_SCORE, OUTPUT_PAGE
from boxrefine_d2.data.dataset_spec import files_of_spec
from boxrefine_d2.errors import CommandParser, run_command
from boxrefine_d2.files.names import user_name, user_path
from boxrefine_d2.files.outputs import check_output_file
from boxrefine_d2.report.compared_files import SORTS
from boxrefine_d2.report.contact_sheet import SHOWN_IMAGES, load_sheet, write_contact_sheet

EXAMPLES = (
    "boxrefine sheet --input labels.json --data folder:photos --output sheet.html",
    "boxrefine sheet --input lost.json cad.json --data folder:photos --output sheet.html "
    "--sort disagreement",
)

INPUT_HELP = "pseudo-label files to read; two or more are compared"
DATA_HELP = "dataset spec from which the files were made, e.g. folder:DIR"
IMAGES_HELP = "most images on the page; default: %(default)s"
SORT_HELP = "order of the images; default: score for one file, disagreement for several"
COLUMNS_HELP = "images in a row of a wide screen; default: as many as fit"


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = CommandParser(description=__doc__, examples=EXAMPLES)
    parser.add_argument(
        "--input",
        required=True,
        type=user_name,
        nargs="+",
        action="extend",
        metavar="FILE.json",
        help=INPUT_HELP,
    )
    parser.add_argument("--data", required=True, metavar="SPEC", help=DATA_HELP)
    parser.add_argument(
        "--output", required=True, type=user_path, metavar="PAGE.html", help=OUTPUT_PAGE
    )
    parser.add_argument("--images", type=int, default=SHOWN_IMAGES, metavar="N", help=IMAGES_HELP)
    parser.add_argument("--sort", metavar="|".join(SORTS), help=SORT_HELP)
    parser.add_argument("--columns", type=int, metavar="N", help=COLUMNS_HELP)
    parser.add_argument("--min-score", type=float, metavar="S", help=MIN_BOX_SCORE)
    parser.add_argument("--max-boxes", type=int, metavar="N", help=MAX_BOXES)
    return parser


def run(args: argparse.Namespace) -> None:
    """Draw the page and print a summary."""
    choice = {"min_score": args.min_score, "max_boxes": args.max_boxes}
    check_output_file(args.output, inputs=[*args.input, *files_of_spec(args.data)])
    sheet = load_sheet(args.data, args.input, args.sort, **choice)
    check_output_file(args.output, inputs=(x.record["file_name"] for x in sheet.images))
    summary = write_contact_sheet(args.output, sheet, args.images, args.columns)
    print(f"{summary}; {args.output}: open it in a browser")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command. Returns: 0, or 2 for a user's mistake."""
    return run_command(lambda: run(parser().parse_args(argv)))
