"""The file that an edit writes: labels, the record of the edit in `info`, and counts."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import boxrefine_d2
from boxrefine_d2.data.pseudo_label_file import write_ordered_pseudo_labels
from boxrefine_d2.errors import UserError
from boxrefine_d2.progress import with_progress

from .edits import EditedLabels, score_of
from .label_file import Entry, LabelFile


@dataclass(frozen=True)
class EditSummary:
    """Counts of an edit.

    Attributes:
        images: number of images that the written file lists.
        touched: number of images that lost or gained a label.
        empty: number of images without labels after the edit.
        kept, dropped: numbers of labels of the edited file that stayed and that went.
        added: number of labels from the second file.
        notes: further remarks for the user.
    """

    images: int
    touched: int
    empty: int
    kept: int
    dropped: int
    added: int
    notes: tuple[str, ...] = ()

    def with_notes(self, *notes: str) -> "EditSummary":
        """Return the same counts with these notes; empty notes are left out."""
        return replace(self, notes=tuple(note for note in notes if note))

    def __str__(self) -> str:
        counts = (
            f"{self.images} images, {self.touched} touched, {self.empty} without labels: "
            f"{self.kept} labels kept, {self.dropped} dropped, {self.added} added"
        )
        return "; ".join([counts, *self.notes])


@dataclass(frozen=True)
class Edit:
    """An edit of a file, as the written file records it.

    Attributes:
        name: name of the command.  parameters: all parameters, with the values used.
        inputs: input files by their role in the edit: first the edited file, then those
            that the edit compares it with.
        remedy: advice to the user for the case that no label is left; a function makes it after
            the edit.
    """

    name: str
    parameters: Mapping[str, Any]
    inputs: Mapping[str, LabelFile]
    remedy: str | Callable[[], str]

    @property
    def file(self) -> LabelFile:
        """The edited file."""
        return next(iter(self.inputs.values()))

    def info(self) -> dict[str, Any]:
        """Return the edited file's info with one more entry in its list `edits`.

        The entry holds the edit's name, its parameters and the name and SHA-256 of each input. For
        a further input it also holds that file's info.
        """
        inputs = {
            role: {"file": file.name, "sha256": file.sha256}
            | ({} if file is self.file else {"info": file.info})
            for role, file in self.inputs.items()
        }
        step = {
            "edit": self.name,
            "parameters": dict(self.parameters),
            "inputs": inputs,
            "software": "boxrefine_d2",
            "version": boxrefine_d2.__version__,
        }
        earlier = self.file.info.get("edits")
        return self.file.info | {"edits": [*(earlier if isinstance(earlier, list) else []), step]}


def write_edited(
    output: str | os.PathLike[str],
    edit: Edit,
    *,
    images: Iterable[Entry],
    image_count: int,
    edited: Iterable[tuple[int, EditedLabels]],
) -> EditSummary:
    """Write the pseudo-label file of an edit, with at most one image's labels in memory.

    Args:   images: images that the file lists, in order.  image_count: their number.
            edited: for each image, in the same order, its number of labels before the edit and its
            labels after the edit.
    Raises: UserError if no label is left or the output cannot be written; no file is written then.
    """
    counts: Counter[str] = Counter()
    progress = with_progress(edited, edit.name, image_count)
    labels = _labels(progress, counts, edit)
    try:
        write_ordered_pseudo_labels(
            output,
            images=images,
            annotations=labels,
            info=edit.info(),
            categories=edit.file.categories,
        )
    except UserError:
        raise
    except ValueError as error:
        files = " or ".join(map(str, edit.inputs.values()))
        raise UserError(
            f"{files} holds what no JSON file can hold, such as NaN beside its boxes: {error}; "
            "remove it"
        ) from error
    return EditSummary(
        images=image_count,
        touched=counts["touched"],
        empty=image_count - counts["labelled"],
        kept=counts["kept"],
        dropped=counts["dropped"],
        added=counts["added"],
    )


def _labels(
    edited: Iterable[tuple[int, EditedLabels]], counts: Counter[str], edit: Edit
) -> Iterator[Entry]:
    """Yield the labels for the file, and count kept, dropped and added ones in `counts`."""
    for before, after in edited:
        dropped = before - len(after.kept)
        counts["kept"] += len(after.kept)
        counts["dropped"] += dropped
        counts["added"] += len(after.added)
        counts["touched"] += bool(dropped or after.added)
        counts["labelled"] += bool(after.kept or after.added)
        for label in (*after.added, *after.kept):
            yield label | {"score": score_of(label)}
    if not counts["labelled"]:
        remedy = edit.remedy if isinstance(edit.remedy, str) else edit.remedy()
        raise UserError(f"no label is left of {edit.file}; {remedy}")
