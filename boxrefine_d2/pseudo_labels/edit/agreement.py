"""Labels on which several files agree."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

from boxrefine_d2.errors import UserError, check_choice
from boxrefine_d2.files.inputs import FilePath

from .edited_file import Edit, EditSummary, write_edited
from .edits import EditedLabels, agree, score_of
from .label_file import Entry, LabelFile, open_label_file
from .limits import check_apart, check_iou, check_score
from .overlaps import COMPARISONS
from .results_list import open_labels_or_results
from .same_images import check_lists_all, check_same_images, side_by_side

KEPT = ("labels", "images")
_NEAR = 0.5  # share of the lowest IoU from which on a label counts as near


def agree_labels(
    source: FilePath,
    others: Sequence[FilePath],
    output: FilePath,
    *,
    min_iou: float,
    votes: int | None = None,
    by: str = "box",
    min_score: float | None = None,
    keep: str = "labels",
) -> EditSummary:
    """Keep the labels that other files of the same images hold as well (see `agree`).

    Images that lose all labels stay listed. A results list is accepted as another file.

    Args:   others: the other files.
            min_iou: lowest IoU with a label of another file.
            votes: number of other files that must hold such a label; None: all of them.
            by: what is compared, one of `COMPARISONS`.
            min_score: lowest score of a label of another file; None: no limit.
            keep: "labels" keeps those that agree, "images" all labels of an image with one.
    Raises: UserError for files about different images, for an impossible choice, and if no label is
        left.
    """
    check_iou(min_iou)
    if min_score is not None:
        check_score(min_score)
    check_choice("what is compared", by, COMPARISONS)
    check_choice("what is kept", keep, KEPT)
    votes = _checked_votes(votes, len(others))
    check_apart([source, *others])
    labels = open_label_file(source)
    files = [open_labels_or_results(path, labels) for path in others]
    if by == "mask":
        _check_masks([labels, *files])
    notes = [note for file in files for note in _checked_images(labels, file)]
    choice = _Choice(min_iou, votes, by, min_score, keep)
    tally = _Tally(labels, min_iou, votes, len(files), min_score)
    edit = Edit(
        "agree",
        asdict(choice),
        {"input": labels, **{f"with {i}": file for i, file in enumerate(files, start=1)}},
        tally.remedy,
    )

    def edited() -> Iterator[tuple[int, EditedLabels]]:
        for image, (own, *rest) in side_by_side(labels, *files):
            kept, ious = choice.of_image(image, own, rest)
            tally.add(ious)
            yield len(own), EditedLabels(kept)

    summary = write_edited(
        output, edit, images=labels.images(), image_count=labels.image_count, edited=edited()
    )
    kept_images = summary.images - summary.empty
    return summary.with_notes(
        f"kept {kept_images} of {summary.images} images, {summary.kept} annotations", *notes
    )


@dataclass(frozen=True)
class _Choice:
    """Limits of an agreement, see `agree_labels`."""

    min_iou: float
    votes: int
    by: str
    min_score: float | None
    keep: str

    def of_image(
        self, image: Entry, own: Sequence[Entry], others: Sequence[Sequence[Entry]]
    ) -> tuple[list[Entry], list[list[float]]]:
        """Return the kept labels of an image, and the IoUs of each given label (see `agree`)."""
        lowest = self.min_score
        confident = [[x for x in o if lowest is None or score_of(x) >= lowest] for o in others]
        return agree(
            image,
            own,
            confident,
            min_iou=self.min_iou,
            votes=self.votes,
            by=self.by,
            whole_images=self.keep == "images",
        )


class _Tally:
    """Counts of the labels that come near an agreement, for the message that none is left."""

    def __init__(
        self, labels: LabelFile, min_iou: float, votes: int, files: int, min_score: float | None
    ):
        self._labels, self._min_iou = labels, min_iou
        self._votes, self._files, self._min_score = votes, files, min_score
        self._near = self._with_fewer = 0
        self._best = 0.0

    def add(self, ious: Sequence[Sequence[float]]) -> None:
        """Count the labels of an image. Args: ious: for each label, its IoUs, largest first."""
        for of_label in ious:
            reached = of_label[self._votes - 1]
            self._near += reached >= _NEAR * self._min_iou
            self._best = max(self._best, reached)
            self._with_fewer += of_label[0] >= self._min_iou

    def remedy(self) -> str:
        """Return the number of labels that came near, and the options to loosen."""
        total = self._labels.label_count
        if not total:
            return "it has none"
        counts = (
            f"{self._near} of its {total} labels come near, with an IoU of at least "
            f"{_NEAR * self._min_iou:g} in {self._votes} of {self._files} files"
        )
        options = []
        if self._near:
            reachable = math.floor(100 * self._best) / 100
            options.append(f"lower --min-iou to {reachable:g} or less")
        if self._with_fewer:
            counts += f", and {self._with_fewer} agree with fewer files"
            options.append("lower --votes")
        if self._min_score is not None:
            options.append(f"lower --min-score {self._min_score:g}")
        return f"{counts}: {' or '.join(options) or 'compare other files'}"


def _checked_votes(votes: int | None, files: int) -> int:
    if not files:
        raise UserError("no file to agree with was given; name one or more: --with FILE.json")
    if votes is None:
        return files
    if not 1 <= votes <= files:
        raise UserError(f"--votes is {votes}; give 1 to {files}, the number of files of --with")
    return votes


def _check_masks(files: Sequence[LabelFile]) -> None:
    for file in files:
        if file.mask_count < file.label_count:
            raise UserError(
                f"{file.label_count - file.mask_count} of the {file.label_count} labels of {file} "
                "have no mask; compare boxes: --by box"
            )


def _checked_images(labels: LabelFile, other: LabelFile) -> list[str]:
    """Refuse a file about other images. Returns: notes about images that differ."""
    images = check_same_images(labels, other)
    failed = check_lists_all(labels, other)
    return [
        *([f"{failed} images failed in {other} and lose their labels"] if failed else []),
        *([f"{images.only_second} images only in {other}"] if images.only_second else []),
        *images.warnings,
    ]
