"""Progress bars of all long work: amount, rate and remaining time, on stderr.

A terminal shows one line that is updated. A log gets a new line from time to time.
"""

import sys
from collections.abc import Iterable, Sized
from typing import Any, TextIO, TypeAlias, TypeVar

from tqdm import tqdm

T = TypeVar("T")
Bar: TypeAlias = "tqdm[Any]"

SECONDS_OF_SILENCE = 2.0  # shorter work shows no bar
SECONDS_BETWEEN_LINES = 15.0  # where stderr is no terminal
_LINE = "{percentage:3.0f} %, {n_fmt} of {total_fmt} [{elapsed}<{remaining}, {rate_fmt}{postfix}]"
_LINE_WITHOUT_TOTAL = "{n_fmt}{unit} [{elapsed}, {rate_fmt}{postfix}]"


def progress_bar(
    work: str = "",
    *,
    total: int | None = None,
    unit: str = "img",
    done: int = 0,
    delay: float = SECONDS_OF_SILENCE,
    shown: bool = True,
    seconds: float = SECONDS_BETWEEN_LINES,
) -> Bar:
    """Return a bar; its caller moves it with `update` and closes it, preferably by `with`.

    Args:
        work: name of the work, a word or two.
        total: amount of work; None if it is not known.
        unit: unit of the amount.
        done: part of `total` that was done before; the rate does not count it.
        delay: seconds before the bar appears.
        shown: False for a process that stays silent, such as all but the first of several.
        seconds: seconds between two lines if stderr is no terminal.
    """
    line = _LINE if total is not None else _LINE_WITHOUT_TOTAL
    plain: dict[str, Any] = {
        "file": _Lines(sys.stderr),
        "mininterval": seconds,
        "miniters": 1,
        "bar_format": f"{{desc}}: {line}" if work else line,
        "leave": False,
        "position": 0,  # no escapes that move to another line
    }
    return tqdm(
        desc=work or None,
        total=total,
        initial=done,
        unit=unit if total is not None else f" {unit}",  # "1.3s/img", "7 files"
        delay=delay,
        disable=not shown,
        **({} if sys.stderr.isatty() else plain),
    )


def with_progress(
    items: Iterable[T],
    work: str,
    total: int | None = None,
    *,
    unit: str = "img",
    shown: bool = True,
) -> Iterable[T]:
    """Yield the items behind a bar that counts them.

    Args: see `progress_bar`; the default of `total` is `len(items)`, if it is known.
    """
    if total is None and isinstance(items, Sized):
        total = len(items)
    with progress_bar(work, total=total, unit=unit, shown=shown) as bar:
        for item in items:
            yield item
            bar.update()


class _Lines:
    """Stream on which a bar writes new lines in place of updating one, for logs."""

    def __init__(self, file: TextIO):
        self._file = file

    def write(self, text: str) -> None:
        line = text.strip()
        if line:
            self._file.write(f"{line}\n")

    def flush(self) -> None:
        self._file.flush()
