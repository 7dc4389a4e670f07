"""Rendered data sets as Detectron2 records and as images."""

import copy
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from detectron2.structures import BoxMode

from boxrefine_d2.errors import UserError, check_choice
from boxrefine_d2.masks.coding import encode_masks

from .layout import visible_boxes
from .painting import paint_scene
from .worlds import WORLDS

_FILE_NAME = re.compile(r"([a-z]+):([a-z]+)/(\d{6})")
_FIRST_IMAGE_ID = {"train": 1, "val": 1_000_001, "test": 2_000_001}
_MOST_RECORDS = sum(sum(world.split_sizes.values()) for world in WORLDS.values())


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
    split: str, limit: int | None = None, world: str = "scenes"
) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
    """Return the annotations of a split as Detectron2 dataset dicts, without painting.

    Args:   split: a split of the world.  limit: number of first scenes to return.
            world: a key of `WORLDS`.
    Returns: the records, which the caller may change, and the category names. Boxes are XYXY_ABS,
             half-open floats around the visible part. The segmentation is a compressed RLE with
             string counts.
    Raises: UserError if the split is unknown or the limit below 1.
    """
    count = WORLDS[world].size(split)
    if limit is not None:
        if limit < 1:
            raise UserError(f"limit {limit} of {world}:{split} leaves no image; give 1 or more")
        count = min(count, limit)
    records = [copy.deepcopy(_record(world, split, index)) for index in range(count)]
    return records, WORLDS[world].category_names


def render_scene(split: str, index: int, world: str = "scenes") -> Scene:
    """Paint one scene. Every call returns the same bits.

    Raises: UserError if there is no such split or index.
    """
    home = WORLDS[world]
    layout = home.layout(split, index)
    ids = list(layout.annotated.values())
    masks = layout.masks[list(layout.annotated)]
    return Scene(
        image=paint_scene(layout, home.painting_generator(split, index)),
        boxes=visible_boxes(masks),
        masks=masks,
        category_ids=np.array(ids, dtype=np.int64),
        category_names=tuple(home.category_names[i] for i in ids),
        phrases=tuple(layout.objects[position].phrase for position in layout.annotated),
    )


def render_file(file_name: str) -> np.ndarray:
    """Return the image that the `file_name` of a record names, (H, W, 3) uint8 RGB.

    Raises: UserError if the name does not have the form "WORLD:SPLIT/NUMBER", or if there is no
            such scene.
    """
    match = _FILE_NAME.fullmatch(file_name)
    if match is None:
        raise UserError(f"{file_name!r} names no scene; the form is scenes:train/000012")
    world, split, number = match.groups()
    check_choice("rendered data set", world, WORLDS)
    return render_scene(split, int(number), world).image


@lru_cache(maxsize=_MOST_RECORDS)
def _record(world: str, split: str, index: int) -> dict[str, Any]:
    """Return the cached record of one scene. Callers must copy it before they pass it on."""
    home = WORLDS[world]
    layout = home.layout(split, index)
    height, width = layout.scene.size
    masks = layout.masks[list(layout.annotated)]
    annotations = [
        {
            "bbox": box,
            "bbox_mode": BoxMode.XYXY_ABS,
            "category_id": category_id,
            "iscrowd": 0,
            "area": int(mask.sum()),
            "segmentation": rle,
            "phrase": layout.objects[position].phrase,
        }
        for box, (position, category_id), mask, rle in zip(
            visible_boxes(masks).tolist(), layout.annotated.items(), masks, encode_masks(masks)
        )
    ]
    record = {
        "file_name": f"{world}:{split}/{index:06d}",
        "image_id": _FIRST_IMAGE_ID[split] + index,
        "height": height,
        "width": width,
        "annotations": annotations,
    }
    if home.has_labels:
        record["image_label"] = home.label(split, index)
    return record
