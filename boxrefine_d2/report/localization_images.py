"""Images of a localisation's page: box and mask of the first source, and all maps."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.ops import box_iou

from boxrefine_d2.data import ImageReadError, read_image
from boxrefine_d2.data.image_labels import known_label
from boxrefine_d2.data.records import LoadedDataset, Record
from boxrefine_d2.evaluation.ground_truth import ground_truth_boxes, protocol_for
from boxrefine_d2.evaluation.score_maps import is_flat, read_score_map
from boxrefine_d2.localization.result import SourceResult
from boxrefine_d2.masks.coding import decode_mask
from boxrefine_d2.progress import with_progress

from .drawing import DrawnBox, Panel, drawn_box, panel
from .figures import CellMap, photo_uri
from .mask_outline import mask_path
from .rendering import number

PHOTO_SIDE = 384  # longest side of an embedded image, pixels
MAP_SIDE = 112  # longest side of an embedded map, pixels


def image_cards(
    dataset: LoadedDataset, results: Sequence[SourceResult], shown: int
) -> list[dict[str, Any]]:
    """Return the cards of some images: the first of each class, then the second, and so on.

    Images without a box and images that cannot be read any more are left out.

    Args: shown: most images.
    """
    entries = [result.entries() for result in results]
    labels = results[0].labels()
    masks = {annotation["image_id"]: annotation for annotation in labels.annotations}
    known = [r for r in dataset.records if all(r["image_id"] in own for own in entries)]
    chosen = _by_turns(known)[:shown]
    cards = []
    for record in with_progress(chosen, "draw images"):
        try:
            image = read_image(record["file_name"])
        except ImageReadError:
            continue
        image_id = record["image_id"]
        found = [own[image_id] for own in entries]
        cards.append(_card(dataset, record, image, results, found, masks.get(image_id)))
    return cards


def _by_turns(records: Sequence[Record]) -> list[Record]:
    """Return images in an order in which the classes take turns; each class keeps its order."""
    turns: dict[int | None, int] = {}
    ranks = []
    for place, record in enumerate(records):
        label = known_label(record)
        turns[label] = turns.get(label, -1) + 1
        ranks.append((turns[label], -1 if label is None else label, place))
    return [records[place] for _, _, place in sorted(ranks)]


def _card(
    dataset: LoadedDataset,
    record: Record,
    image: np.ndarray,
    results: Sequence[SourceResult],
    found: Sequence[dict[str, Any]],
    label: dict[str, Any] | None,
) -> dict[str, Any]:
    height, width = image.shape[:2]
    truth = ground_truth_boxes(record, protocol_for("lost"))
    own = known_label(record)
    outline = ""
    if label is not None and label.get("segmentation"):
        outline = mask_path(decode_mask(label["segmentation"], (height, width)), PHOTO_SIDE)
    return {
        "name": record.get("relative_name", record["file_name"]),
        "class": dataset.category_names[own] if own is not None else "",
        "predicted": _wrong_class(dataset, own, found[0]),
        "truth": bool(len(truth)),
        "iou": _iou(found[0], truth),
        "uri": photo_uri(image, PHOTO_SIDE),
        "width": width,
        "height": height,
        "mask": outline,
        "boxes": _drawn(found[0], truth, image),
        "maps": [
            _map_panel(image, result, entry, truth)
            for result, entry in zip(results, found, strict=True)
        ],
    }


def _map_panel(
    image: np.ndarray, result: SourceResult, entry: dict[str, Any], truth: Tensor
) -> Panel:
    height, width = image.shape[:2]
    iou = _iou(entry, truth)
    caption = f"{result.title}: IoU {iou}" if iou else result.title
    cells = CellMap(_shown_map(result, entry), (width, height))
    boxes = _drawn(entry, truth, image)
    return panel(image, f"map of {result.title}", boxes, cells=cells, caption=caption)


def _drawn(entry: dict[str, Any], truth: Tensor, image: np.ndarray) -> list[DrawnBox]:
    """Return the boxes of the labels, and that of an entry."""
    height, width = image.shape[:2]
    own = drawn_box("after", _box_of(entry), width, height)
    return [*(drawn_box("gt", box, width, height) for box in truth), own]


def _shown_map(result: SourceResult, entry: dict[str, Any]) -> np.ndarray:
    """Return a map for the page, from 0 to 1, its longest side at most `MAP_SIDE`."""
    values = read_score_map(result.folder / entry["heatmap"])
    if is_flat(values):
        return np.zeros((1, 1))
    low, high = values.min(), values.max()
    reduced = Image.fromarray(((values - low) / (high - low)).astype(np.float32))
    reduced.thumbnail((MAP_SIDE, MAP_SIDE), Image.Resampling.BOX)
    return np.array(reduced)


def _box_of(entry: dict[str, Any]) -> Tensor:
    x, y, width, height = entry["bbox"]
    return torch.tensor([x, y, x + width, y + height], dtype=torch.float64)


def _iou(entry: dict[str, Any], truth: Tensor) -> str:
    """Return the IoU with the object that a box overlaps most; "" without objects."""
    if not len(truth):
        return ""
    return number(float(box_iou(_box_of(entry)[None], truth).max()), digits=2)


def _wrong_class(dataset: LoadedDataset, own: int | None, entry: dict[str, Any]) -> str:
    """Return the name of the predicted class if it is not the image's; "" otherwise."""
    ranked = entry.get("labels") or []
    if not ranked or own is None or ranked[0] == dataset.category_ids[own]:
        return ""
    names = dict(zip(dataset.category_ids, dataset.category_names, strict=True))
    return names.get(ranked[0], "")
