"""Evaluator of localisers: boxes and maps of every source, their files and their metrics.

Shapes: B images of S x S pixels of the input.
"""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm
from torch import Tensor

from boxrefine_d2.discovery.largest_contour import largest_contour
from boxrefine_d2.errors import UserError
from boxrefine_d2.evaluation import write_json
from boxrefine_d2.evaluation.build import evaluate_predictions
from boxrefine_d2.evaluation.ground_truth import GroundTruth
from boxrefine_d2.evaluation.predictions import PredictionFile
from boxrefine_d2.files.atomic import atomic_binary_file
from boxrefine_d2.structures import ResizedCrop, to_xywh

from .box_labels import BOXES_FILE, label_of_object, whole_map, write_box_labels
from .class_model import ClassAnswer
from .sources import SEED, BoxSource, MapBatch

logger = logging.getLogger(__name__)
LOCALIZATION_FILE = "localization.json"
METRICS_FILE = "metrics.json"
CURVES_FILE = "curves.json"
_BOXES = ("gt_known", "gt_loc_30", "gt_loc_50", "gt_loc_70", "gt_loc_80", "gt_loc_90")
_MAPS = ("maxboxacc_v1", "maxboxacc_v2")
_PIXELS = ("pxap", "piou")
_CLASSES = ("top1_cls", "top5_cls")
_CLASS_BOXES = ("top1_loc", "top5_loc")
Found = tuple[dict[str, Any], dict[str, Any]]  # entry of localization.json, `label_of_object`


class LocalizationEvaluator(DatasetEvaluator):
    """Evaluator that writes and scores every source in one pass.

    A model output is {"answer": ClassAnswer}. The folder of a source gets `localization.json` with
    its maps, and `boxes.json`, the same boxes with masks as pseudo-labels. `evaluate()` returns
    {source: {metric: percent}}, with the metrics for which the data set has labels; the counts and
    the rules of thresholds are in `metrics.json` of the source, and so are the images on which a
    step could not work as it should; `curves.json` has the curves over thresholds. Ranks other than
    the main one return {}.
    """

    def __init__(
        self,
        name: str,
        *,
        sources: Sequence[BoxSource],
        output_dir: Path,
        info: Mapping[str, Any],
        seed_threshold: float,
        device: str = "cpu",
        failures: Mapping[str, str] = MappingProxyType({}),
    ):
        """Create an evaluator without outputs.

        Args:
            name: name in Detectron2's DatasetCatalog.
            output_dir: folder of the folders of the sources.
            info: description of the model, written into `metrics.json` and `boxes.json`.
            seed_threshold: a pixel of the class activation above this value is a seed.
            device: device of the steps.
            failures: file name -> reason, for images that could not be read; read at the end.
        """
        self._name, self._records = name, DatasetCatalog.get(name)
        self._sources, self._output_dir, self._info = sources, output_dir, info
        self._seed_threshold, self._device = seed_threshold, device
        self._failures = failures
        metadata = MetadataCatalog.get(name)
        ids = metadata.get("thing_dataset_id_to_contiguous_id") or {}
        self._category_ids = list(ids)
        self._categories = dict(zip(ids, metadata.get("thing_classes") or []))
        self.reset()

    def reset(self) -> None:
        """Forget all outputs."""
        self._found: dict[str, dict[Any, Found]] = {s.name: {} for s in self._sources}
        self._counts: dict[str, Counter[str]] = {s.name: Counter() for s in self._sources}

    def process(
        self, inputs: Sequence[Mapping[str, Any]], outputs: Sequence[Mapping[str, Any]]
    ) -> None:
        """Find the box of each source in each image, and write the maps."""
        answers: list[ClassAnswer] = [output["answer"] for output in outputs]
        images = torch.stack([x["image"] for x in inputs]).to(self._device)
        seeds = None
        if all(SEED in answer.heatmaps for answer in answers):
            seeds = torch.stack([answer.heatmaps[SEED] for answer in answers])
            seeds = seeds.to(self._device) > self._seed_threshold
        for source in self._sources:
            drawn = torch.stack([_map_of(answer, source) for answer in answers]).to(self._device)
            batch = MapBatch(drawn, images, seeds, self._counts[source.name])
            maps, masks = (each.cpu() for each in source(batch))
            for x, answer, heatmap, mask in zip(inputs, answers, maps, masks, strict=True):
                self._add(source, x, answer, heatmap, mask)

    def _add(
        self,
        source: BoxSource,
        x: Mapping[str, Any],
        answer: ClassAnswer,
        heatmap: Tensor,
        mask: Tensor,
    ) -> None:
        found, image_id = self._found[source.name], x["image_id"]
        if image_id in found:  # the first output of a repeated image counts
            return
        frame: ResizedCrop = x["frame"]
        component, box = largest_contour(mask.numpy())
        in_image = frame.boxes_to_image(box[None].astype(np.float64))[0]
        label = label_of_object(x, answer, component, in_image)
        entry = {"image_id": image_id, "bbox": to_xywh(in_image.tolist()), "score": answer.score}
        if answer.labels is not None:
            entry["labels"] = [self._category_id(label) for label in answer.labels]
        place = Path("maps") / f"{len(found):06d}_{comm.get_rank()}.npz"
        path = self._output_dir / source.name / place
        with atomic_binary_file(path) as file:
            np.savez_compressed(file, map=whole_map(heatmap.numpy(), frame).astype(np.float16))
        found[image_id] = entry | {"heatmap": place.as_posix()}, label

    def _category_id(self, label: int) -> int:
        if not label < len(self._category_ids):
            raise UserError(
                f"{self._name} has {len(self._category_ids)} classes, and the model predicts class "
                f"{label}, counted from 0; name data with the classes of its training"
            )
        return int(self._category_ids[label])

    def evaluate(self) -> dict[str, dict[str, float]]:
        """Collect the boxes of all ranks, write the files and score them."""
        comm.synchronize()
        parts = comm.gather((self._found, self._counts), dst=0)
        if not comm.is_main_process():
            return {}
        results = {}
        for source in self._sources:
            together: dict[Any, Found] = {}
            counts: Counter[str] = Counter()
            for part, part_counts in parts:
                together = {**part[source.name], **together}
                counts += part_counts[source.name]
            folder = self._output_dir / source.name
            entries = [entry for entry, _ in together.values()]
            write_json(folder / LOCALIZATION_FILE, entries)
            write_box_labels(
                folder / BOXES_FILE,
                [label for _, label in together.values()],
                records=self._records,
                categories=self._categories,
                info={**self._info, "source": list(source.words)},
                failures=self._failures,
            )
            results[source.name] = self._score(folder, entries, counts)
        return results

    def _score(
        self, folder: Path, entries: list[dict[str, Any]], counts: Mapping[str, int]
    ) -> dict[str, float]:
        """Return the metrics that the labels of the data set allow."""
        for reason, count in counts.items():
            logger.warning("%s: %d of %d images: %s", folder.name, count, len(entries), reason)
        names = self._metrics(entries)
        if not names or not entries:
            return {"images": len(entries)}
        truth = GroundTruth(self._name, self._records, self._category_ids)
        predictions = PredictionFile(str(folder / LOCALIZATION_FILE), entries)
        result = evaluate_predictions(truth, predictions, names)
        reasons = {"images_by_reason": dict(counts)}
        write_json(folder / METRICS_FILE, {**self._info, **reasons, **result.to_json()})
        write_json(folder / CURVES_FILE, [asdict(curve) for curve in result.curves])
        logger.info("%s on %s:\n%s", folder.name, self._name, result.to_text())
        return result.values

    def _metrics(self, entries: list[dict[str, Any]]) -> list[str]:
        annotations = [a for r in self._records for a in r.get("annotations", ())]
        boxes, masks = bool(annotations), any(a.get("segmentation") for a in annotations)
        classes = all("image_label" in r or r.get("annotations") for r in self._records)
        labels = classes and bool(entries) and "labels" in entries[0]
        if classes and entries and not labels:
            left_out = ", ".join((*_CLASSES, *(_CLASS_BOXES if boxes else ())))
            logger.info(
                "%s are left out, because the model names no classes; MODEL.CLASSIFIER.WEIGHTS "
                "names the classifier of a weight map",
                left_out,
            )
        return [
            *(_BOXES if boxes else ()),
            *(_CLASSES if labels else ()),
            *(_CLASS_BOXES if labels and boxes else ()),
            *(_MAPS if boxes else ()),
            *(_PIXELS if masks else ()),
        ]


def _map_of(answer: ClassAnswer, source: BoxSource) -> Tensor:
    if source.producer not in answer.heatmaps:
        raise UserError(
            f"LOCALIZATION.SOURCES {list(source.words)}: this model does not draw "
            f"{source.producer!r}; it draws {', '.join(answer.heatmaps)}"
        )
    return answer.heatmaps[source.producer]
