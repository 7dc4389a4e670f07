"""Scores of boxes before and after refinement, for data with labels; no decision reads them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from boxrefine_d2.data.datasets.coco import xyxy_of
from boxrefine_d2.data.pseudo_label_file import PseudoLabels
from boxrefine_d2.data.records import LoadedDataset, Record
from boxrefine_d2.evaluation import Detections, GroundTruth, corloc, top_box
from boxrefine_d2.evaluation.bootstrap import INTERVAL, mean_with_interval, paired_gain
from boxrefine_d2.evaluation.coco_regions import objects_of, outcome
from boxrefine_d2.evaluation.precision_recall import averages

AP_DRAWS = 1000  # a draw computes the precision anew, which takes a millisecond or more

Found = Mapping[Any, Detections]


def is_labelled(records: Sequence[Record]) -> bool:
    """Return True if any image has an annotation."""
    return any(record.get("annotations") for record in records)


def detections_of(labels: PseudoLabels) -> dict[Any, Detections]:
    """Return the boxes of a pseudo-label file by image id."""
    rows: dict[Any, list[dict[str, Any]]] = {image["id"]: [] for image in labels.images}
    for entry in labels.annotations:
        rows[entry["image_id"]].append(entry)
    return {
        image_id: Detections(
            np.array([xyxy_of(e["bbox"]) for e in entries], np.float64).reshape(-1, 4),
            np.array([e.get("score", 1.0) for e in entries], np.float64),
        )
        for image_id, entries in rows.items()
    }


def top_boxes(found: Found) -> dict[Any, list[float] | None]:
    """Return the box of the highest score of each image, or None."""
    return {
        image_id: top_box(torch.from_numpy(own.boxes), torch.from_numpy(own.scores))
        for image_id, own in found.items()
    }


def hits(dataset: LoadedDataset, name: str, found: Found) -> dict[Any, bool]:
    """Return image id -> True if the image's best box hits an object, as in CorLoc.

    Images without ground truth are left out.
    """
    truth = GroundTruth(name, dataset.records, rounds_boxes=dataset.corloc_rounds_boxes)
    return corloc(top_boxes(found), truth.boxes()).hits


def scores(dataset: LoadedDataset, name: str, before: Found, after: Found) -> dict[str, Any] | None:
    """Return CorLoc and AP50 before and after, and the paired intervals of their differences.

    Returns: {"images", "corloc": {"before", "after", "difference"}, "ap50": the same}, in percent;
        "ap50" is absent if no object counts for it; None for data without labels.
    """
    if not is_labelled(dataset.records):
        return None
    pair = [[list(hits(dataset, name, found).values())] for found in (before, after)]
    result: dict[str, Any] = {
        "images": len(pair[0][0]),
        "corloc": {
            "before": mean_with_interval(pair[0]).to_json(),
            "after": mean_with_interval(pair[1]).to_json(),
            "difference": paired_gain(*pair).to_json(),
        },
    }
    ap50 = _ap50(dataset.records, name, before, after)
    return result | ({"ap50": ap50} if ap50 else {})


def _ap50(
    records: Sequence[Record], name: str, before: Found, after: Found, seed: int = 0
) -> dict[str, Any] | None:
    """Return AP50 before and after, and the interval of the difference over drawn images."""
    objects = [objects_of(record, name, of_masks=False) for record in records]
    if all(own.crowd.all() for own in objects):
        return None
    ids = [record["image_id"] for record in records]
    outcomes = [
        [outcome(found.get(i), own, of_masks=False) for i, own in zip(ids, objects, strict=True)]
        for found in (before, after)
    ]

    def ap50(chosen: Iterable[int]) -> list[float]:
        picked = list(chosen)
        return [averages([own[i] for i in picked]).get("ap50", 0.0) for own in outcomes]

    rng = np.random.default_rng(seed)
    draws = np.array([ap50(rng.integers(len(ids), size=len(ids))) for _ in range(AP_DRAWS)])
    values, ends = ap50(range(len(ids))), np.percentile(draws, INTERVAL, axis=0).T
    gain = np.percentile(draws[:, 1] - draws[:, 0], INTERVAL).tolist()
    return {
        "before": {"mean": values[0], "ci95": ends[0].tolist()},
        "after": {"mean": values[1], "ci95": ends[1].tolist()},
        "difference": {"mean": values[1] - values[0], "ci95": gain},
    }
