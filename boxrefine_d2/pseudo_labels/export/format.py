"""What a format is given, and what it is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from .labelled_images import LabelledImage


@dataclass(frozen=True)
class Export:
    """What is written.

    Attributes:
        source: the pseudo-label file, for messages.
        images: all of its images, also those without boxes.
        home: where the folder will stand, absolute, when it is whole.
    """

    source: str
    images: Sequence[LabelledImage]
    home: Path


# Writes an export into an empty folder. Raises UserError if the labels do not fit the format.
Writer = Callable[[Export, Path], None]


@dataclass(frozen=True)
class Format:
    """A format by its parts.

    Attributes:
        write: its writer.
        entries: names that it leaves at the top of its folder. --overwrite replaces these and nothing else.
        is_own: whether a folder at the top of an earlier export, not among `entries`, holds nothing but what it wrote.
    """

    write: Writer
    entries: frozenset[str]
    is_own: Callable[[Path], bool] = lambda folder: False
