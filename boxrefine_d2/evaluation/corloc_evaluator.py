"""Evaluator of CorLoc for models."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm
from torch import Tensor

from boxrefine_d2.errors import UserError

from .corloc import corloc, top_box
from .ground_truth import GroundTruth, ImageId, protocol_for
from .preflight import check_ground_truth
from .results import write_json
from .sources import DETECTOR

logger = logging.getLogger(__name__)


class CorLocEvaluator(DatasetEvaluator):
    """Evaluator that computes the CorLoc of every named set of boxes of a model, in one pass.

    A model output is a dict with these optional entries, all in pixels of the original image:
    `"instances"`: Instances with `pred_boxes` and `scores`, scored as "h";
    `"pseudo_boxes"`: name -> an object with `.boxes` (N, 4) and `.scores` (N,). Names are, for
    example, "lost" (the rule on f) and "refined" (the rule on f^h).

    `evaluate()` returns percentages and counts apart, and every number under "corloc" is a CorLoc::

        {"corloc": {"lost": 61.9, "h": 42.1, "refined": 62.0},
         "corloc_images": {"evaluated": 5011, "without_ground_truth": 0,
                           "without_prediction_lost": 0, ...}}

    After `evaluate()`, `per_image` holds source -> [(image id, hit), ...] in data set order, with
    the same images for every source, as a paired bootstrap over images needs. Ranks other than the
    main one return {}.
    """

    def __init__(
        self,
        dataset_name: str,
        *,
        sources: Iterable[str] | None = None,
        protocol: str = "lost",
        output_dir: str | None = None,
        distributed: bool = True,
    ):
        """Read the ground truth and check it.

        Args:
            dataset_name: name in Detectron2's DatasetCatalog. The metadata `corloc_rounds_boxes`
                of the data set applies.
            sources: names to score; None scores all names in the outputs.
            protocol: name in `PROTOCOLS`.
            output_dir: folder for `corloc_per_image.json`, {source: [[image id, 0 or 1], ...]};
                None writes no file.
            distributed: whether outputs are collected from all ranks.
        Raises: UserError if the data set has no ground truth.
        """
        self._name = dataset_name
        self._sources = None if sources is None else list(sources)
        records = DatasetCatalog.get(dataset_name)
        rounds_boxes = MetadataCatalog.get(dataset_name).get("corloc_rounds_boxes", False)
        ground_truth = GroundTruth(
            dataset_name, records, protocol=protocol, rounds_boxes=rounds_boxes
        )
        self._protocol = protocol_for(protocol)
        self._gt_boxes = ground_truth.boxes()
        check_ground_truth(ground_truth)
        self._output_dir = output_dir
        self._distributed = distributed
        self.per_image: dict[str, list[tuple[ImageId, bool]]] = {}
        self.reset()

    def reset(self) -> None:
        """Forget all outputs."""
        self._top_boxes: dict[ImageId, dict[str, list[float] | None]] = {}

    def process(
        self, inputs: Sequence[Mapping[str, Any]], outputs: Sequence[Mapping[str, Any]]
    ) -> None:
        """Keep the top box of every set; the first output of a repeated image counts."""
        for record, output in zip(inputs, outputs, strict=True):
            found = {name: top_box(*boxes) for name, boxes in _box_sets(output).items()}
            if self._protocol.integer_h and (box := found.get(DETECTOR)) is not None:
                found[DETECTOR] = torch.tensor(box).trunc().tolist()
            self._top_boxes.setdefault(record["image_id"], found)

    def evaluate(self) -> dict[str, dict[str, float]]:
        """Collect the outputs of all ranks and score them.

        Raises: UserError if none of the images of the outputs is in the data set.
        """
        if self._distributed:
            comm.synchronize()
            parts = comm.gather(self._top_boxes, dst=0)
            if not comm.is_main_process():
                return {}
        else:
            parts = [self._top_boxes]
        top_boxes: dict[ImageId, dict[str, list[float] | None]] = {}
        for part in parts:
            # the lowest rank counts for an image that several ranks saw
            top_boxes = {**part, **top_boxes}
        if not any(image_id in self._gt_boxes for image_id in top_boxes):
            raise UserError(
                f"the {len(top_boxes)} images that the model saw are not among those of "
                f"{self._name}; evaluate it on the data set that the loader reads"
            )
        return self._score(top_boxes)

    def _score(
        self, top_boxes: Mapping[ImageId, Mapping[str, list[float] | None]]
    ) -> dict[str, dict[str, float]]:
        percents: dict[str, float] = {}
        images: dict[str, float] = {}
        self.per_image = {}
        for source in self._sources_in(top_boxes):
            boxes = {image_id: found.get(source) for image_id, found in top_boxes.items()}
            result = corloc(boxes, self._gt_boxes)
            percents[source] = result.percent
            images["evaluated"] = len(result.hits)
            images["without_ground_truth"] = result.without_ground_truth
            images[f"without_prediction_{source}"] = result.without_prediction
            self.per_image[source] = list(result.hits.items())
            logger.info(
                "CorLoc of %s on %s: %.2f %% of %d images "
                "(%d without prediction, %d more without ground truth)",
                *(source, self._name, result.percent, len(result.hits)),
                *(result.without_prediction, result.without_ground_truth),
            )
        if self._output_dir is not None:
            hits = {name: [(i, int(hit)) for i, hit in x] for name, x in self.per_image.items()}
            write_json(Path(self._output_dir) / "corloc_per_image.json", hits)
        return {"corloc": percents, "corloc_images": images}

    def _sources_in(self, top_boxes: Mapping[ImageId, Mapping[str, Any]]) -> list[str]:
        present = list(dict.fromkeys(name for found in top_boxes.values() for name in found))
        if self._sources is None:
            return sorted(present)
        missing = [name for name in self._sources if name not in present]
        if missing:
            raise ValueError(f"no output holds boxes named {missing}; the outputs hold {present}")
        return self._sources


def _box_sets(output: Mapping[str, Any]) -> dict[str, tuple[Tensor, Tensor]]:
    sets = {name: (b.boxes, b.scores) for name, b in output.get("pseudo_boxes", {}).items()}
    if "instances" in output:
        sets[DETECTOR] = (output["instances"].pred_boxes.tensor, output["instances"].scores)
    return sets
