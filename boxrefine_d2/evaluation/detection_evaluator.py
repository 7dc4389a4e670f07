"""Evaluator of a trained detector: a file of all detections, CorLoc of the top box, COCO's AP."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm

from . import (
    GroundTruth,
    PredictionFile,
    average_precision,
    check_ground_truth,
    corloc,
    evaluate_predictions,
    write_json,
)
from .detections_file import (
    DETECTIONS_FILE,
    Entries,
    entries_of_instances,
    gathered,
    write_detections,
)
from .results import MetricResult

__all__ = ["DETECTIONS_FILE", "DetectionEvaluator"]

logger = logging.getLogger(__name__)

METRICS_FILE = "metrics.json"
BOX_METRICS = ("corloc", "ap", "ap50", "ap75", "ar100")
MASK_METRICS = ("segm_ap", "segm_ap50")


class DetectionEvaluator(DatasetEvaluator):
    """Evaluator that writes `detections.json`, a pseudo-label file, and scores it against labels.

    `evaluate()` returns metrics in percent and their denominators, {"corloc": ..., "ap": ...,
    "images_evaluated": ...}. For data without labels it returns the numbers of images and
    detections only. Ranks other than the main one return {}.
    """

    def __init__(
        self,
        name: str,
        records: Sequence[Mapping[str, Any]],
        *,
        protocol: str,
        rounds_boxes: bool,
        masks: bool,
        output_dir: Path,
        info: Mapping[str, Any] | None = None,
    ):
        """Check that the labels of the records can be scored.

        Args:
            name: the dataset spec, for messages.
            records: Detectron2 dataset dicts, one per image.
            protocol: see `GroundTruth`.
            rounds_boxes: see `GroundTruth`.
            masks: whether masks are scored as well.
            output_dir: folder of `detections.json` and `metrics.json`.
            info: description of the detector, written into `detections.json`.
        Raises: UserError for labels that cannot be scored.
        """
        self._records = records
        self._info = dict(info or {})
        self._output_dir = output_dir
        self._truth = None
        if any("annotations" in record for record in records):
            self._truth = GroundTruth(name, records, protocol=protocol, rounds_boxes=rounds_boxes)
        with_masks = masks and any(map(_has_mask, records))
        self._metrics = BOX_METRICS + (MASK_METRICS if with_masks else ())
        self._check_labels()
        self.reset()

    def _check_labels(self) -> None:
        """Refuse faulty labels before training starts, by scoring no detections."""
        if self._truth is None:
            return
        check_ground_truth(self._truth)
        corloc({}, self._truth.boxes())
        average_precision(self._truth, {}, of_masks=False)
        if set(MASK_METRICS) <= set(self._metrics):
            average_precision(self._truth, {}, of_masks=True)

    def reset(self) -> None:
        """Forget all outputs."""
        self._entries_of: Entries = {}

    def process(
        self, inputs: Sequence[Mapping[str, Any]], outputs: Sequence[Mapping[str, Any]]
    ) -> None:
        """Keep the detections of each image, best first; the first output of an image counts."""
        for record, output in zip(inputs, outputs, strict=True):
            entries = entries_of_instances(record["image_id"], output["instances"])
            self._entries_of.setdefault(record["image_id"], entries)

    def evaluate(self) -> dict[str, float | int]:
        """Collect the outputs of all ranks, write `detections.json` and score it."""
        entries_of = gathered(self._entries_of)
        if not comm.is_main_process():
            return {}
        path = self._output_dir / DETECTIONS_FILE
        entries = write_detections(path, self._records, entries_of, self._info)
        if self._truth is None:
            return {"images": len(entries_of), "detections": len(entries)}
        result = self._score(self._truth, path, entries)
        write_json(self._output_dir / METRICS_FILE, result.to_json())
        logger.info("%s:\n%s", self._truth.name, result.to_text())
        return result.to_json()

    def _score(self, truth: GroundTruth, path: Path, entries: list[dict[str, Any]]) -> MetricResult:
        if entries:
            file = PredictionFile(str(path), entries)
            return evaluate_predictions(truth, file, self._metrics)
        with_boxes = sum(len(boxes) > 0 for boxes in truth.boxes().values())
        counts = {
            "images_evaluated": with_boxes,
            "images_without_ground_truth": len(self._records) - with_boxes,
            "images_without_prediction": with_boxes,
        }
        return MetricResult(dict.fromkeys(self._metrics, 0.0), counts, ["nothing was detected"])


def _has_mask(record: Mapping[str, Any]) -> bool:
    """Return whether a record has a mask of an object that average precision counts."""
    return any(
        a.get("segmentation") and not a.get("iscrowd", 0) and not a.get("difficult", False)
        for a in record.get("annotations", ())
    )
