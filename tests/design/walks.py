"""Tracer of the files that a reader opens to follow one datum through the package.

A walk begins at a function of the package and ends when this function returns. A *leaf* is a file
behind a contract; its name, types and docstring explain it. The *spine* of a walk consists of the
files of all its calls, except leaves and the files below them. A *climb* is a call of a file that
still waits for a file below it: A calls B, and B calls back into A through a closure, a hook or an
override.
"""

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import boxrefine_d2

PACKAGE = Path(boxrefine_d2.__file__).parent

# (pattern of files, their contract or None); the first pattern that fits counts.
LEAVES: tuple[tuple[str, str | None], ...] = (
    ("discovery/mask_*.py", None),
    ("discovery/*", "DiscoveryRule"),
    ("networks/read_map.py", None),
    ("networks/padding.py", None),
    ("networks/recurring.py", None),
    ("networks/*", "MapNetwork, build_network"),
    ("refinement/phased_refiner.py", "PhasedRefiner"),
    ("refinement/map_inputs.py", "MapDetector: its input"),
    ("refinement/map_detector.py", "MapDetector: its predictions"),
    ("refinement/criterion.py", "MapDetector: its losses"),
    ("refinement/preservation.py", "PreservationLoss"),
    ("refinement/region_loss.py", "RegionLoss"),
    ("language/*", "CLIP: its embeddings, its relevance, its losses"),
    ("data/loaders.py", "the batch"),
    ("structures/*", "structures"),
    ("config*", "the configuration"),
    ("errors.py", "a user's mistake"),
)


@dataclass
class Walk:
    """The files of a walk.

    Attributes:
        opened: every file of the package with a call, in order.
        spine: the opened files that are neither a leaf nor below one, in order.
        climbs: (file below, file above that it calls) on the spine, in order.
        entries: file on the spine -> number of its calls from another file.
    """

    opened: list[str] = field(default_factory=list)
    spine: list[str] = field(default_factory=list)
    climbs: list[tuple[str, str]] = field(default_factory=list)
    entries: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        return (
            f"{len(self.opened)} files opened, {len(self.spine)} on the spine, "
            f"{len(self.climbs)} climbs\n"
            f"  spine: {', '.join(f'{file} ({self.entries[file]})' for file in self.spine)}\n"
            f"  climbs: {', '.join(f'{low} > {high}' for low, high in self.climbs) or 'none'}\n"
            f"  opened: {', '.join(self.opened)}"
        )


@contextmanager
def walked(entry: Callable[..., Any]) -> Iterator[Walk]:
    """Trace the calls of `entry`, a function of the package, while the context is open."""
    walk, code = Walk(), entry.__code__

    def on_call(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and _file(frame) is not None:
            files = _waiting_files(frame, code)
            if files:
                _note(walk, files, _caller(frame) == files[-1])

    before = sys.gettrace()
    sys.settrace(on_call)
    try:
        yield walk
    finally:
        sys.settrace(before)


def leaf(file: str) -> str | None:
    """Return the contract of a file; None if it is not a leaf or has no contract."""
    return next((contract for pattern, contract in LEAVES if fnmatch(file, pattern)), None)


def _note(walk: Walk, files: list[str], from_itself: bool) -> None:
    """Add a call to a walk.

    Args: files: from the entry down to the called file.  from_itself: True if it called itself.
    """
    called = files[-1]
    if called not in walk.opened:
        walk.opened.append(called)
    if any(leaf(file) for file in files):
        return
    if called not in walk.spine:
        walk.spine.append(called)
    if not from_itself:
        walk.entries[called] += 1
    if called in files[:-1] and (files[-2], called) not in walk.climbs:
        walk.climbs.append((files[-2], called))


def _waiting_files(frame: FrameType, entry: CodeType) -> list[str]:
    """Return the files of the calls that wait for a frame, from the entry down to the frame's own.

    Equal neighbours appear once. The list is empty for an import, and for a frame that the entry
    did not call.
    """
    files: list[str] = []
    at: FrameType | None = frame
    while at is not None and at.f_code.co_name != "<module>":
        file = _file(at)
        if file is not None and files[-1:] != [file]:
            files.append(file)
        if at.f_code is entry:
            return files[::-1]
        at = at.f_back
    return []


def _caller(frame: FrameType) -> str | None:
    """Return the file of the package that called a frame, directly or through a library."""
    at = frame.f_back
    while at is not None and _file(at) is None:
        at = at.f_back
    return None if at is None else _file(at)


def _file(frame: FrameType) -> str | None:
    path = Path(frame.f_code.co_filename)
    return str(path.relative_to(PACKAGE)) if path.is_relative_to(PACKAGE) else None
