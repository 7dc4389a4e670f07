"""Average precision of boxes and masks by category, as in COCO's own evaluation.

The boxes of a category are scored against its objects alone, and a metric is the mean over the
categories that have objects to find. A file with categories of its own, as `boxrefine name` writes
it, is matched by their names; a results list has the ids of the ground truth.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from boxrefine_d2.errors import UserError

from .average_precision import ap_of_file
from .ground_truth import GroundTruth, Record, check_labels
from .predictions import PredictionFile
from .results import MetricResult


def category_ap_of_file(
    ground_truth: GroundTruth, predictions: PredictionFile, *, of_masks: bool
) -> MetricResult:
    """Return the metrics of a file with categories, and those of each category.

    Raises: UserError for a data set or a file without categories, a category of the file that the
        data set lacks, and see `average_precision`.
    """
    check_labels(ground_truth.records, ground_truth.name)
    ids = list(ground_truth.category_ids or ())
    if not ids:
        raise UserError(f"{ground_truth.name} has no categories; leave --categories out")
    names = list(ground_truth.category_names or map(str, ids))
    predictions.require("ap", "image_id", "bbox", "category_id")
    place_of = _places(predictions, ids, names, ground_truth.name)
    whole = ap_of_file(ground_truth, predictions, of_masks=of_masks)
    found: dict[str, MetricResult] = {}
    for place, name in enumerate(names):
        records = [_of_category(record, place) for record in ground_truth.records]
        if not any(_to_find(a) for record in records for a in record["annotations"]):
            continue
        entries = [e for e in predictions.entries if place_of[str(e["category_id"])] == place]
        own = replace(predictions, entries=entries)
        truth = replace(ground_truth, records=records)
        found[name] = ap_of_file(truth, own, of_masks=of_masks, checked=False)
    if not found:
        raise UserError(f"no category of {ground_truth.name} has an object to find")
    metrics = list(dict.fromkeys(key for each in found.values() for key in each.values))
    values = {
        key: float(np.mean([each.values[key] for each in found.values() if key in each.values]))
        for key in metrics
    }
    first = metrics[0]
    per_class = {name: each.values[first] for name, each in found.items() if first in each.values}
    counts = {**whole.counts, "categories_evaluated": len(found)}
    counts["categories_without_objects"] = len(names) - len(found)
    return MetricResult(values, counts, whole.warnings, per_class={first: per_class})


def _places(
    predictions: PredictionFile, ids: Sequence[int], names: Sequence[str], data: str
) -> dict[str, int]:
    """Return category id of the file -> place among the categories of the data set."""
    if predictions.categories is None:
        place_of = {str(category_id): place for place, category_id in enumerate(ids)}
    else:
        known = {name: place for place, name in enumerate(names)}
        own = {str(c.get("id")): str(c.get("name")) for c in predictions.categories}
        strange = [name for name in own.values() if name not in known]
        if strange:
            raise UserError(
                f"{predictions.path}: {data} has no category {strange[0]!r}; known: "
                f"{', '.join(names[:20])}; leave --categories out to score boxes without classes"
            )
        place_of = {category_id: known[name] for category_id, name in own.items()}
    unknown = {str(e["category_id"]) for e in predictions.entries} - place_of.keys()
    if unknown:
        raise UserError(
            f"{predictions.path}: category id {min(unknown)} is none of {data}: "
            f"{', '.join(map(str, ids[:20]))}"
        )
    return place_of


def _of_category(record: Record, place: int) -> dict[str, Any]:
    """Return a record with the objects of one category."""
    own = [a for a in record.get("annotations", ()) if a["category_id"] == place]
    return {**record, "annotations": own}


def _to_find(annotation: Mapping[str, Any]) -> bool:
    return not annotation.get("iscrowd", 0) and not annotation.get("difficult", 0)
