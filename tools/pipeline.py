"""Runs the stages that a YAML file lists, each of them a command of this folder: `python tools/pipeline.py FILE.yaml
[KEY=VALUE ...]`. What is done already is passed over, what was interrupted goes on.
"""

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from boxrefine_d2.errors import CommandParser, UserError, run_command
from boxrefine_d2.files.shipped_configs import find_config
from boxrefine_d2.workflow import Stage, plan_of_file, run_plan


def main(argv: Sequence[str] | None = None) -> int:
    """The command; 0, 2 for a user's mistake, or what a failed stage returned."""
    kept = "finished stages are kept, the same command goes on from there"
    return run_command(lambda: _run(argv), kept)


def _run(argv: Sequence[str] | None) -> int:
    parser = CommandParser(prog="pipeline.py", description=__doc__)
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
    args = parser.parse_args(argv)
    pairs = [change.partition("=") for change in args.changes]
    wrong = [change for change, (_, sign, _) in zip(args.changes, pairs, strict=True) if not sign]
    if wrong:
        raise UserError(f"{wrong[0]!r} is no KEY=VALUE")
    stages = plan_of_file(find_config(args.file), {key: value for key, _, value in pairs})
    return run_plan(stages, Path(__file__).parent, partial(print, flush=True), _check)


def _check(stage: Stage) -> None:
    """A training command with what it would refuse at its start, which may come hours after the first stage's."""
    if stage.command[0] in ("train_net.py", "train_cad.py"):
        from boxrefine_d2.training.command import check_command  # takes seconds

        check_command(stage.command[0], stage.command[1:])


if __name__ == "__main__":
    sys.exit(main())
