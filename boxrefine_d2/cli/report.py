"""Write the page of one finished run: its results in numbers and figures, in one HTML file.

The page needs no scripts. RUN_DIR is the OUTPUT_DIR of train_net.py, for a run that trained or
refined g (HeatmapTraining, GroundingRefiner) or that refined f (BoxRefiner). The figures show
results of its final model. A run of BoxRefiner without test data has a page without accuracies.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from boxrefine_d2.cli.help_texts import OUTPUT_PAGE
from boxrefine_d2.errors import CommandParser, UserError, run_command
from boxrefine_d2.files.names import user_path
from boxrefine_d2.files.outputs import check_output_file
from boxrefine_d2.grounding.grounding_command import named_files
from boxrefine_d2.report import read_run, summarise, write_page
from boxrefine_d2.report.grounding_kinds import GROUNDING_KINDS
from boxrefine_d2.report.grounding_page import SHOWN_PHRASES, write_grounding_page
from boxrefine_d2.report.grounding_run import read_grounding_run
from boxrefine_d2.report.run_folder import read_finished
from boxrefine_d2.report.unlabelled_page import write_unlabelled_page

EXAMPLES = (
    "boxrefine report output/lost",
    "boxrefine report output/grounding --phrases 40 --output page.html",
)

RUN_DIR_HELP = "output directory of the run"
OUTPUT_HELP = f"{OUTPUT_PAGE}; default: report.html in RUN_DIR"
PHRASES_HELP = (
    "most phrases per test data set, or most images for a run without phrases; default: %(default)s"
)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = CommandParser(description=__doc__, examples=EXAMPLES)
    parser.add_argument("run_dir", type=user_path, metavar="RUN_DIR", help=RUN_DIR_HELP)
    parser.add_argument("--output", type=user_path, metavar="FILE.html", help=OUTPUT_HELP)
    parser.add_argument(
        "--phrases", type=int, default=SHOWN_PHRASES, metavar="N", help=PHRASES_HELP
    )
    return parser


def run(args: argparse.Namespace) -> None:
    """Write the page for the run's kind, and print its path."""
    if args.phrases < 1:
        raise UserError(f"{args.phrases} phrases were asked for; give 1 or more")
    run = read_finished(args.run_dir)
    run.check_recorded()
    name = run.cfg.MODEL.META_ARCHITECTURE
    writers = {"BoxRefiner": _write_box_page} | dict.fromkeys(GROUNDING_KINDS, _write_phrase_page)
    if name not in writers:
        raise UserError(
            f"the run in {args.run_dir} is of {name}, which has no page; there is one for "
            f"{', '.join(writers)}"
        )
    write: Callable[[Path, Path, int], None] = writers[name]
    output = args.output or args.run_dir / "report.html"
    run_files = [path for path in args.run_dir.rglob("*") if path.suffix != ".html"]
    check_output_file(output, inputs=[*run_files, *named_files(run.cfg)])
    write(args.run_dir, output, args.phrases)
    print(f"{output}: open it in a browser")


def _write_box_page(folder: Path, output: Path, shown: int) -> None:
    finished = read_finished(folder)
    if not finished.cfg.DATASETS.TEST:
        write_unlabelled_page(output, finished, shown)
        return
    run = read_run(folder)
    write_page(output, summarise([run]), [run], shown)


def _write_phrase_page(folder: Path, output: Path, shown: int) -> None:
    write_grounding_page(output, read_grounding_run(folder), shown)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command. Returns: 0, or 2 for a user's mistake."""
    return run_command(lambda: run(parser().parse_args(argv)))
