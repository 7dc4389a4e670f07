"""Write the boxes, the maps' list and the page of a finished localisation."""

import argparse
from collections.abc import Sequence

from boxrefine_d2.cli.help_texts import OUTPUT_FOLDER
from boxrefine_d2.data.dataset_spec import files_of_spec
from boxrefine_d2.errors import CommandParser, UserError, run_command
from boxrefine_d2.files.names import user_path
from boxrefine_d2.files.outputs import check_output_file, output_folder_if_done
from boxrefine_d2.localization.box_labels import BOXES_FILE
from boxrefine_d2.localization.localization_evaluator import LOCALIZATION_FILE
from boxrefine_d2.localization.plan import OPTIONS, PAGE
from boxrefine_d2.localization.result import source_results, write_result
from boxrefine_d2.report.localization_page import LocalizationRun, write_localization_page
from boxrefine_d2.report.run_folder import read_finished

EXAMPLES = (
    "boxrefine localize result --data classes:photos --runs output/classifier "
    "--output output/result",
    "boxrefine localize result --data classes:photos --runs output/classifier output/weight_map "
    "--output output/result --shown 60",
)

DATA_HELP = "dataset spec of the images, in DATASETS.TEST of the last run"
RUNS_HELP = "output directories of the trainings in order; the last one drew the boxes"
SHOWN_HELP = f"{OPTIONS['shown'].meaning}; default: %(default)s"


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = CommandParser(description=__doc__, examples=EXAMPLES)
    parser.add_argument("--data", required=True, metavar="SPEC", help=DATA_HELP)
    parser.add_argument(
        "--runs", required=True, nargs="+", type=user_path, metavar="DIR", help=RUNS_HELP
    )
    most = OPTIONS["shown"].default
    parser.add_argument("--shown", type=int, default=most, metavar="N", help=SHOWN_HELP)
    parser.add_argument(
        "--output", required=True, type=user_path, metavar="DIR", help=OUTPUT_FOLDER
    )
    return parser


def run(args: argparse.Namespace) -> None:
    """Write the files, and print the path of the page."""
    if not OPTIONS["shown"].limit.holds(args.shown):
        raise UserError(f"--shown is {args.shown}; it must be {OPTIONS['shown'].limit.allowed}")
    runs = [read_finished(folder) for folder in args.runs]
    results = source_results(runs[-1].folder, runs[-1].cfg, args.data)
    read = [result.folder / name for result in results for name in (BOXES_FILE, LOCALIZATION_FILE)]
    with output_folder_if_done(args.output):
        for name in (BOXES_FILE, LOCALIZATION_FILE, PAGE):
            check_output_file(args.output / name, inputs=[*files_of_spec(args.data), *read])
    write_result(results[0], args.output)
    found = LocalizationRun(args.data, runs, results, args.output)
    write_localization_page(args.output / PAGE, found, args.shown)
    print(f"{args.output / PAGE}: open it in a browser")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command. Returns: 0, or 2 for a user's mistake."""
    return run_command(lambda: run(parser().parse_args(argv)))
