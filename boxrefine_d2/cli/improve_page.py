"""Write the page of an improvement: the verdict, its signals, and boxes before and after."""

import argparse
from collections.abc import Sequence

from boxrefine_d2.cli.help_texts import DATA, OUTPUT_PAGE
from boxrefine_d2.cli.improve_verdict import add_compared_files
from boxrefine_d2.data.dataset_spec import files_of_spec
from boxrefine_d2.errors import CommandParser, UserError, run_command
from boxrefine_d2.files.names import user_path
from boxrefine_d2.files.outputs import check_output_file
from boxrefine_d2.improvement import OPTIONS
from boxrefine_d2.report.improvement_page import ImprovementFiles, write_improvement_page

EXAMPLES = (
    "boxrefine improve page --data folder:photos --verdict output/verdict/verdict.json "
    "--before before.json --after after.json --refined refined.safetensors --runs output/refine "
    "--output page.html",
    "boxrefine improve page --data folder:photos --verdict output/verdict/verdict.json "
    "--before before.json --after after.json --refined refined.safetensors --runs output/refine "
    "--detector output/detector --output page.html --shown 24",
)

VERDICT_HELP = "verdict.json of boxrefine improve verdict"
DETECTOR_HELP = "output directory of the detector; default: none"
SHOWN_HELP = f"{OPTIONS['shown'].meaning}; default: %(default)s"


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = CommandParser(description=__doc__, examples=EXAMPLES)
    parser.add_argument("--data", required=True, metavar="SPEC", help=DATA)
    parser.add_argument(
        "--verdict", required=True, type=user_path, metavar="FILE.json", help=VERDICT_HELP
    )
    add_compared_files(parser)
    parser.add_argument("--detector", type=user_path, metavar="DIR", help=DETECTOR_HELP)
    most = OPTIONS["shown"].default
    parser.add_argument("--shown", type=int, default=most, metavar="N", help=SHOWN_HELP)
    parser.add_argument(
        "--output", required=True, type=user_path, metavar="PAGE.html", help=OUTPUT_PAGE
    )
    return parser


def run(args: argparse.Namespace) -> None:
    """Write the page, and print its path."""
    if not OPTIONS["shown"].limit.holds(args.shown):
        raise UserError(f"--shown is {args.shown}; it must be {OPTIONS['shown'].limit.allowed}")
    read = [args.verdict, args.before, *args.after, *files_of_spec(args.data)]
    check_output_file(args.output, inputs=read)
    files = ImprovementFiles(
        args.data, args.verdict, args.before, args.after, args.refined, args.runs, args.detector
    )
    write_improvement_page(args.output, files, args.shown)
    print(f"{args.output}: open it in a browser")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command. Returns: 0, or 2 for a user's mistake."""
    return run_command(lambda: run(parser().parse_args(argv)))
