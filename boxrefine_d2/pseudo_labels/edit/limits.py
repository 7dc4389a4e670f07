"""Limits of the numbers that edits take."""

import math
from collections.abc import Sequence
from itertools import combinations

from boxrefine_d2.errors import UserError
from boxrefine_d2.files.inputs import FilePath
from boxrefine_d2.files.outputs import is_same_file


def check_score(score: float) -> None:
    """Refuse a lowest score that is not finite. Raises: UserError."""
    if not math.isfinite(score):
        raise UserError(f"the lowest score is {score}; give a finite number")


def check_iou(iou: float) -> None:
    """Refuse an IoU outside (0, 1]. Raises: UserError."""
    if not 0 < iou <= 1:
        raise UserError(f"the IoU is {iou}; give a number above 0 and at most 1")


def check_share(flag: str, share: float) -> None:
    """Refuse a share of an image outside [0, 1]. Raises: UserError, naming the flag."""
    if not 0 <= share <= 1:
        raise UserError(f"{flag} is {share}; give a share of the image from 0 to 1")


def check_apart(paths: Sequence[FilePath]) -> None:
    """Refuse a file that would be compared with itself, or counted twice. Raises: UserError."""
    for path, other in combinations(paths, 2):
        if is_same_file(path, other):
            raise UserError(
                f"{str(path)!r} is given twice, and a file always agrees with itself; name another "
                "file"
            )
