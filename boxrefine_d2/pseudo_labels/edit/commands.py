"""The edits of whole files: each reads one or two pseudo-label files and writes one."""

from collections.abc import Iterator

from pycocotools import mask as mask_codec

from boxrefine_d2.errors import UserError, check_choice
from boxrefine_d2.files.inputs import FilePath
from boxrefine_d2.files.values import shown_value

from .edited_file import Edit, EditSummary, write_edited
from .edits import DROPS, EditedLabels, match, merge, separate, top
from .label_file import Entry, LabelFile, open_label_file
from .limits import check_apart, check_iou, check_score
from .overlaps import choose_comparison, mask_rle
from .same_images import all_images, check_same_images, side_by_side

AREAS = ("mask", "box")


def merge_labels(
    old: FilePath,
    new: FilePath,
    output: FilePath,
    *,
    min_score: float,
    max_iou: float,
    area: str,
    by: str | None = None,
) -> EditSummary:
    """Merge a detector's predictions into labels, image by image (see `merge`).

    The labels of an image are its predictions of at least `min_score`, followed by the old labels
    that overlap none of them. Images without such a prediction keep their labels. Images without
    labels get their predictions. The written file lists the images of both files.

    Args:   min_score: lowest score of a prediction that becomes a label.
            max_iou: IoU with a prediction from which on an old label is dropped.
            area: content of each label's `area`, in pixels: "mask", the area of its mask, or of
            its box where it has no mask; "box", width x height of its box, as CutLER's code writes.
            by: "mask" or "box"; None compares masks if all labels of both files have them.
    Raises: UserError for files about different images or with different categories, and for an
            impossible choice.
    """
    check_score(min_score)
    check_iou(max_iou)
    check_choice("area", area, AREAS)
    before, predictions = open_label_file(old), open_label_file(new)
    _check_same_categories(before, predictions)
    by, comparison_note = choose_comparison(by, before, predictions)
    images = check_same_images(before, predictions)
    edit = Edit(
        "merge",
        {"min_score": min_score, "max_iou": max_iou, "by": by, "area": area},
        {"old": before, "new": predictions},
        f"it had none and no prediction has a score of {min_score} or more: lower --min-score",
    )

    def edited() -> Iterator[tuple[int, EditedLabels]]:
        for image, (labels, predicted) in side_by_side(before, predictions):
            merged = merge(image, labels, predicted, min_score=min_score, max_iou=max_iou, by=by)
            yield len(labels), _with_area(merged, image, area)

    listed = all_images(before, predictions)
    summary = write_edited(
        output, edit, images=listed, image_count=images.together, edited=edited()
    )
    refused = predictions.label_count - summary.added
    return summary.with_notes(
        f"{refused} predictions below {min_score} left out" if refused else "",
        _only(images.only_first, before),
        _only(images.only_second, predictions),
        comparison_note,
        *images.warnings,
    )


def separate_labels(source: FilePath, output: FilePath, *, drop: str) -> EditSummary:
    """Keep labels whose boxes do not overlap (see `separate`).

    Images that lose all labels stay listed, so that the file still fits its data set. Training
    leaves out images without labels.
    """
    check_choice("drop", drop, DROPS)
    labels = open_label_file(source)
    instead = {
        "images": "boxes overlap in every image: --drop instances drops only those",
        "instances": "every box overlaps another: edit_labels.py top --count 1 keeps the best of "
        "an image",
    }
    edit = Edit("separate", {"drop": drop}, {"input": labels}, instead[drop])
    edited = ((len(own), separate(own, drop=drop)) for _, own in labels.by_image())
    summary = write_edited(
        output, edit, images=labels.images(), image_count=labels.image_count, edited=edited
    )
    return summary.with_notes("images without labels stay in the list")


def match_labels(
    source: FilePath,
    predictions: FilePath,
    output: FilePath,
    *,
    min_score: float,
    min_iou: float,
    by: str | None = None,
) -> EditSummary:
    """Keep labels that overlap a detector's predictions (see `match`).

    Images that lose all labels stay listed.

    Args:   min_score: lowest score of a prediction that counts.
            min_iou: lowest IoU of a kept label with a prediction.
            by: "mask" or "box"; None compares masks if all labels of both files have them.
    Raises: UserError for files about different images, and for an impossible choice.
    """
    check_score(min_score)
    check_iou(min_iou)
    check_apart([source, predictions])
    labels, predicted = open_label_file(source), open_label_file(predictions)
    by, comparison_note = choose_comparison(by, labels, predicted)
    images = check_same_images(labels, predicted)
    edit = Edit(
        "matching",
        {"min_score": min_score, "min_iou": min_iou, "by": by},
        {"input": labels, "predictions": predicted},
        "no prediction meets one: lower --min-iou or --min-score",
    )
    edited = (
        (
            len(own),
            match(image, own, others, min_score=min_score, min_iou=min_iou, by=by),
        )
        for image, (own, others) in side_by_side(labels, predicted)
    )
    summary = write_edited(
        output, edit, images=labels.images(), image_count=labels.image_count, edited=edited
    )
    return summary.with_notes(
        _only(images.only_first, labels),
        _only(images.only_second, predicted),
        comparison_note,
        *images.warnings,
    )


def top_labels(
    source: FilePath, output: FilePath, *, count: int, min_score: float | None = None
) -> EditSummary:
    """Keep the `count` labels of highest score of each image, best first (see `top`)."""
    if min_score is not None:
        check_score(min_score)
    if count < 1:
        raise UserError(f"{count} labels an image were asked for; give 1 or more")
    labels = open_label_file(source)
    edit = Edit(
        "top",
        {"count": count, "min_score": min_score},
        {"input": labels},
        "it has none" if min_score is None else "lower --min-score",
    )
    edited = (
        (len(own), top(own, count=count, min_score=min_score)) for _, own in labels.by_image()
    )
    return write_edited(
        output, edit, images=labels.images(), image_count=labels.image_count, edited=edited
    )


def _check_same_categories(first: LabelFile, second: LabelFile) -> None:
    ours, theirs = (
        {category["id"]: category["name"] for category in file.categories}
        for file in (first, second)
    )
    if ours != theirs:
        raise UserError(
            f"{first} has the categories {shown_value([*ours.values()])} and {second} "
            f"{shown_value([*theirs.values()])}; merge files of the same categories"
        )


def _with_area(labels: EditedLabels, image: Entry, area: str) -> EditedLabels:
    def changed(label: Entry) -> Entry:
        if area == "mask" and label.get("segmentation"):
            return label | {"area": float(mask_codec.area(mask_rle(label, image)))}
        return label | {"area": float(label["bbox"][2] * label["bbox"][3])}

    return EditedLabels([changed(label) for label in labels.kept], [*map(changed, labels.added)])


def _only(images: int, file: LabelFile) -> str:
    return f"{images} images only in {file}" if images else ""
