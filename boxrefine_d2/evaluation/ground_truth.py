"""Ground truth of a data set for CorLoc: which annotations count, and with which coordinates.

Boxes are XYXY, half-open, float64, in pixels of the original image. Ground truth is human
annotation only.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from detectron2.structures import BoxMode
from torch import Tensor

from boxrefine_d2.errors import UserError, check_choice

# an int (COCO) or a str (VOC: "000005"); 5, "5" and "000005" are three different ids
ImageId = Hashable
Record = Mapping[str, Any]  # a Detectron2 dataset dict


@dataclass(frozen=True)
class CorLocProtocol:
    """One way of counting ground truth. The defaults are LOST's on VOC (arXiv:2109.14279, code).

    Attributes:
        hard: whether objects marked difficult or truncated are ground truth.
        crowd: whether crowd annotations are ground truth.
        rounding: "none"; "nearest" (to integers, ties to even); "release" (see `release_rounding`).
        drop_thin_images: whether an image has no ground truth if every one of its annotations has a
            side of at most 1 px.
        integer_h: whether the detector's own boxes are truncated to integers before they are
            scored.
    """

    hard: bool = True
    crowd: bool = False
    rounding: Literal["none", "nearest", "release"] = "none"
    drop_thin_images: bool = False
    integer_h: bool = False


PROTOCOLS = {
    "lost": CorLocProtocol(),
    "no_hard": CorLocProtocol(hard=False),  # LOST's "VOC_all" set-up; in no published table
    "release": CorLocProtocol(
        crowd=True, rounding="release", drop_thin_images=True, integer_h=True
    ),
}


@dataclass(frozen=True)
class GroundTruth:
    """A data set to score against.

    Attributes:
        name: the dataset spec, for messages.
        records: Detectron2 dataset dicts, one per image.
        category_ids: ids that a prediction file may use for the categories, in the order of
            `category_id` in the records; None if unknown.
        protocol: name in `PROTOCOLS`.
        rounds_boxes: whether the published CorLoc of the data set uses coordinates rounded to
            integers (COCO20k).
        category_names: names of the categories in the order of `category_ids`; None if unknown.
        has_background: whether pixels of no category are a class of semantic maps.
    """

    name: str
    records: Sequence[Record]
    category_ids: Sequence[int] | None = None
    protocol: str = "lost"
    rounds_boxes: bool = False
    category_names: Sequence[str] | None = None
    has_background: bool = True

    def boxes(self) -> dict[ImageId, Tensor]:
        """Return image id -> (N, 4) float64; N = 0 for an image without ground truth.

        Raises: UserError for missing labels, repeated ids, or a protocol that does not apply.
        """
        protocol = protocol_for(self.protocol, rounds_boxes=self.rounds_boxes)
        check_labels(self.records, self.name)
        if not protocol.hard and not _marks_hard_objects(self.records):
            raise UserError(
                f"protocol no_hard: {self.name} marks no object as difficult or truncated; "
                "only VOC trees (voc:ROOT:SPLIT, voc_2007_trainval, ...) do"
            )
        return {r["image_id"]: ground_truth_boxes(r, protocol) for r in self.records}


def protocol_for(name: str, *, rounds_boxes: bool = False) -> CorLocProtocol:
    """Return the named protocol; it rounds coordinates if `rounds_boxes` says so.

    LOST rounds the ground truth of COCO20k to integers. Other COCO files keep their coordinates:
    rounding would move the boxes of a user's data, and no published number needs it.

    Raises: UserError, naming the known protocols.
    """
    check_choice("protocol", name, PROTOCOLS)
    protocol = PROTOCOLS[name]
    if rounds_boxes and protocol.rounding == "none":
        return replace(protocol, rounding="nearest")
    return protocol


def ground_truth_boxes(record: Record, protocol: CorLocProtocol) -> Tensor:
    """Return the ground-truth boxes of one image, (N, 4) float64; categories do not matter.

    >>> person = {"bbox": [0.0, 0.0, 9.5, 10.5], "bbox_mode": 0, "difficult": True}
    >>> record = {"image_id": 1, "height": 20, "width": 20, "annotations": [person]}
    >>> ground_truth_boxes(record, protocol_for("lost", rounds_boxes=True)).tolist()
    [[0.0, 0.0, 10.0, 10.0]]
    >>> ground_truth_boxes(record, PROTOCOLS["no_hard"]).shape
    torch.Size([0, 4])
    """
    kept = [a for a in record.get("annotations", ()) if _is_kept(a, protocol)]
    boxes = torch.tensor([_xyxy(a) for a in kept], dtype=torch.float64).reshape(-1, 4)
    if protocol.drop_thin_images and bool((_sides(boxes).min(dim=1).values <= 1).all()):
        return boxes[:0]
    if protocol.rounding == "nearest":
        return boxes.round()
    if protocol.rounding == "release" and len(boxes):
        return release_rounding(boxes, (record["height"], record["width"]))
    return boxes


def release_rounding(boxes: Tensor, image_size: tuple[int | None, int | None]) -> Tensor:
    """Return coordinates as the release of Box-based Refinement scores them.

    The release divides by the image size and multiplies by it again in float32, then truncates to
    int16. Some integers become one pixel smaller: 7 of 481 at width 480.

    Args:
        boxes: (N, 4) XYXY in image pixels.
        image_size: (H, W).
    Returns: (N, 4) float64 holding integers.
    Raises: UserError if the size is not known.
    """
    height, width = image_size
    if height is None or width is None:
        raise UserError("protocol release needs the size of every image, and one cannot be read")
    scale = torch.tensor([width, height, width, height], dtype=torch.float32)
    return (boxes.to(torch.float32) / scale * scale).to(torch.int16).to(torch.float64)


def check_labels(records: Sequence[Record], name: str) -> None:
    """Refuse records with repeated ids, without any image or without any annotation.

    Raises: UserError.
    """
    check_unique_ids(records, name)
    if not any("annotations" in r for r in records):
        raise UserError(
            f"{name} has no labels, so there is no ground truth to score against; "
            "name a labelled data set (coco:JSON:DIR, voc:ROOT:SPLIT, scenes:val, ...)"
        )
    if not any(r.get("annotations") for r in records):
        raise UserError(
            f"{name}: none of its {len(records)} images has an annotation; nothing to score against"
        )


def check_unique_ids(records: Sequence[Record], name: str) -> None:
    """Refuse records with repeated ids or without any image. Raises: UserError."""
    if not records:
        raise UserError(f"{name} has no images; nothing can be evaluated")
    seen: set[ImageId] = set()
    for record in records:
        if record["image_id"] in seen:
            raise UserError(f"{name}: image id {record['image_id']!r} occurs twice; ids are unique")
        seen.add(record["image_id"])


def _is_kept(annotation: Mapping[str, Any], protocol: CorLocProtocol) -> bool:
    if annotation.get("iscrowd", 0) and not protocol.crowd:
        return False
    is_hard = annotation.get("difficult", False) or annotation.get("truncated", False)
    return protocol.hard or not is_hard


def _xyxy(annotation: Mapping[str, Any]) -> list[float]:
    # BoxMode.convert would go through float32, which can move an IoU off an exact half
    x, y, third, fourth = (float(v) for v in annotation["bbox"])
    if annotation["bbox_mode"] == BoxMode.XYWH_ABS:
        return [x, y, x + third, y + fourth]
    if annotation["bbox_mode"] == BoxMode.XYXY_ABS:
        return [x, y, third, fourth]
    raise ValueError(f"bbox_mode {annotation['bbox_mode']!r} is neither XYXY_ABS nor XYWH_ABS")


def _sides(boxes: Tensor) -> Tensor:
    return boxes[:, 2:] - boxes[:, :2]


def _marks_hard_objects(records: Sequence[Record]) -> bool:
    return any(
        "difficult" in a or "truncated" in a for r in records for a in r.get("annotations", ())
    )
