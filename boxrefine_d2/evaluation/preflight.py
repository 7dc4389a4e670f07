"""Checks before a score: a mistake in a file becomes a clear error, never a score of 0.

A mistake that makes the score meaningless raises `UserError`. A mistake that affects a part of the
file is returned as a warning with its count.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from boxrefine_d2.errors import UserError
from boxrefine_d2.files.image_names import NameCheck
from boxrefine_d2.files.values import known_size

from .coco_matching import FloatArray
from .ground_truth import GroundTruth, ImageId, Record, ground_truth_boxes, protocol_for
from .image_ids import check_ids
from .predictions import BoxTable, PredictionFile

# A file has the wrong box convention if at least this share of its boxes is impossible as read ...
IMPOSSIBLE_SHARE = 0.25
# ... and at least this share is possible in the other convention.
POSSIBLE_SHARE = 0.95
# slack by which a box may leave the image: the larger of these pixels and this share of the side
SLACK_PIXELS, SLACK_SHARE = 2.0, 0.02
# a box that leaves its image by more than this share of the side is in another frame
FAR_SHARE = 0.1
# share of wrong boxes (or image sizes) from which the file belongs to other images or another frame
WRONG_FRAME_SHARE = 0.5


def check_predictions(
    predictions: PredictionFile,
    table: BoxTable,
    ground_truth: GroundTruth,
    *,
    all_images: bool = True,
) -> list[str]:
    """Check a prediction file for the mistakes that make a score meaningless.

    Args:
        predictions: the file.
        table: the boxes of the file.
        ground_truth: the data set they are scored against.
        all_images: whether images without a prediction count; if so, many of them are a warning.
    Returns: warnings, one line each.
    Raises: UserError for ids that do not match, boxes in another convention or frame, sizes of
        other images, and category ids that do not exist.
    """
    by_id = {record["image_id"]: record for record in ground_truth.records}
    warnings = check_ids(predictions.path, table.image_ids, by_id, ground_truth.name, all_images)
    matched = np.array([image_id in by_id for image_id in table.image_ids], dtype=bool)
    boxes = table.boxes[matched]
    ids = [image_id for image_id in table.image_ids if image_id in by_id]
    sizes = _sizes([by_id[image_id] for image_id in ids])
    warnings += _check_images(predictions, by_id, table, ground_truth.name)
    check_convention(boxes, sizes, predictions.path)
    warnings += _check_frame(predictions.path, boxes, sizes, ids)
    _check_categories(predictions, ground_truth)
    unscored = sum("score" not in entry for entry in predictions.entries)
    if unscored and len(set(table.image_ids)) < len(table):
        warnings.append(
            f"{unscored} boxes have no score and count as 1; the first among equals is taken"
        )
    return warnings


def check_ground_truth(ground_truth: GroundTruth) -> None:
    """Refuse a data set whose own boxes are written in the wrong convention. Raises: UserError."""
    protocol = protocol_for("lost")
    boxes = [ground_truth_boxes(record, protocol).numpy() for record in ground_truth.records]
    owners = [
        r for r, of_record in zip(ground_truth.records, boxes, strict=True) for _ in of_record
    ]
    if owners:
        check_convention(
            np.concatenate(boxes), _sizes(owners), f"the ground truth of {ground_truth.name}"
        )


def check_convention(boxes: FloatArray, sizes: FloatArray, where: str) -> None:
    """Refuse boxes, read as XYXY, that look like a mix-up of xywh and xyxy.

    Example: a corner box [200, 100, 300, 200] read as xywh ends at x = 500, y = 300. It leaves an
    image of 400 x 300, but the corners fit in it. One such box proves nothing; a quarter of all
    boxes proves that the file is wrong.

    Args:
        boxes: (M, 4) XYXY as they were read, image pixels.
        sizes: (M, 2) as (W, H), one row per box.
        where: name of the file or data set, for the message.
    Raises: UserError.
    """
    if not len(boxes):
        return
    starts, ends = boxes[:, :2], boxes[:, 2:]
    slack = np.maximum(SLACK_PIXELS, SLACK_SHARE * sizes)
    leaves = (ends > sizes + slack).any(axis=1)
    written = ends - starts  # the third and fourth number, if the boxes were read as xywh
    as_corners = ((written > starts) & (written <= sizes + slack)).all(axis=1)
    if leaves.mean() >= IMPOSSIBLE_SHARE and as_corners.mean() >= POSSIBLE_SHARE:
        raise UserError(
            f"{where}: {leaves.sum()} of {len(boxes)} boxes leave their image as "
            "[x, y, width, height] but fit as [x1, y1, x2, y2]; write bbox as [x, y, width, height]"
        )
    inverted = (ends < starts).any(axis=1)
    as_sizes = ((ends > 0) & (starts + ends <= sizes + slack)).all(axis=1)
    if inverted.mean() >= IMPOSSIBLE_SHARE and as_sizes.mean() >= POSSIBLE_SHARE:
        raise UserError(
            f"{where}: {inverted.sum()} of {len(boxes)} boxes end before they start as "
            "[x1, y1, x2, y2] but fit as [x, y, width, height]; convert them to corners"
        )


def _check_images(
    predictions: PredictionFile, by_id: dict[ImageId, Record], table: BoxTable, name: str
) -> list[str]:
    """Compare sizes and names in a data set file with those of the ground truth's images."""
    pairs = [
        (image, by_id[image["id"]])
        for image in predictions.images or ()
        if isinstance(image.get("id"), int | str) and image["id"] in by_id
    ]
    sized = [(i, r) for i, r in pairs if known_size(i) and known_size(r)]
    other = [(i, r) for i, r in sized if known_size(i) != known_size(r)]
    exchanged = [(i, r) for i, r in other if (i["height"], i["width"]) == (r["width"], r["height"])]
    warnings = []
    if len(exchanged) < len(other):
        warnings = _of_other_size(other, len(sized), predictions.path)
    elif exchanged:
        warnings = _of_exchanged_size(exchanged, len(sized), table, predictions.path)
    names = NameCheck(predictions.path, name)
    for image, record in pairs:
        if isinstance(image.get("file_name"), str):
            names.add(image["id"], image["file_name"], _name(record))
    return warnings + names.finish(map(_name, by_id.values()), renamed_is_wrong=False)


def _of_other_size(
    other: Sequence[tuple[dict[str, Any], Record]], total: int, path: str
) -> list[str]:
    """Return a warning about other image sizes. Raises: UserError if half or more differ."""
    image, record = other[0]
    message = (
        f"{len(other)} of {total} images have another size than in the ground truth (first: image "
        f"{image['id']!r} is {image['width']} x {image['height']}, "
        f"there {record['width']} x {record['height']})"
    )
    if len(other) >= WRONG_FRAME_SHARE * total:
        raise UserError(
            f"{path}: {message}; name the data set the predictions were made on, and write "
            "boxes in pixels of its images"
        )
    return [message]


def _of_exchanged_size(
    exchanged: Sequence[tuple[dict[str, Any], Record]], total: int, table: BoxTable, path: str
) -> list[str]:
    """Return a warning about images whose width and height are exchanged in the file.

    If the boxes fit the ground truth's images, the exchange is a slip of the file, as in MaskCut's
    release. If they do not fit, one of the two files uses pixels as stored, before EXIF
    orientation.

    Raises: UserError if the boxes do not fit and half of the images or more are exchanged.
    """
    sizes = {image["id"]: (record["width"], record["height"]) for image, record in exchanged}
    inside = np.array([image_id in sizes for image_id in table.image_ids], dtype=bool)
    ends = table.boxes[inside, 2:]
    limits = np.array([sizes[i] for i in table.image_ids if i in sizes]).reshape(-1, 2)
    fits_truth = not (ends > limits + SLACK_PIXELS).any()
    fits_file = not (ends > limits[:, ::-1] + SLACK_PIXELS).any()
    message = (
        f"{len(exchanged)} of {total} images have width and height exchanged "
        "with those of the ground truth"
    )
    if fits_truth:
        reason = (
            "and boxes fit both ways" if fits_file else "and boxes fit the ground truth's alone"
        )
        return [f"{message}, {reason}: the file is taken to be wrong"]
    if len(exchanged) >= WRONG_FRAME_SHARE * total:
        raise UserError(
            f"{path}: {message}, and boxes leave those images: one of the two is of the pixels as "
            "stored, before EXIF orientation; label and predict images as a viewer shows them"
        )
    return [f"{message}, and boxes leave those images"]


def _name(record: Record) -> str:
    return str(record.get("relative_name", record["file_name"]))


def _check_frame(
    path: str, boxes: FloatArray, sizes: FloatArray, ids: Sequence[ImageId]
) -> list[str]:
    if boxes.max() <= 1 and np.nanmin(sizes) > 1:
        raise UserError(
            f"{path}: all {len(boxes)} boxes lie within [0, 1]; "
            "write pixels of the original image, not fractions"
        )
    limits = np.concatenate([sizes, sizes], axis=1)
    far = ((boxes < -FAR_SHARE * limits) | (boxes > (1 + FAR_SHARE) * limits)).any(axis=1)
    flat = (boxes[:, 2:] <= boxes[:, :2]).any(axis=1)
    if far.mean() >= WRONG_FRAME_SHARE:
        row = int(far.argmax())
        raise UserError(
            f"{path}: {far.sum()} of {len(boxes)} boxes lie outside their image (first: image "
            f"{ids[row]!r} is {sizes[row, 0]:g} x {sizes[row, 1]:g}, its box ends at "
            f"{boxes[row, 2]:g}, {boxes[row, 3]:g}); write boxes in pixels of the original image"
        )
    if flat.all():
        raise UserError(
            f"{path}: all {len(boxes)} boxes have no area; write bbox as [x, y, width, height]"
        )
    warnings = [f"{far.sum()} boxes lie far outside their image"] if far.any() else []
    return warnings + ([f"{flat.sum()} boxes have no area"] if flat.any() else [])


def _check_categories(predictions: PredictionFile, ground_truth: GroundTruth) -> None:
    """Refuse category ids that do not exist.

    A data set file lists its own categories; a results list uses those of the ground truth. CorLoc
    reads no category, but an id that exists nowhere shows that the file is not the expected one.

    Raises: UserError.
    """
    # compared as text: the id in a file from outside may be anything, even a list
    used = {str(e["category_id"]): None for e in predictions.entries if "category_id" in e}
    if predictions.categories is not None:
        known, owner = [str(c.get("id")) for c in predictions.categories], "its own categories"
    elif ground_truth.category_ids is not None and len(ground_truth.category_ids) > 1:
        # Class-agnostic tools write 0 or 1 for their only category. Ground truth of one category,
        # such as that of `+agnostic`, does not tell categories apart, and accepts any id.
        known = [str(category_id) for category_id in sorted({0, 1, *ground_truth.category_ids})]
        owner = ground_truth.name
    else:
        return
    unknown = [category_id for category_id in used if category_id not in known]
    if known and unknown:
        raise UserError(
            f"{predictions.path}: category id {', '.join(unknown[:3])} does not exist in {owner} "
            f"(known: {', '.join(known)}); write known ids, or 1 for boxes without a category"
        )


def _sizes(records: Sequence[Record]) -> FloatArray:
    """Return (M, 2) as (W, H); NaN, which fails every comparison, where the size is unknown."""
    return np.array([(r["width"], r["height"]) for r in records], dtype=np.float64).reshape(-1, 2)
