"""Checks of the labels of a detector; they run before training, not after an epoch."""

import logging
import os
from collections.abc import Iterable, Sequence
from typing import Any

from detectron2.structures import BoxMode

from boxrefine_d2.data.images import is_rendered
from boxrefine_d2.data.records import Record
from boxrefine_d2.errors import UserError
from boxrefine_d2.masks.segmentation import checked_rles

logger = logging.getLogger(__name__)


# distance in pixels by which a box may leave its image; rules round to patches
SLACK_PIXELS = 1.0
_REMEDY = "+pseudo=FILE, which tools/discover.py writes, gives labels to images"
_SAME_IMAGES = "check that they were made from these images"
_MASKS_REMEDY = "use labels of a method that draws masks, or set MODEL.MASK_ON False"


def records_to_learn_from(
    records: Sequence[Record], *, classes: int, masks: bool, where: str
) -> list[Record]:
    """Return the records that have at least one box; log how many have none.

    Crowds and boxes without area do not count. If an image's header cannot be read, its size is
    unknown and only its classes are checked. The stream of training images replaces and reports
    that image.

    Args:
        classes: number of classes of the detector.
        masks: True if the detector learns masks, too.
        where: name in DATASETS.TRAIN, for messages.
    Raises: UserError, one line, for labels that are missing, belong to other images or classes,
        or lie outside their image.
    """
    _check_labelled(records, where)
    labelled = [r for r in records if _boxes(r)]
    if not labelled:
        raise UserError(
            f"{where}: none of the {len(records)} images has a box to learn from; {_REMEDY}"
        )
    _check_files(labelled, where)
    _check_annotations(labelled, classes, masks, where)
    if len(labelled) < len(records):
        without = len(records) - len(labelled)
        logger.warning(
            "%s: %d of %d images have no box and are left out", where, without, len(records)
        )
    return labelled


def _check_labelled(records: Sequence[Record], where: str) -> None:
    without = [r["file_name"] for r in records if "annotations" not in r]
    if without:
        raise UserError(
            f"{where}: {len(without)} of {len(records)} images have no labels "
            f"(first: {without[0]}); {_REMEDY}"
        )


def _check_files(records: Sequence[Record], where: str) -> None:
    names = [r["file_name"] for r in records if not is_rendered(r["file_name"])]
    missing = [name for name in names if not os.path.isfile(name)]
    if missing:
        raise UserError(
            f"{where}: {len(missing)} of the {len(records)} labelled images do not exist (first: "
            f"{missing[0]}); put them back, or name the folder that holds them"
        )


def _check_annotations(records: Sequence[Record], classes: int, masks: bool, where: str) -> None:
    pairs = [(r, a) for r in records for a in _boxes(r)]
    largest = max(a["category_id"] for _, a in pairs)
    if largest >= classes:
        raise UserError(
            f"{where}: the labels have {largest + 1} classes and MODEL.ROI_HEADS.NUM_CLASSES is "
            f"{classes}; add +agnostic to make all of them one, or raise NUM_CLASSES"
        )
    sized = [(r, a) for r, a in pairs if r["height"] and r["width"]]
    outside = (r for r, a in sized if _outside(r, a))
    _refuse(outside, len(pairs), "lie outside their image", _SAME_IMAGES, where)
    if masks:
        without = (r for r, a in pairs if not a.get("segmentation"))
        _refuse(
            without, len(pairs), "have no mask, and MODEL.MASK_ON is True", _MASKS_REMEDY, where
        )
        _check_masks(records, where)


def _boxes(record: Record) -> list[dict[str, Any]]:
    """Return the annotations that a detector learns from: no crowds, no boxes without area."""
    return [a for a in record["annotations"] if not a.get("iscrowd", 0) and _has_area(a)]


def _has_area(annotation: dict[str, Any]) -> bool:
    x1, y1, x2, y2 = _corners(annotation)
    return x2 > x1 and y2 > y1


def _outside(record: Record, annotation: dict[str, Any]) -> bool:
    x1, y1, x2, y2 = _corners(annotation)
    beyond = x2 > record["width"] + SLACK_PIXELS or y2 > record["height"] + SLACK_PIXELS
    return beyond or min(x1, y1) < -SLACK_PIXELS


def _corners(annotation: dict[str, Any]) -> list[float]:
    mode = annotation["bbox_mode"]
    corners: list[float] = annotation["bbox"]
    if mode != BoxMode.XYXY_ABS:  # the record is from one of Detectron2's own loaders
        corners = BoxMode.convert(corners, mode, BoxMode.XYXY_ABS)
    return corners


def _refuse(bad: Iterable[Record], total: int, fault: str, remedy: str, where: str) -> None:
    refused = list(bad)
    if refused:
        first = refused[0]["image_id"]
        raise UserError(
            f"{where}: {len(refused)} of {total} labels {fault} (first: image {first!r}); {remedy}"
        )


def _check_masks(records: Sequence[Record], where: str) -> None:
    for record in records:
        if not (record["height"] and record["width"]):
            continue
        masks = [a["segmentation"] for a in _boxes(record)]
        try:
            checked_rles(masks, (record["height"], record["width"]))
        except ValueError as error:
            raise UserError(
                f"{where}: image {record['image_id']!r}: {error}; {_SAME_IMAGES}"
            ) from error
