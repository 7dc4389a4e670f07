"""The file after an edit: its labels, what it says of itself, and the counts."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
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
    """What an edit did.

    Attributes:
        images: listed in the file.  touched: of them, those that lost or got a label.  empty: those without labels now.
        kept, dropped: of the labels that were there.  added: from the other file.
        notes: what else a user should know.
    """

    images: int
    touched: int
    empty: int
    kept: int
    dropped: int
    added: int
    notes: tuple[str, ...] = ()

    def with_notes(self, *notes: str) -> "EditSummary":
        """The same counts with these notes, empty ones left out."""
        return replace(self, notes=tuple(note for note in notes if note))

    def __str__(self) -> str:
        counts = (
            f"{self.images} images, {self.touched} touched, {self.empty} without labels: "
            f"{self.kept} labels kept, {self.dropped} dropped, {self.added} added"
        )
        return "; ".join([counts, *self.notes])


@dataclass(frozen=True)
class Edit:
    """An edit of a file: what the file that it makes says of it.

    Attributes:
        name: of the command.  parameters: all of them, as they were used.
        inputs: the file that is edited and, if the edit reads one, a second, by what the edit calls them.
        remedy: what a user may do if no label is left.
    """

    name: str
    parameters: Mapping[str, Any]
    inputs: Mapping[str, LabelFile]
    remedy: str

    @property
    def file(self) -> LabelFile:
        """The one that is edited."""
        return next(iter(self.inputs.values()))

    def info(self) -> dict[str, Any]:
        """The file's own info with one more entry in the list `edits`: the edit, its parameters, its inputs by name and
        SHA-256, and of a second input the info, too."""
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
    """Writes the pseudo-label file that an edit makes, holding no more than one image in memory.

    Args:   images: those that the file lists, in order; `image_count` of them.
            edited: how many labels an image had, and its labels after the edit, in the same order.
    Raises: UserError, and nothing is written, if no label is left or the output cannot be written.
    """
    counts: Counter[str] = Counter()
    progress = with_progress(edited, edit.name, image_count)
    labels = _labels(progress, counts, edit)
    try:
        write_ordered_pseudo_labels(output, images=images, annotations=labels, info=edit.info())
    except UserError:
        raise
    except ValueError as error:
        files = " or ".join(map(str, edit.inputs.values()))
        raise UserError(
            f"{files} holds what no JSON file can hold, such as NaN beside its boxes: {error}; remove it"
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
    """The labels for the file; what becomes of them is counted."""
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
        raise UserError(f"no label is left of {edit.file}; {edit.remedy}")
