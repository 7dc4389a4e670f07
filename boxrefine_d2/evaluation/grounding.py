"""Phrase grounding: pointing accuracy and box accuracy.

The protocol is that of the box-refinement paper (ICCV 2023). Its unit is an annotation with a
phrase. Pointing is right if the brightest pixel of the phrase's heatmap lies in any box of the
annotation, borders included. The box is right if the union of the predicted boxes and the union of
the annotation's boxes have IoU >= 0.5. An annotation without a prediction is a miss, and the number
of these is returned. Boxes are XYXY, half-open, in pixels of the original image; a point (x, y) is
the column and the row of a pixel.
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
# least share of the records of a file that must belong to annotations of the data set
MIN_MATCHED_SHARE = 0.5

UnitId = tuple[ImageId, ImageId]  # (image id, annotation id)


@dataclass(frozen=True)
class GroundedPhrase:
    """Ground truth of one phrase.

    Attributes:
        image_id: id of the image.
        annotation_id: id of the annotation, unique within its image.
        phrases: phrases for the same object; one or more.
        boxes: (N, 4), N >= 1.
    """

    image_id: ImageId
    annotation_id: ImageId
    phrases: tuple[str, ...]
    boxes: Tensor

    @property
    def unit_id(self) -> UnitId:
        """Ids by which a prediction names this annotation."""
        return self.image_id, self.annotation_id

    def is_pointed_at(self, point: Sequence[float]) -> bool:
        """Return whether (x, y) lies in a box, borders included.

        >>> phrase = GroundedPhrase(1, 1, ("a dog",), torch.tensor([[2.0, 2.0, 4.0, 6.0]]))
        >>> phrase.is_pointed_at((4, 6)), phrase.is_pointed_at((5, 6))
        (True, False)
        """
        x, y = point
        x1, y1, x2, y2 = self.boxes.unbind(dim=1)
        return bool(((x1 <= x) & (x <= x2) & (y1 <= y) & (y <= y2)).any())

    def is_boxed(self, box: Sequence[float] | None) -> bool:
        """Return whether a box has IoU >= 0.5 with the union of the boxes; None has not."""
        return box is not None and is_localised(box, union_box(self.boxes)[None])


def grounded_phrases(records: Iterable[Mapping[str, Any]], name: str) -> list[GroundedPhrase]:
    """Return the annotations with a phrase, without crowds, in the order of the data set.

    An annotation may have `phrases` in place of `phrase`, and `boxes` besides its `bbox`, all XYXY.
    An annotation without `annotation_id` has its position in its image as id, from 0.

    Raises: UserError if no annotation has a phrase, or if two of an image have the same id.
    """
    grounded = []
    for record in records:
        for place, annotation in enumerate(record.get("annotations", ())):
            phrases = annotation.get("phrases") or [annotation.get("phrase")]
            phrases = tuple(phrase for phrase in phrases if phrase)
            if not phrases or annotation.get("iscrowd", 0):
                continue
            boxes = annotation.get("boxes") or [annotation["bbox"]]
            grounded.append(
                GroundedPhrase(
                    record["image_id"],
                    annotation.get("annotation_id", place),
                    phrases,
                    torch.tensor(boxes, dtype=torch.float64),
                )
            )
    if not grounded:
        raise UserError(
            f"{name}: no annotation has a phrase; "
            "grounding is scored on data sets such as cutouts_val or scenes:val"
        )
    twice = [unit for unit, count in Counter(p.unit_id for p in grounded).items() if count > 1]
    if twice:
        raise UserError(
            f"{name}: two phrases of image {twice[0][0]!r} have the annotation id {twice[0][1]!r}"
        )
    return grounded


def outside_their_image(
    phrases: Sequence[GroundedPhrase], records: Iterable[Mapping[str, Any]]
) -> list[GroundedPhrase]:
    """Return the phrases that have no box inside their image; these count as misses.

    Args:
        phrases: phrases of a data set.
        records: records of the same data set; images of unknown size are not checked.
    """
    sizes = {r["image_id"]: (r.get("width"), r.get("height")) for r in records}
    return [phrase for phrase in phrases if _is_outside(phrase.boxes, *sizes[phrase.image_id])]


def _is_outside(boxes: Tensor, width: int | None, height: int | None) -> bool:
    if not width or not height:
        return False
    x1, y1, x2, y2 = boxes.unbind(dim=1)
    return not bool(((x1 < width) & (x2 > 0) & (y1 < height) & (y2 > 0)).any())


def outside_text(outside: Sequence[GroundedPhrase], name: str) -> str:
    """Return the warning about phrases, at least one, that lie outside their image."""
    first = outside[0]
    return (
        f"{name}: {len(outside)} phrases have no box inside their image (first: annotation "
        f"{first.annotation_id!r} of image {first.image_id!r}); they count as misses"
    )


def grounding_of_file(ground_truth: GroundTruth, predictions: PredictionFile) -> MetricResult:
    """Return both accuracies of a file of records.

    A record is {image_id, annotation_id, phrase, bbox, point, score}.

    Raises: UserError for a record that lacks a field, has an invalid value, or belongs to no
        annotation of the data set.
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
    """Prediction for a phrase, in pixels of the original image.

    Attributes:
        point: brightest pixel (x, y), or None.
        box: XYXY union of the predicted boxes, or None.
    """

    point: Sequence[float] | None
    box: Sequence[float] | None


@dataclass(frozen=True)
class GroundingAccuracy:
    """Hits of one source on one data set.

    Attributes:
        pointed: unit -> whether its point is a hit; all phrases, in data set order.
        boxed: unit -> whether its box is a hit; all phrases, in data set order.
        without_record: number of phrases that are a miss because they have no prediction.
        without_box: number of phrases that are a miss because their prediction has no box.
    """

    pointed: dict[UnitId, bool]
    boxed: dict[UnitId, bool]
    without_record: int
    without_box: int

    def percents(self) -> dict[str, float]:
        """Return {"pointing": ..., "box_acc": ...} in percent."""
        hits_of = {"pointing": self.pointed, "box_acc": self.boxed}
        return {name: 100.0 * sum(hits.values()) / len(hits) for name, hits in hits_of.items()}


def grounding_accuracy(
    phrases: Sequence[GroundedPhrase], found: Mapping[UnitId, Grounded]
) -> GroundingAccuracy:
    """Return both accuracies.

    Args:
        phrases: the phrases to score.
        found: unit -> prediction. Phrases without a prediction are misses; predictions for other
            units are ignored.
    """
    nothing = Grounded(None, None)
    pointed, boxed = {}, {}
    for phrase in phrases:
        grounded = found.get(phrase.unit_id, nothing)
        pointed[phrase.unit_id] = grounded.point is not None and phrase.is_pointed_at(
            grounded.point
        )
        boxed[phrase.unit_id] = phrase.is_boxed(grounded.box)
    recorded = [found[phrase.unit_id] for phrase in phrases if phrase.unit_id in found]
    without_box = sum(grounded.box is None for grounded in recorded)
    return GroundingAccuracy(pointed, boxed, len(phrases) - len(recorded), without_box)


def _by_unit(predictions: PredictionFile) -> dict[UnitId, dict[str, Any]]:
    entry_of: dict[UnitId, dict[str, Any]] = {}
    for entry in predictions.entries:
        unit = (entry["image_id"], entry["annotation_id"])
        if not all(map(is_id, unit)):
            raise UserError(
                f"{predictions.path}: image_id {shown_value(unit[0])}, annotation_id "
                f"{shown_value(unit[1])}: ids are whole numbers or texts"
            )
        if unit in entry_of:
            raise UserError(
                f"{predictions.path}: annotation {unit[1]!r} of image {unit[0]!r} "
                "has two records; write one"
            )
        entry_of[unit] = entry
    return entry_of


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
            f"{path}: {len(matched)} of its {len(entries)} records are of annotations of {name}: "
            f"the file has {_example(entries)}, the ground truth has {_example(known)}; "
            "name the data set that it was made on"
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
    """Return XYXY from the record's [x, y, w, h]; None for a record without a box."""
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
            f"{path}: {name} of annotation {entry['annotation_id']!r} is {shown_value(value)}, "
            f"not {wanted}"
        )
    return [float(number) for number in value]
