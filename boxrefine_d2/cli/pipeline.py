"""Runs the stages that a YAML file lists, each of them a script of tools/.

Completed stages are skipped if command, configuration and inputs are unchanged; an interrupted one goes on.
"""

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from boxrefine_d2.errors import CommandParser, UserError, run_command
from boxrefine_d2.files.shipped import find_config, shipped_tools
from boxrefine_d2.workflow import Stage, plan_of_file, run_plan

EXAMPLES = (
    "boxrefine pipeline configs/pipelines/demo.yaml",
    "boxrefine pipeline plan.yaml folder=output/again seed=1",
)


def main(argv: Sequence[str] | None = None, tools: Path | None = None) -> int:
    """The command; 0, 2 for a user's mistake, or what a failed stage returned. Args: tools: the folder of the commands."""
    kept = "finished stages are kept, the same command goes on from there"
    return run_command(lambda: _run(parser().parse_args(argv), tools or shipped_tools()), kept)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = CommandParser(description=__doc__, examples=EXAMPLES)
    parser.add_argument(
        "file", metavar="FILE.yaml", help="also one that ships, configs/pipelines/..."
    )
    parser.add_argument(
        "changes",
        nargs="*",
        default=[],
        metavar="KEY=VALUE",
        help="of 'folder' and the values under 'set'",
    )
    return parser


def _run(args: argparse.Namespace, tools: Path) -> int:
    pairs = [change.partition("=") for change in args.changes]
    wrong = [change for change, (_, sign, _) in zip(args.changes, pairs, strict=True) if not sign]
    if wrong:
        raise UserError(f"{wrong[0]!r} is no KEY=VALUE")
    stages = plan_of_file(find_config(args.file), {key: value for key, _, value in pairs})
    return run_plan(stages, tools, partial(print, flush=True), _check)


def _check(stage: Stage) -> None:
    """A training command with what it would refuse at its start, which may come hours after the first stage's."""
    if stage.command[0] in ("train_net.py", "train_cad.py"):
        from boxrefine_d2.training.command import check_command  # takes seconds

        check_command(stage.command[1:])
