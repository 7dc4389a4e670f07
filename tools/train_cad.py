"""Trains a detector that reads images on pseudo-labels: CAD, or CutLER's."""

import sys
from collections.abc import Sequence

from boxrefine_d2.training.command import training_command


def main(argv: Sequence[str] | None = None) -> int:
    """The command; 0, or 2 for a user's mistake."""
    return training_command("train_cad.py", __doc__, argv)


if __name__ == "__main__":
    sys.exit(main())
