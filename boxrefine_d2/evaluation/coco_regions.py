"""Objects and detections as the regions that COCO's code compares: XYWH boxes, or masks as RLE."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from pycocotools import mask as mask_codec
from torchvision.ops import box_convert

from boxrefine_d2.errors import UserError
from boxrefine_d2.masks.segmentation import Rle, checked_rles

from .coco_matching import MAX_DETECTIONS, BoolArray, FloatArray, ImageOutcome, match_image
from .ground_truth import CorLocProtocol, Record, ground_truth_boxes

_UNROUNDED = CorLocProtocol(crowd=True)
Regions = FloatArray | list[Rle]  # (N, 4), or N masks


@dataclass(frozen=True)
class Detections:
    """Detections in one image.

    Attributes:
        boxes: (N, 4), XYXY, half-open, image pixels.
        scores: (N,).
        masks: N compressed RLE of the image's size that `checked_rles` accepted; None for
            detections without masks.
    """

    boxes: FloatArray
    scores: FloatArray
    masks: list[Rle] | None = None


@dataclass(frozen=True)
class Objects:
    """Ground truth of one image.

    Attributes:
        regions: regions of the G objects.
        areas: (G,), in square pixels; they decide the size class.
        crowd: (G,) whether the object is a crowd.
        difficult: number of annotations left out as "difficult".
        without_mask: number of annotations left out because they have no mask.
    """

    regions: Regions
    areas: FloatArray
    crowd: BoolArray
    difficult: int
    without_mask: int


def objects_of(record: Record, name: str, *, of_masks: bool) -> Objects:
    """Return the objects of a record of the data set `name`.

    Raises: UserError for a mask that cannot be read.
    """
    # In the order of their categories, as in COCO's code: among objects of equal IoU with a
    # detection it takes the last.
    annotations = sorted(record.get("annotations", ()), key=lambda a: a.get("category_id", 0))
    easy = [a for a in annotations if not a.get("difficult", False)]
    kept = [a for a in easy if a.get("segmentation") or not of_masks]
    regions: Regions
    if of_masks:
        regions = masks_of([a["segmentation"] for a in kept], record, name)
    else:
        regions = _xywh(ground_truth_boxes({"annotations": kept}, _UNROUNDED).numpy())
    own_areas = zip(kept, _areas(regions), strict=True)
    areas = [own if a.get("area") is None else a["area"] for a, own in own_areas]
    crowd = np.array([bool(a.get("iscrowd", 0)) for a in kept], dtype=bool)
    left_out = len(annotations) - len(easy), len(easy) - len(kept)
    return Objects(regions, np.array(areas, dtype=np.float64), crowd, *left_out)


def masks_of(segmentations: Sequence[Any], record: Record, where: str) -> list[Rle]:
    """Return the masks of an image as compressed RLE.

    Raises: UserError for damaged masks, naming the image and the file or data set (`where`).
    """
    try:
        return checked_rles(segmentations, (record["height"], record["width"]))
    except ValueError as error:
        raise UserError(f"{where}: image {record['image_id']!r}: {error}") from error


def outcome(detections: Detections | None, objects: Objects, *, of_masks: bool) -> ImageOutcome:
    """Match the best detections of an image; among equal scores the first is the best."""
    if detections is None:
        detections = Detections(np.zeros((0, 4)), np.zeros(0), [])
    best = np.argsort(-detections.scores, kind="stable")[:MAX_DETECTIONS]
    regions: Regions
    if of_masks:
        if detections.masks is None:
            raise ValueError("average precision of masks needs detections with masks")
        regions = [detections.masks[index] for index in best]
    else:
        regions = _xywh(detections.boxes[best])
    ious = np.zeros((len(regions), len(objects.regions)))
    if ious.size:
        ious[:] = mask_codec.iou(regions, objects.regions, objects.crowd)
    return match_image(ious, detections.scores[best], _areas(regions), objects.areas, objects.crowd)


def _xywh(boxes: FloatArray) -> FloatArray:
    converted: FloatArray = box_convert(torch.from_numpy(boxes), "xyxy", "xywh").double().numpy()
    return converted


def _areas(regions: Regions) -> FloatArray:
    if isinstance(regions, list):
        return np.asarray(mask_codec.area(regions), dtype=np.float64).reshape(-1)
    return regions[:, 2] * regions[:, 3]
