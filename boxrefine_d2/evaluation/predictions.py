"""Prediction files: a COCO data set file (as `discover.py` writes it) or a COCO results list."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boxrefine_d2.errors import UserError
from boxrefine_d2.files.inputs import read_json
from boxrefine_d2.files.values import (
    MAX_COORDINATE,
    MAX_NUMBER,
    is_id,
    is_number,
    shown_value,
    size_problem,
)

from .ground_truth import ImageId


@dataclass(frozen=True)
class PredictionFile:
    """A prediction file as it was written; only its outline is checked.

    Attributes:
        path: path of the file, for messages.
        entries: annotations of a data set file, or items of a results list; never empty.
        images: `images` of a data set file; None for a results list.
        categories: `categories` of a data set file; None for a results list.
    """

    path: str
    entries: list[dict[str, Any]]
    images: list[dict[str, Any]] | None = None
    categories: list[dict[str, Any]] | None = None

    def require(self, metric: str, *fields: str) -> None:
        """Refuse entries that lack a field that the metric reads. Raises: UserError."""
        for name in fields:
            lacking = sum(name not in entry for entry in self.entries)
            if lacking:
                raise UserError(
                    f"{self.path}: {lacking} of {len(self.entries)} entries have no '{name}', "
                    f"which metric '{metric}' reads; each entry needs {', '.join(fields)}"
                )


@dataclass(frozen=True)
class BoxTable:
    """Boxes of a prediction file, M rows in file order.

    Attributes:
        image_ids: M ids as in the file.
        boxes: (M, 4) float64, XYXY, half-open, image pixels (converted from [x, y, w, h]).
        scores: (M,) float64; 1 where the file has none.
    """

    image_ids: list[ImageId]
    boxes: NDArray[np.float64]
    scores: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.image_ids)

    def by_image(self) -> Iterator[tuple[ImageId, NDArray[np.float64], NDArray[np.float64]]]:
        """Yield (image id, its boxes (n, 4), its scores (n,)) in order of first appearance.

        The boxes of an image keep the order of the file.
        """
        rows: dict[ImageId, list[int]] = {}
        for row, image_id in enumerate(self.image_ids):
            rows.setdefault(image_id, []).append(row)
        for image_id, picked in rows.items():
            yield image_id, self.boxes[picked], self.scores[picked]


def read_predictions(path: str | Path) -> PredictionFile:
    """Read a data set file or a results list.

    Raises: UserError if the file does not exist, is not JSON, is of neither kind, or holds no
        predictions.
    """
    return _outline(str(path), read_json(path, "prediction file"))


def box_table(predictions: PredictionFile) -> BoxTable:
    """Return the boxes of all entries as arrays.

    Raises: UserError for an invalid id, a box that is not four numbers, or a number that is not
        finite.
    """
    path, entries = predictions.path, predictions.entries
    for entry in entries:
        _check_image_id(entry, path)
        if not _is_category(entry.get("category_id")):
            raise UserError(
                f"{path}: category_id {shown_value(entry['category_id'])} of image "
                f"{entry['image_id']!r} is neither a whole number nor a text"
            )
    xywh = np.array([_numbers(entry, "bbox", 4, path) for entry in entries]).reshape(-1, 4)
    scores = np.array([_numbers(entry, "score", 1, path)[0] for entry in entries])
    bad = ~(np.isfinite(xywh).all(axis=1) & np.isfinite(scores))
    if bad.any():
        first = entries[int(bad.argmax())]
        raise UserError(
            f"{path}: {bad.sum()} of {len(entries)} entries hold a number that is not finite, "
            f"or beyond any image (first: image {first['image_id']!r}, "
            f"bbox {shown_value(first['bbox'])}, score {shown_value(first.get('score', 1.0))}); "
            "remove them or repair what wrote them"
        )
    boxes = np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1)
    return BoxTable([entry["image_id"] for entry in entries], boxes, scores)


def best_entries(predictions: PredictionFile) -> dict[ImageId, dict[str, Any]]:
    """Return the entry of the highest score of each image, the first among equals.

    Raises: UserError for an invalid id, or a score that is no finite number.
    """
    best: dict[ImageId, tuple[float, dict[str, Any]]] = {}
    for entry in predictions.entries:
        _check_image_id(entry, predictions.path)
        [score] = _numbers(entry, "score", 1, predictions.path)
        if math.isnan(score):
            raise UserError(
                f"{predictions.path}: score of image {entry['image_id']!r} is "
                f"{shown_value(entry['score'])}; it must be a finite number"
            )
        before = best.get(entry["image_id"])
        if before is None or score > before[0]:
            best[entry["image_id"]] = score, entry
    return {image_id: entry for image_id, (_, entry) in best.items()}


def _outline(path: str, content: Any) -> PredictionFile:
    images = categories = None
    entries = content
    if isinstance(content, Mapping) and "annotations" in content:
        entries = content["annotations"]
        images, categories = content.get("images", []), content.get("categories", [])
    lists = [part for part in (entries, images, categories) if part is not None]
    if not all(isinstance(part, list) and _all_objects(part) for part in lists):
        raise UserError(
            f"{path} is neither a COCO data set file (an object with images, annotations, "
            "categories) nor a COCO results list (a list of objects with image_id, bbox, score)"
        )
    if not entries:
        raise UserError(f"{path} holds no predictions; check what wrote it")
    for category in categories or ():
        if not _is_category(category.get("id")):
            raise UserError(
                f"{path}: a category has the id {shown_value(category['id'])}; "
                "it must be a whole number or a text"
            )
    for image in images or ():
        problem = size_problem(image)
        if problem:
            raise UserError(f"{path}: image {shown_value(image.get('id'))} {problem}")
    return PredictionFile(path, entries, images, categories)


def _check_image_id(entry: Mapping[str, Any], path: str) -> None:
    if not is_id(entry["image_id"]):
        raise UserError(
            f"{path}: image_id {shown_value(entry['image_id'])} "
            "is neither a whole number nor a text"
        )


def _all_objects(part: list[Any]) -> bool:
    return all(isinstance(item, dict) for item in part)


def _is_category(value: Any) -> bool:
    """Return whether a value can be a category id; other tools write none, null or 1.0."""
    return value is None or is_id(value) or is_number(value)


def _numbers(entry: Mapping[str, Any], name: str, count: int, path: str) -> list[float]:
    """Return the numbers of a field; NaN replaces a number that is not finite or too large."""
    value = entry.get(name, 1.0)
    numbers = [value] if count == 1 else value
    if (
        not isinstance(numbers, list)
        or len(numbers) != count
        or not all(isinstance(v, int | float) and not isinstance(v, bool) for v in numbers)
    ):
        wanted = "[x, y, width, height]" if count == 4 else "a number"
        raise UserError(
            f"{path}: {name} of image {entry['image_id']!r} is {shown_value(value)}, not {wanted}"
        )
    most = MAX_COORDINATE if count == 4 else MAX_NUMBER
    return [float(v) if is_number(v, most) else math.nan for v in numbers]
