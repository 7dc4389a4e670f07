"""Mean IoU of semantic maps: one class per pixel, counts pooled over all images.

The IoU of a class is TP / (TP + FP + FN). The mean is over all classes that occur in the ground
truth or in the predictions, and over the background of data that have one.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from boxrefine_d2.data.datasets.semantic_maps import BACKGROUND, IGNORED
from boxrefine_d2.errors import UserError
from boxrefine_d2.files.inputs import check_regular_file
from boxrefine_d2.files.values import is_file_name, known_size, shown_value
from boxrefine_d2.masks.coding import decode_mask
from boxrefine_d2.progress import with_progress

from .ground_truth import GroundTruth, check_labels
from .image_ids import check_ids
from .predictions import PredictionFile, best_entries
from .results import MetricResult

SEMANTIC_METRICS = ("miou",)
_MODES = ("L", "P", "I;16", "I")  # of a PNG file with one number per pixel

Ids = NDArray[np.int64]


def semantic_map_metrics(ground_truth: GroundTruth, predictions: PredictionFile) -> MetricResult:
    """Return `miou` of a semantic.json, and the IoU of each class.

    Raises: UserError for a data set without masks, a file without maps or of other images, a map
        that cannot be read or has another size than its image, or an id that no class has.
    """
    if not all(record.get("sem_seg_file_name") for record in ground_truth.records):
        check_labels(ground_truth.records, ground_truth.name)
    predictions.require("miou", "image_id", "segmentation_map")
    categories = _category_ids(ground_truth)
    ids = [BACKGROUND, *categories] if ground_truth.has_background else categories
    entries = best_entries(predictions)
    known = {record["image_id"] for record in ground_truth.records}
    warnings = check_ids(predictions.path, entries, known, ground_truth.name, all_images=True)
    counts = ConfusionCounts(len(ids))
    missing = 0
    for record in with_progress(ground_truth.records, "semantic maps"):
        truth = _places(true_map(record, categories, ground_truth.name), ids, ground_truth.name)
        entry = entries.get(record["image_id"])
        missing += entry is None
        predicted = np.full(truth.shape, IGNORED)
        if entry is not None:
            path = _path_of(entry, predictions.path)
            predicted = read_label_map(path)
            if predicted.shape != truth.shape:
                raise UserError(
                    f"{path}: the map is {_size(predicted)} pixels, and its image {_size(truth)}; "
                    "write maps in the size of the images"
                )
            if not ground_truth.has_background:
                predicted = np.where(predicted == BACKGROUND, IGNORED, predicted)
            predicted = _places(predicted, ids, str(path))
        counts.add(truth, predicted)
    names = _names(ground_truth, categories)
    if ground_truth.has_background:
        names = ["background", *names]
    iou = counts.iou()
    per_class = {
        name: value for name, value in zip(names, iou.tolist(), strict=True) if not np.isnan(value)
    }
    numbers = {
        "images_evaluated": len(ground_truth.records),
        "images_without_prediction": missing,
        "classes_evaluated": len(per_class),
        "classes_that_occur_nowhere": len(ids) - len(per_class),
    }
    mean = float(np.nanmean(iou)) if per_class else float("nan")
    return MetricResult({"miou": mean}, numbers, warnings, per_class={"iou": per_class})


class ConfusionCounts:
    """Counts of pixels by true and predicted class; `IGNORED` is no class.

    Attributes: table: (K, K + 1) pixels of each true class by prediction; the last column holds
        pixels without a class.
    """

    def __init__(self, classes: int):
        self.table = np.zeros((classes, classes + 1), np.int64)

    def add(self, truth: Ids, predicted: Ids) -> None:
        """Count an image. Args: truth, predicted: (H, W) places of classes, or `IGNORED`."""
        classes = len(self.table)
        counted = truth != IGNORED
        columns = np.where(predicted == IGNORED, classes, predicted)[counted]
        places = truth[counted] * (classes + 1) + columns
        self.table += np.bincount(places, minlength=self.table.size).reshape(self.table.shape)

    def iou(self) -> NDArray[np.float64]:
        """Return the IoU of each class in percent, (K,); NaN for one that occurs nowhere."""
        right = np.diagonal(self.table)
        union = self.table.sum(axis=1) + self.table[:, :-1].sum(axis=0) - right
        result = np.full(len(right), np.nan)
        np.divide(100 * right, union, out=result, where=union > 0)
        return result


def read_label_map(path: Path) -> Ids:
    """Return the category id of each pixel of a PNG file, (H, W).

    Raises: UserError for a file that is missing, cannot be read, or has colours.
    """
    check_regular_file(path, "semantic map")
    try:
        with Image.open(path, formats=["PNG"]) as image:
            if image.mode not in _MODES:
                raise UserError(
                    f"semantic map {str(path)!r} is a colour image; write the category id of each "
                    "pixel into a PNG file with one channel"
                )
            pixels: Ids = np.array(image).astype(np.int64)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UserError(
            f"semantic map {str(path)!r} cannot be read ({error}); write it again as PNG"
        ) from error
    return pixels


def true_map(record: Mapping[str, Any], ids: Sequence[int], name: str) -> Ids:
    """Return the category id of each pixel, (H, W): the map of a file, or the masks of objects.

    A smaller object covers a larger one, and crowds are ignored.

    Args: ids: ids of the categories by their place.  name: dataset spec, for messages.
    Raises: UserError for an image without a size, or an object without a mask.
    """
    if record.get("sem_seg_file_name"):
        values = read_label_map(Path(record["sem_seg_file_name"]))
        table = record.get("sem_seg_table")
        return values if table is None else np.array(table)[np.minimum(values, IGNORED)]
    size = known_size(record)
    if size is None:
        raise UserError(f"{name}: the size of image {record['image_id']!r} is not known")
    painted = np.full(size, BACKGROUND)
    masks = []
    for annotation in record.get("annotations", ()):
        if not annotation.get("segmentation"):
            raise UserError(
                f"{name}: an object of image {record['image_id']!r} has no mask; miou needs the "
                "masks of all objects"
            )
        mask = decode_mask(annotation["segmentation"], size).astype(bool)
        crowd = annotation.get("iscrowd", 0)
        masks.append((mask, IGNORED if crowd else ids[annotation["category_id"]]))
    for mask, value in sorted(masks, key=lambda each: -int(each[0].sum())):
        painted[mask] = value
    return painted


def _category_ids(truth: GroundTruth) -> list[int]:
    ids = [int(x) for x in truth.category_ids or ()]
    if not ids:
        raise UserError(f"{truth.name} has no categories, and miou is the mean over them")
    wrong = [x for x in ids if x in (BACKGROUND, IGNORED)]
    if wrong:
        raise UserError(
            f"{truth.name}: a category has the id {wrong[0]}; in semantic maps {BACKGROUND} is "
            f"background and {IGNORED} is ignored"
        )
    return ids


def _names(truth: GroundTruth, ids: Sequence[int]) -> list[str]:
    return list(truth.category_names or map(str, ids))


def _places(labels: Ids, ids: Sequence[int], where: str) -> Ids:
    """Return the place of each id in `ids`; `IGNORED` stays. Raises: UserError for another id."""
    table = np.full(max(*ids, IGNORED, int(labels.max(initial=0))) + 1, -1)
    table[IGNORED] = IGNORED
    table[list(ids)] = np.arange(len(ids))
    if int(labels.min(initial=0)) < 0:
        raise UserError(f"{where}: a pixel has the id {labels.min()}; ids are whole numbers from 0")
    places: Ids = table[labels]
    if (places < 0).any():
        raise UserError(
            f"{where}: a pixel has the id {labels[places < 0][0]}, which no category has; known: "
            f"{', '.join(map(str, ids[:20]))}"
        )
    return places


def _path_of(entry: Mapping[str, Any], source: str) -> Path:
    name = entry["segmentation_map"]
    if not is_file_name(name):
        raise UserError(
            f"{source}: segmentation_map of image {entry['image_id']!r} is {shown_value(name)}; it "
            "must be the path of a PNG file"
        )
    return Path(source).parent / name


def _size(pixels: Ids) -> str:
    return f"{pixels.shape[1]} x {pixels.shape[0]}"
