"""Scenes as Detectron2 records and as rendered images."""

import copy
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from detectron2.structures import BoxMode

from boxrefine_d2.errors import UserError, check_choice
from boxrefine_d2.masks.coding import encode_masks

from .categories import CATEGORY_NAMES
from .layout import SEED, Layout, scene_layout, visible_boxes
from .painting import paint_scene

SPLIT_SIZES: dict[str, int] = {"train": 2000, "val": 500}

_FILE_NAME = re.compile(r"scenes:([a-z]+)/(\d{6})")
_FIRST_IMAGE_ID = {"train": 1, "val": 1_000_001}
_PAINTING = 1  # separates the seeds of the painting from those of the layout


@dataclass(frozen=True)
class Scene:
    """One rendered image with its ground truth, for 1 <= n <= 4 objects.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        boxes: (n, 4) float32 XYXY, half-open, pixels, of the visible part of each object.
        masks: (n, H, W) bool, disjoint, of the visible part of each object.
        category_ids: (n,) int64 from 0.
        category_names: n names.
        phrases: n phrases.
    """

    image: np.ndarray
    boxes: np.ndarray
    masks: np.ndarray
    category_ids: np.ndarray
    category_names: tuple[str, ...]
    phrases: tuple[str, ...]


def load_scenes(
    split: str, limit: int | None = None
) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
    """Return the annotations of a split as Detectron2 dataset dicts, without painting.

    Args:   split: "train" (2 000 scenes) or "val" (500).  limit: number of first scenes to return.
    Returns: the records, which the caller may change, and the category names. Boxes are XYXY_ABS,
             half-open floats around the visible part. The segmentation is a compressed RLE with
             string counts.
    Raises: UserError if the split is unknown or the limit below 1.
    """
    count = _split_size(split)
    if limit is not None:
        if limit < 1:
            raise UserError(f"limit {limit} of scenes:{split} leaves no image; give 1 or more")
        count = min(count, limit)
    return [copy.deepcopy(_record(split, index)) for index in range(count)], CATEGORY_NAMES


def render_scene(split: str, index: int) -> Scene:
    """Paint one scene. Every call returns the same bits.

    Raises: UserError if there is no such split or index.
    """
    layout = _layout(split, index)
    rng = np.random.default_rng((SEED, _split_number(split), index, 0, _PAINTING))
    ids = np.array([placed.shape.category_id for placed in layout.objects], dtype=np.int64)
    return Scene(
        image=paint_scene(layout, rng),
        boxes=visible_boxes(layout.masks),
        masks=layout.masks,
        category_ids=ids,
        category_names=tuple(CATEGORY_NAMES[i] for i in ids),
        phrases=tuple(placed.phrase for placed in layout.objects),
    )


def is_scene_file(file_name: str) -> bool:
    """Return True if the `file_name` of a record names a scene ("scenes:train/000012").

    Other names are files on disk.
    """
    return file_name.startswith("scenes:")


def render_file(file_name: str) -> np.ndarray:
    """Return the image that the `file_name` of a record names, (H, W, 3) uint8 RGB.

    Raises: UserError if the name does not have the form "scenes:SPLIT/NUMBER", or if there is no
            such scene.
    """
    match = _FILE_NAME.fullmatch(file_name)
    if match is None:
        raise UserError(f"{file_name!r} names no scene; the form is scenes:train/000012")
    return render_scene(match[1], int(match[2])).image


def _split_size(split: str) -> int:
    check_choice("split of scenes", split, SPLIT_SIZES)
    return SPLIT_SIZES[split]


def _split_number(split: str) -> int:
    return list(SPLIT_SIZES).index(split)


def _layout(split: str, index: int) -> Layout:
    size = _split_size(split)
    if not 0 <= index < size:
        raise UserError(f"scenes:{split} has no index {index}; allowed are 0 to {size - 1}")
    return scene_layout(_split_number(split), index)


@lru_cache(maxsize=sum(SPLIT_SIZES.values()))
def _record(split: str, index: int) -> dict[str, Any]:
    """Return the cached record of one scene. Callers must copy it before they pass it on."""
    layout = _layout(split, index)
    height, width = layout.size
    boxes = visible_boxes(layout.masks).tolist()
    annotations = [
        {
            "bbox": box,
            "bbox_mode": BoxMode.XYXY_ABS,
            "category_id": placed.shape.category_id,
            "iscrowd": 0,
            "area": int(mask.sum()),
            "segmentation": rle,
            "phrase": placed.phrase,
        }
        for box, placed, mask, rle in zip(
            boxes, layout.objects, layout.masks, encode_masks(layout.masks)
        )
    ]
    return {
        "file_name": f"scenes:{split}/{index:06d}",
        "image_id": _FIRST_IMAGE_ID[split] + index,
        "height": height,
        "width": width,
        "annotations": annotations,
    }
