"""Entry of the commands that run stages."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from boxrefine_d2.errors import run_command
from boxrefine_d2.files.shipped import shipped_tools

KEPT = "finished stages are kept; the same command continues from there"


def run_stages_command(
    parser: Callable[[], argparse.ArgumentParser],
    run: Callable[[argparse.Namespace, Path], int],
    argv: Sequence[str] | None,
    tools: Path | None,
) -> int:
    """Parse the arguments and run the stages.

    Args:
        run: function of the arguments and the folder of the tools; it returns an exit code.
        tools: folder of the tools that stages run; None is the one that ships.
    Returns: 0, 2 for a user's mistake, or the exit code of a failed stage.
    """
    return run_command(lambda: run(parser().parse_args(argv), tools or shipped_tools()), KEPT)
