"""File of the boxes that a detector finds, as pseudo-labels of the images."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from detectron2.evaluation import DatasetEvaluator
from detectron2.structures import Instances
from detectron2.utils import comm

import boxrefine_d2
from boxrefine_d2.data.pseudo_label_file import write_pseudo_labels
from boxrefine_d2.errors import UserError
from boxrefine_d2.masks.coding import encode_masks
from boxrefine_d2.structures import to_xywh

Entries = dict[Any, list[dict[str, Any]]]  # image id -> annotations, best first

DETECTIONS_FILE = "detections.json"
FAILED = "it could not be read; the log says why"


class DetectionsWriter(DatasetEvaluator):
    """Evaluator that writes the boxes in the outputs' "instances", and scores nothing.

    `evaluate()` returns {"images": n, "detections": n} for data without labels, and {} otherwise.
    It writes no file if no output has "instances". Ranks other than the main one return {}.
    """

    def __init__(
        self,
        name: str,
        records: Sequence[Mapping[str, Any]],
        *,
        output_dir: Path,
        info: Mapping[str, Any],
    ):
        """Create an evaluator without outputs.

        Args:
            name: the dataset spec, for messages.
            records: Detectron2 dataset dicts, one per image.
            output_dir: folder of `detections.json`.
            info: description of the detector, written into the file.
        """
        self._name, self._records = name, records
        self._labelled = any("annotations" in record for record in records)
        self._output_dir, self._info = output_dir, info
        self.reset()

    def reset(self) -> None:
        """Forget all outputs."""
        self._entries_of: Entries = {}

    def process(
        self, inputs: Sequence[Mapping[str, Any]], outputs: Sequence[Mapping[str, Any]]
    ) -> None:
        """Keep the boxes of each image; the first output of an image counts.

        Raises: UserError if the data set has no labels and the model no detector.
        """
        for record, output in zip(inputs, outputs, strict=True):
            if "instances" in output:
                entries = entries_of_instances(record["image_id"], output["instances"])
                self._entries_of.setdefault(record["image_id"], entries)
            elif not self._labelled:
                raise UserError(
                    f"{self._name} has no labels to score the model against, and the model has no "
                    "detector whose boxes could be written; name a labelled data set in "
                    "DATASETS.TEST"
                )

    def evaluate(self) -> dict[str, float | int]:
        """Collect the boxes of all ranks and write them."""
        entries_of = gathered(self._entries_of)
        if not comm.is_main_process() or not entries_of:
            return {}
        path = self._output_dir / DETECTIONS_FILE
        entries = write_detections(path, self._records, entries_of, self._info)
        return {} if self._labelled else {"images": len(entries_of), "detections": len(entries)}


def gathered(entries_of: Entries) -> Entries:
    """Return the entries of all ranks on the main process; the lowest rank counts for an image."""
    comm.synchronize()
    together: Entries = {}
    for part in comm.gather(entries_of, dst=0):
        together = {**part, **together}
    return together


def write_detections(
    path: Path,
    records: Sequence[Mapping[str, Any]],
    entries_of: Entries,
    info: Mapping[str, Any],
) -> list[dict[str, Any]]:
    """Write a pseudo-label file of detections; images without an output are listed as failed.

    Returns: the entries that were written.
    """
    read = [r for r in records if r["image_id"] in entries_of and r["height"] and r["width"]]
    images = [
        {
            "id": record["image_id"],
            "file_name": _name(record),
            "width": record["width"],
            "height": record["height"],
        }
        for record in read
    ]
    known = {image["id"] for image in images}
    entries = [entry for i, of_image in entries_of.items() if i in known for entry in of_image]
    failed = sorted(_name(r) for r in records if r["image_id"] not in known)
    described = {
        "images_asked_for": len(records),
        "images_failed": [{"file_name": name, "reason": FAILED} for name in failed],
        "version": boxrefine_d2.__version__,
        **info,
    }
    write_pseudo_labels(path, images=images, annotations=entries, info=described)
    return entries


def entries_of_instances(image_id: Any, instances: Instances) -> list[dict[str, Any]]:
    """Return annotations for a COCO file, in image pixels; boxes without area are left out."""
    instances = instances.to("cpu")
    boxes = instances.pred_boxes.tensor.double().tolist()
    masks = instances.pred_masks.numpy() if instances.has("pred_masks") else [None] * len(boxes)
    entries = []
    for (x1, y1, x2, y2), score, mask in zip(
        boxes, instances.scores.double().tolist(), masks, strict=True
    ):
        if x2 <= x1 or y2 <= y1:
            continue
        entry = {"image_id": image_id, "bbox": to_xywh((x1, y1, x2, y2)), "score": score}
        if mask is not None:
            [entry["segmentation"]] = encode_masks(mask[None])
        entries.append(entry | {"category_id": 1})
    return entries


def _name(record: Mapping[str, Any]) -> str:
    name: str = record.get("relative_name", record["file_name"])
    return name
