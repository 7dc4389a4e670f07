"""COCO's averages of precision and recall over the outcomes of all images."""

from collections.abc import Sequence

import numpy as np

from .coco_matching import HIT, MISS, SIZES, THRESHOLDS, FloatArray, ImageOutcome

RECALLS = np.linspace(0, 1, 101)  # recalls at which precision is read
AP_METRICS = ("ap", "ap50", "ap75", "ar100", "ap_small", "ap_medium", "ap_large")


def averages(images: Sequence[ImageOutcome]) -> dict[str, float]:
    """Return `AP_METRICS` in percent, without those of size classes without objects.

    Equal scores in different images are taken in the order of `images`.
    """
    scores = np.concatenate([image.scores for image in images])
    order = np.argsort(-scores, kind="stable")
    outcomes = np.concatenate([image.outcomes for image in images], axis=2)[:, :, order]
    objects = np.sum([image.objects for image in images], axis=0)
    values: dict[str, float] = {}
    for index, size in enumerate(SIZES):
        if not objects[index]:
            continue
        precision, recall = _curves(outcomes[index] == HIT, outcomes[index] == MISS, objects[index])
        if size != "all":
            values[f"ap_{size}"] = 100 * float(precision.mean())
            continue
        for name, threshold in (("ap50", 0.5), ("ap75", 0.75)):
            values[name] = 100 * float(precision[np.isclose(THRESHOLDS, threshold)].mean())
        values["ap"] = 100 * float(precision.mean())
        values["ar100"] = 100 * float(recall.mean())
    return {name: values[name] for name in AP_METRICS if name in values}


def _curves(hits: np.ndarray, misses: np.ndarray, objects: int) -> tuple[FloatArray, FloatArray]:
    """Return the precision (T, 101) at `RECALLS` and the final recall (T,).

    The precision at a recall is the best precision at that or any higher recall.

    Args:
        hits: (T, D) bool, from the highest score down.
        misses: (T, D) bool, from the highest score down.
        objects: number of objects to be found.
    """
    hit_counts, miss_counts = hits.cumsum(axis=1), misses.cumsum(axis=1)
    recall = hit_counts / objects
    # COCO's spacing avoids 0 / 0: the first detections may all be ignored
    precision = hit_counts / (hit_counts + miss_counts + np.spacing(1))
    precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    # one more column: the precision is 0 at a recall that is not reached
    precision = np.pad(precision, ((0, 0), (0, 1)))
    at = np.stack([np.searchsorted(row, RECALLS) for row in recall])
    final = recall[:, -1] if recall.shape[1] else np.zeros(len(recall))
    return np.take_along_axis(precision, at, axis=1), final
