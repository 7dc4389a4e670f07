"""Phrase grounding: pointing accuracy and box accuracy (protocol of the box-refinement paper, ICCV 2023).

The unit is an annotation with a phrase. It is pointed at if the brightest pixel of its heatmap lies in any of its boxes,
borders included; its box is right if the IoU of the union of its boxes with the union of the predicted ones is >= 0.5.
An annotation without a prediction is a miss and is counted. Boxes are XYXY, half-open, in pixels of the original image;
a point (x, y) is the pixel's column and row.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from boxrefine_d2.errors import UserError
from boxrefine_d2.files.values import MAX_COORDINATE, is_id, is_number, shown_value
from boxrefine_d2.structures import union_box

from .corloc import is_localised
from .ground_truth import GroundTruth, ImageId, check_labels
from .predictions import PredictionFile
from .results import MetricResult

GROUNDING_METRICS = ("pointing", "box_acc")
# of the records in a file this share belongs to annotations that there are
MIN_MATCHED_SHARE = 0.5

UnitId = tuple[ImageId, ImageId]  # of an image and of an annotation in it


@dataclass(frozen=True)
class GroundedPhrase:
    """What one phrase of an image names.

    Attributes:
        image_id, annotation_id: which annotation.
        phrases: what it is called; several are phrasings of the same.
        boxes: (N, 4), N >= 1.
    """

    image_id: ImageId
    annotation_id: ImageId
    phrases: tuple[str, ...]
    boxes: Tensor

    @property
    def unit_id(self) -> UnitId:
        """The ids that a prediction names."""
        return self.image_id, self.annotation_id

    def is_pointed_at(self, point: Sequence[float]) -> bool:
        """Whether (x, y) lies in a box.

        >>> phrase = GroundedPhrase(1, 1, ("a dog",), torch.tensor([[2.0, 2.0, 4.0, 6.0]]))
        >>> phrase.is_pointed_at((4, 6)), phrase.is_pointed_at((5, 6))
        (True, False)
        """
        x, y = point
        x1, y1, x2, y2 = self.boxes.unbind(dim=1)
        return bool(((x1 <= x) & (x <= x2) & (y1 <= y) & (y <= y2)).any())

    def is_boxed(self, box: Sequence[float] | None) -> bool:
        """Whether the union of its boxes and the box have IoU >= 0.5; no box is none."""
        return box is not None and is_localised(box, union_box(self.boxes)[None])


def grounded_phrases(records: Iterable[Mapping[str, Any]], name: str) -> list[GroundedPhrase]:
    """The annotations with a phrase, crowds left out, in the order of the data set.

    An annotation may have `phrases` in place of `phrase`, and `boxes` beside its `bbox`, all XYXY. One without
    `annotation_id` goes by its place in its image, from 0.

    Raises: UserError if there is none, or if two of an image have one id.
    """
    found = []
    for record in records:
        for place, annotation in enumerate(record.get("annotations", ())):
            phrases = annotation.get("phrases") or [annotation.get("phrase")]
            phrases = tuple(phrase for phrase in phrases if phrase)
            if not phrases or annotation.get("iscrowd", 0):
                continue
            boxes = annotation.get("boxes") or [annotation["bbox"]]
            found.append(
                GroundedPhrase(
                    record["image_id"],
                    annotation.get("annotation_id", place),
                    phrases,
                    torch.tensor(boxes, dtype=torch.float64),
                )
            )
    if not found:
        raise UserError(
            f"{name}: no annotation has a phrase; grounding is scored on data sets such as cutouts_val or scenes:val"
        )
    twice = [unit for unit, count in Counter(p.unit_id for p in found).items() if count > 1]
    if twice:
        raise UserError(
            f"{name}: two phrases of image {twice[0][0]!r} have the annotation id {twice[0][1]!r}"
        )
    return found


def outside_their_image(
    phrases: Sequence[GroundedPhrase], records: Iterable[Mapping[str, Any]]
) -> list[GroundedPhrase]:
    """Those of which no box has a part in its image, so that nothing can find them; they count as misses.

    Args: records: of the data set; images whose size is not known are not looked at.
    """
    sizes = {r["image_id"]: (r.get("width"), r.get("height")) for r in records}
    return [phrase for phrase in phrases if _is_outside(phrase.boxes, *sizes[phrase.image_id])]


def _is_outside(boxes: Tensor, width: int | None, height: int | None) -> bool:
    if not width or not height:
        return False
    x1, y1, x2, y2 = boxes.unbind(dim=1)
    return not bool(((x1 < width) & (x2 > 0) & (y1 < height) & (y2 > 0)).any())


def outside_text(outside: Sequence[GroundedPhrase], name: str) -> str:
    """What a user is told of phrases, at least one, that lie outside of their image."""
    first = outside[0]
    return (
        f"{name}: {len(outside)} phrases have no box inside their image (first: annotation {first.annotation_id!r} of "
        f"image {first.image_id!r}): misses, whatever is found"
    )


def grounding_of_file(ground_truth: GroundTruth, predictions: PredictionFile) -> MetricResult:
    """Both accuracies of a file of records {image_id, annotation_id, phrase, bbox, point, score}.

    Raises: UserError for a record without a field, with a value that is none, or of no annotation of the data set.
    """
    predictions.require("pointing", "image_id", "annotation_id", "point", "bbox")
    check_labels(ground_truth.records, ground_truth.name)
    phrases = grounded_phrases(ground_truth.records, ground_truth.name)
    entries = _by_unit(predictions)
    warnings = _check_units(predictions.path, entries, phrases, ground_truth.name)
    found = {
        unit: Grounded(
            _numbers(entry, "point", 2, predictions.path), _corners(entry, predictions.path)
        )
        for unit, entry in entries.items()
    }
    result = grounding_accuracy(phrases, found)
    outside = outside_their_image(phrases, ground_truth.records)
    if outside:
        warnings.append(outside_text(outside, ground_truth.name))
    annotations = sum(len(r.get("annotations", ())) for r in ground_truth.records)
    counts = {
        "phrases_evaluated": len(phrases),
        "images_with_phrases": len({phrase.image_id for phrase in phrases}),
        "annotations_without_phrase": annotations - len(phrases),
        "phrases_outside_image": len(outside),
        "phrases_without_record": result.without_record,
        "phrases_without_box": result.without_box,
    }
    return MetricResult(result.percents(), counts, warnings)


@dataclass(frozen=True)
class Grounded:
    """What was found for a phrase: a pixel, and the union of the boxes, either or neither. Frame: the original image."""

    point: Sequence[float] | None
    box: Sequence[float] | None


@dataclass(frozen=True)
class GroundingAccuracy:
    """Hits on one data set.

    Attributes:
        pointed, boxed: unit -> was it a hit; all phrases, in data set order.
        without_record, without_box: phrases that are a miss because nothing, or no box, was found.
    """

    pointed: dict[UnitId, bool]
    boxed: dict[UnitId, bool]
    without_record: int
    without_box: int

    def percents(self) -> dict[str, float]:
        """{"pointing", "box_acc"}."""
        of = {"pointing": self.pointed, "box_acc": self.boxed}
        return {name: 100.0 * sum(hits.values()) / len(hits) for name, hits in of.items()}


def grounding_accuracy(
    phrases: Sequence[GroundedPhrase], found: Mapping[UnitId, Grounded]
) -> GroundingAccuracy:
    """Both accuracies; `found` may lack phrases, which are misses, and may hold more than the phrases."""
    nothing = Grounded(None, None)
    pointed, boxed = {}, {}
    for phrase in phrases:
        of = found.get(phrase.unit_id, nothing)
        pointed[phrase.unit_id] = of.point is not None and phrase.is_pointed_at(of.point)
        boxed[phrase.unit_id] = phrase.is_boxed(of.box)
    recorded = [found[phrase.unit_id] for phrase in phrases if phrase.unit_id in found]
    without_box = sum(of.box is None for of in recorded)
    return GroundingAccuracy(pointed, boxed, len(phrases) - len(recorded), without_box)


def _by_unit(predictions: PredictionFile) -> dict[UnitId, dict[str, Any]]:
    found: dict[UnitId, dict[str, Any]] = {}
    for entry in predictions.entries:
        unit = (entry["image_id"], entry["annotation_id"])
        if not all(map(is_id, unit)):
            raise UserError(
                f"{predictions.path}: image_id {shown_value(unit[0])}, annotation_id {shown_value(unit[1])}: ids are whole numbers or texts"
            )
        if unit in found:
            raise UserError(
                f"{predictions.path}: annotation {unit[1]!r} of image {unit[0]!r} has two records; write one"
            )
        found[unit] = entry
    return found


def _check_units(
    path: str,
    entries: Mapping[UnitId, Mapping[str, Any]],
    phrases: Sequence[GroundedPhrase],
    name: str,
) -> list[str]:
    known = {phrase.unit_id: phrase for phrase in phrases}
    matched = [unit for unit in entries if unit in known]
    if len(matched) < MIN_MATCHED_SHARE * min(len(entries), len(known)):
        raise UserError(
            f"{path}: {len(matched)} of its {len(entries)} records are of annotations of {name}: the file has "
            f"{_example(entries)}, the ground truth has {_example(known)}; name the data set that it was made on"
        )
    foreign = len(entries) - len(matched)
    warnings = [f"{foreign} records of {path} are not in {name}: ignored"] if foreign else []
    differing = sum(
        "phrase" in entries[unit] and entries[unit]["phrase"] not in known[unit].phrases
        for unit in matched
    )
    if differing:
        warnings.append(f"{differing} records have another phrase than their annotation")
    return warnings


def _example(units: Iterable[UnitId]) -> str:
    image_id, annotation_id = next(iter(units))
    return f"annotation {annotation_id!r} of image {image_id!r}"


def _corners(entry: Mapping[str, Any], path: str) -> list[float] | None:
    """XYXY from the record's [x, y, w, h]; None where it has no box."""
    if entry["bbox"] is None:
        return None
    x, y, width, height = _numbers(entry, "bbox", 4, path)
    return [x, y, x + width, y + height]


def _numbers(entry: Mapping[str, Any], name: str, count: int, path: str) -> list[float]:
    value = entry[name]
    if (
        not isinstance(value, list)
        or len(value) != count
        or not all(is_number(number, MAX_COORDINATE) for number in value)
    ):
        wanted = "[x, y, width, height], or null" if name == "bbox" else "[x, y]"
        raise UserError(
            f"{path}: {name} of annotation {entry['annotation_id']!r} is {shown_value(value)}, not {wanted}"
        )
    return [float(number) for number in value]
