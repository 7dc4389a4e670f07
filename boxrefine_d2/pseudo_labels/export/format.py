"""The types of an export: its input and its format."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .labelled_images import LabelledImage


@dataclass(frozen=True)
class Export:
    """The input of a format's writer.

    Attributes:
        source: path of the pseudo-label file, for messages.
        images: all images of the file, including those without boxes.
        home: absolute path that the complete folder will have.
        categories: id -> name of each category.
    """

    source: str
    images: Sequence[LabelledImage]
    home: Path
    categories: Mapping[int, str]


# Writes an export into an empty folder. Raises UserError if the labels do not fit the format.
Writer = Callable[[Export, Path], None]


@dataclass(frozen=True)
class Format:
    """An export format.

    Attributes:
        write: the format's writer.
        entries: names that the writer creates at the top of its folder. --overwrite replaces these
            names only.
        is_own: function that returns True for a folder at the top of an earlier export that is not
            in `entries` but holds only files that the writer wrote.
    """

    write: Writer
    entries: frozenset[str]
    is_own: Callable[[Path], bool] = lambda folder: False
