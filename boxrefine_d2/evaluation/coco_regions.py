"""Objects and detections of an image as the regions that COCO's code compares: boxes as XYWH, or masks as RLE."""

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
    """What was found in one image.

    Attributes:
        boxes: (N, 4), XYXY, half-open, image pixels.
        scores: (N,).
        masks: N compressed RLE of the image's size, known to be sound (`checked_rles`); None if there are none.
    """

    boxes: FloatArray
    scores: FloatArray
    masks: list[Rle] | None = None


@dataclass(frozen=True)
class Objects:
    """Ground truth of one image.

    Attributes:
        regions: of G objects.
        areas: (G,), in square pixels, by which an object belongs to a size class.
        crowd: (G,).
        difficult, without_mask: how many annotations are no objects, for that reason.
    """

    regions: Regions
    areas: FloatArray
    crowd: BoolArray
    difficult: int
    without_mask: int


def objects_of(record: Record, name: str, *, of_masks: bool) -> Objects:
    """The objects of a record of the data set `name`. Raises: UserError for a mask that cannot be read."""
    # by category, as COCO's code goes through them: of objects that a detection meets alike it takes the last
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
    """Compressed RLE of an image's masks. Raises: UserError, naming image and file or data set, for unsound ones."""
    try:
        return checked_rles(segmentations, (record["height"], record["width"]))
    except ValueError as error:
        raise UserError(f"{where}: image {record['image_id']!r}: {error}") from error


def outcome(found: Detections | None, objects: Objects, *, of_masks: bool) -> ImageOutcome:
    """What becomes of the best detections of an image; of equal scores the first is better."""
    if found is None:
        found = Detections(np.zeros((0, 4)), np.zeros(0), [])
    best = np.argsort(-found.scores, kind="stable")[:MAX_DETECTIONS]
    regions: Regions
    if of_masks:
        if found.masks is None:
            raise ValueError("average precision of masks needs detections with masks")
        regions = [found.masks[index] for index in best]
    else:
        regions = _xywh(found.boxes[best])
    ious = np.zeros((len(regions), len(objects.regions)))
    if ious.size:
        ious[:] = mask_codec.iou(regions, objects.regions, objects.crowd)
    return match_image(ious, found.scores[best], _areas(regions), objects.areas, objects.crowd)


def _xywh(boxes: FloatArray) -> FloatArray:
    converted: FloatArray = box_convert(torch.from_numpy(boxes), "xyxy", "xywh").double().numpy()
    return converted


def _areas(regions: Regions) -> FloatArray:
    if isinstance(regions, list):
        return np.asarray(mask_codec.area(regions), dtype=np.float64).reshape(-1)
    return regions[:, 2] * regions[:, 3]
