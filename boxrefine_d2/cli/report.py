"""The page of one finished run: what it found, in numbers and pictures, in one HTML file without scripts.

RUN_DIR is the OUTPUT_DIR of train_net.py: of a run that trained or refined g (HeatmapTraining, GroundingRefiner) or that
refined f (BoxRefiner). Its final model draws the pictures.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from boxrefine_d2.errors import CommandParser, UserError, run_command
from boxrefine_d2.files.names import user_path
from boxrefine_d2.files.outputs import check_output_file
from boxrefine_d2.grounding.grounding_command import named_files
from boxrefine_d2.report import read_run, summarise, write_page
from boxrefine_d2.report.grounding_kinds import GROUNDING_KINDS
from boxrefine_d2.report.grounding_page import SHOWN_PHRASES, write_grounding_page
from boxrefine_d2.report.grounding_run import read_grounding_run
from boxrefine_d2.report.run_folder import read_finished

EXAMPLES = (
    "boxrefine report output/lost",
    "boxrefine report output/grounding --phrases 40 --output page.html",
)

PHRASES_HELP = "phrases of each test data set, at most; of a run without phrases images"


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = CommandParser(description=__doc__, examples=EXAMPLES)
    parser.add_argument("run_dir", type=user_path, metavar="RUN_DIR")
    parser.add_argument(
        "--output", type=user_path, metavar="FILE.html", help="default: report.html in RUN_DIR"
    )
    parser.add_argument(
        "--phrases", type=int, default=SHOWN_PHRASES, metavar="N", help=PHRASES_HELP
    )
    return parser


def run(args: argparse.Namespace) -> None:
    """Writes the page that fits the run."""
    if args.phrases < 1:
        raise UserError(f"{args.phrases} phrases were asked for; give 1 or more")
    run = read_finished(args.run_dir)
    run.check_recorded()
    name = run.cfg.MODEL.META_ARCHITECTURE
    writers = {"BoxRefiner": _write_box_page} | dict.fromkeys(GROUNDING_KINDS, _write_phrase_page)
    if name not in writers:
        raise UserError(
            f"the run in {args.run_dir} is of {name}, which has no page; there is one for {', '.join(writers)}"
        )
    write: Callable[[Path, Path, int], None] = writers[name]
    output = args.output or args.run_dir / "report.html"
    left = [path for path in args.run_dir.rglob("*") if path.suffix != ".html"]
    check_output_file(output, inputs=[*left, *named_files(run.cfg)])
    write(args.run_dir, output, args.phrases)
    print(f"{output}: open it in a browser")


def _write_box_page(folder: Path, output: Path, shown: int) -> None:
    found = read_run(folder)
    write_page(output, summarise([found]), [found], shown)


def _write_phrase_page(folder: Path, output: Path, shown: int) -> None:
    write_grounding_page(output, read_grounding_run(folder), shown)


def main(argv: Sequence[str] | None = None) -> int:
    """The command; 0, or 2 for a user's mistake."""
    return run_command(lambda: run(parser().parse_args(argv)))
