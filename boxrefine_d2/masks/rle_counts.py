"""Check of the counts of many compressed RLE masks at once, without decoding the masks.

In COCO's text one character holds five bits of a number, the lowest first. Its sixth bit says that
more bits follow. Each number after the third is the difference from the number two before it.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

LONGEST = 6  # most characters of one number; enough for 2**29 pixels


def all_fill(counts: Sequence[bytes], pixels: int) -> bool:
    """Return whether all masks are sound: no number is cut short or negative, and sums fit.

    The numbers of a sound mask add up to its pixels. For an unsound mask COCO's code may return
    uninitialised memory, read beyond its end or never return.

    >>> all_fill([b"522", b"072"], 9), all_fill([b"522", b"071"], 9)
    (True, False)

    Args:
        counts: counts of at least one mask.
        pixels: pixels of each mask.
    """
    codes = np.frombuffer(b"".join(counts), np.uint8) - np.uint8(ord("0"))
    if not all(counts) or codes.max() >= 64:
        return False
    ends = np.cumsum([len(text) for text in counts])
    last = np.flatnonzero(codes < 32)  # the characters that end a number
    widths = np.diff(last, prepend=-1)
    if not (codes[ends - 1] < 32).all() or widths.max() > LONGEST:
        return False
    stops = np.searchsorted(last, ends)  # count of numbers up to the end of each mask
    starts = np.concatenate([[0], stops[:-1]])
    runs = _runs(_numbers(codes, last, widths), starts, stops - starts)
    totals = np.add.reduceat(runs, starts, dtype=np.int64)
    return bool(runs.min() >= 0 and (totals == pixels).all())


def _numbers(
    codes: NDArray[np.uint8], last: NDArray[np.intp], widths: NDArray[np.intp]
) -> NDArray[np.int32]:
    """Return the numbers as written in the text, of all masks one after the other."""
    numbers = (codes[last] ^ 16).astype(np.int32) - 16  # the last character's fifth bit is the sign
    for place in range(1, widths.max()):
        longer = np.flatnonzero(widths > place)
        numbers[longer] = (numbers[longer] << 5) + (codes[last[longer] - place] & 31)
    return numbers


def _runs(
    numbers: NDArray[np.int32], starts: NDArray[np.intp], lengths: NDArray[np.intp]
) -> NDArray[np.int32]:
    """Return the lengths of the runs, with the differences resolved within each mask.

    The numbers are modulo 2**32, as in COCO's code.

    Args:
        numbers: the numbers of all masks.
        starts: index of the first number of each mask.
        lengths: count of the numbers of each mask.
    """
    # sums[i + 1] = numbers[i] + numbers[i - 2] + ...; each mask subtracts the sum before its start
    sums = np.zeros(len(numbers) + 1, np.int32)
    np.cumsum(numbers[0::2], out=sums[1::2])
    np.cumsum(numbers[1::2], out=sums[2::2])
    is_odd = (np.arange(len(numbers)) - np.repeat(starts, lengths)) & 1 > 0
    before = np.where(
        is_odd, np.repeat(sums[starts], lengths), np.repeat(sums[starts + 1], lengths)
    )
    runs = sums[1:] - before
    runs[starts] = numbers[starts]
    return runs
