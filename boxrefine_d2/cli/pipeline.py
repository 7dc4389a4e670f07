"""Run the stages that a YAML file lists. Each stage runs a script of tools/.

Completed stages are skipped if command, configuration and inputs are unchanged. An interrupted
stage continues.
"""

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from boxrefine_d2.cli.stages_command import run_stages_command
from boxrefine_d2.errors import CommandParser, UserError
from boxrefine_d2.files.shipped import find_config
from boxrefine_d2.workflow import Stage, plan_of_file, run_plan

EXAMPLES = (
    "boxrefine pipeline configs/pipelines/demo.yaml",
    "boxrefine pipeline plan.yaml folder=output/again seed=1",
)

FILE_HELP = (
    "path of a pipeline file, or name of one that ships, such as configs/pipelines/demo.yaml"
)
CHANGES_HELP = "changes to 'folder' and to the values under 'set'; default: none"


def main(argv: Sequence[str] | None = None, tools: Path | None = None) -> int:
    """Run the command; see `run_stages_command`."""
    return run_stages_command(parser, _run, argv, tools)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = CommandParser(description=__doc__, examples=EXAMPLES)
    parser.add_argument("file", metavar="FILE.yaml", help=FILE_HELP)
    parser.add_argument("changes", nargs="*", default=[], metavar="KEY=VALUE", help=CHANGES_HELP)
    return parser


def _run(args: argparse.Namespace, tools: Path) -> int:
    pairs = [change.partition("=") for change in args.changes]
    wrong = [change for change, (_, sign, _) in zip(args.changes, pairs, strict=True) if not sign]
    if wrong:
        raise UserError(f"{wrong[0]!r} is not of the form KEY=VALUE")
    stages = plan_of_file(find_config(args.file), {key: value for key, _, value in pairs})
    return run_plan(stages, tools, partial(print, flush=True), _check)


def _check(stage: Stage) -> None:
    """Refuse a training command now that would fail at its start, hours after the first stage."""
    if stage.command[0] in ("train_net.py", "train_cad.py"):
        from boxrefine_d2.training.command import check_command  # the import takes seconds

        check_command(stage.command[1:])
