"""GroundingRefiner: refinement of g through a detector h (ICCV 2023 paper, section 3).

h was fitted before to the boxes of g's own heatmaps.

Shapes: B images, each with a phrase; S x S pixels.
"""

from collections.abc import Sequence
from typing import Any

import torch
from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY
from torch import Tensor

from boxrefine_d2.errors import UserError, check_choice
from boxrefine_d2.evaluation.sources import BEFORE, REFINED
from boxrefine_d2.evaluation.sources import DETECTOR as DETECTOR_SOURCE
from boxrefine_d2.networks.recurring import OncePerInput, input_names, pair_names
from boxrefine_d2.networks.text_heatmap import TextHeatmap, build_heatmap
from boxrefine_d2.refinement import MapDetector
from boxrefine_d2.refinement.criterion import OBJECT
from boxrefine_d2.refinement.phased_refiner import DETECTOR, PhasedRefiner
from boxrefine_d2.structures import (
    FeatureMap,
    PhraseLocalisation,
    PseudoBoxes,
    normalise,
    to_xyxy,
    union_box,
)

from .heatmap_model import HeatmapModel
from .queries import found_by_detector

UNIONS = ("iteration", "sample")
OBJECT_PROBABILITY = 0.5  # h's boxes with a higher probability are kept


@META_ARCH_REGISTRY.register()
class GroundingRefiner(PhasedRefiner, HeatmapModel):
    """g, its frozen copy, CLIP, a rule and the map detector h.

    In phase "detector", h learns from the boxes of g's heatmaps. In phase "refine", h is fixed.
    The same loss then refines g, together with the localisation losses. In that phase the boxes
    of an image are replaced by their union with some probability.
    """

    map_network: TextHeatmap
    reference_network: TextHeatmap

    @configurable
    def __init__(
        self,
        *,
        map_network: TextHeatmap,
        map_detector: MapDetector,
        union_probability: float,
        union_per: str,
        min_target_side: float,
        reference_targets: bool,
        shuffle_boxes: bool,
        **parts: Any,
    ):
        """Take the parts.

        Args, besides those of `HeatmapModel`:
            union_probability: probability that the boxes of an image are replaced by their union
                while g learns.
            union_per: "iteration" for one draw per iteration (paper and release), or "sample" for
                one per sample.
            min_target_side: least side of a box that h learns from, as a share of the image.
            reference_targets, shuffle_boxes: see `PhasedRefiner.start_phases`.
        Raises: UserError for parts that do not fit each other.
        """
        super().__init__(map_network=map_network, **parts)
        check_choice("GROUNDING.UNION_PER", union_per, UNIONS)
        self.union_probability, self.union_per_sample = union_probability, union_per == "sample"
        self.min_target_side = min_target_side
        self.start_phases(
            map_network,
            map_detector,
            shuffle_boxes=shuffle_boxes,
            reference_targets=reference_targets,
        )
        self.detector_samples = OncePerInput(self.heatmaps_of)

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Return the parts that the configuration names."""
        network = build_heatmap(cfg.MODEL.HEATMAP.NAME, cfg.MODEL.HEATMAP.WEIGHTS)
        if cfg.REFINE.TARGETS == "annotations":
            raise UserError(
                "REFINE.TARGETS annotations: a phrase's boxes are those of its heatmap; "
                "use rule or reference"
            )
        return cls.parts(cfg, network) | {
            "map_detector": MapDetector(cfg),
            "union_probability": cfg.GROUNDING.UNION_PROBABILITY,
            "union_per": cfg.GROUNDING.UNION_PER,
            "min_target_side": cfg.GROUNDING.MIN_TARGET_SIDE,
            "reference_targets": cfg.REFINE.TARGETS == "reference",
            "shuffle_boxes": cfg.REFINE.SHUFFLE_BOXES,
        }

    def forward(self, batched_inputs: list[dict[str, Any]]) -> Any:
        """Return losses in training, and answers in eval (Detectron2's contract).

        Args: batched_inputs: in training the results of `PhraseMapper`; in eval see `answer`.
        Returns: in training {"loss_class", "loss_l1", "loss_giou"} and, while g learns, the
            localisation losses, all weighted; in eval the answers of `answer`, of the sources
            "clip", "before", "refined" and "h".
        """
        if not self.training:
            return self.answer(batched_inputs)
        if self.phase == DETECTOR:
            heatmaps = self._samples_of(batched_inputs)
            targets = self.for_h(self._targets_of(heatmaps))
            return self.map_detector.criterion(self._predict(heatmaps), targets)
        images = self.normalised_images(batched_inputs)
        text = self._targets.text([x["phrase"] for x in batched_inputs])
        heatmaps = self.learnt_heatmaps(images, text)
        targets = self._targets_of(self._teacher(heatmaps, images, text), unite=True)
        losses = self.map_detector.criterion(self._predict(heatmaps), targets)
        return losses | self.text_losses(batched_inputs, images, heatmaps)

    def _predict(self, heatmaps: Tensor) -> dict[str, Tensor]:
        """Return the outputs of h, which reads (B, 1, S, S) as an image of three equal channels."""
        return self.map_detector.predict(heatmaps.expand(-1, 3, -1, -1))

    def _samples_of(self, batched_inputs: Sequence[dict[str, Any]]) -> Tensor:
        """Return the heatmaps that h reads while g is fixed, (B, 1, S, S)."""
        phrases = [x["phrase"] for x in batched_inputs]
        names = pair_names(input_names(batched_inputs), phrases)
        return torch.stack([row for (row,) in self.detector_samples(batched_inputs, names)])

    @torch.no_grad()
    def _teacher(self, heatmaps: Tensor, images: Tensor, text: Tensor) -> Tensor:
        """Return the heatmaps (B, 1, S, S) whose boxes are the targets, without gradient."""
        if not self.reference_targets:
            return heatmaps.detach()
        reference_heatmaps: Tensor = self.reference_network(images, text)
        return reference_heatmaps

    @torch.no_grad()
    def _targets_of(self, heatmaps: Tensor, *, unite: bool = False) -> list[Tensor]:
        """Return the boxes of the heatmaps (B, 1, S, S), normalised (cx, cy, w, h), (N, 4) per
        image.

        Args: unite: True to replace, at random, the boxes of an image by their union.
        """
        size = (heatmaps.shape[2], heatmaps.shape[3])
        boxes_of_images = self.discovery(FeatureMap(heatmaps, 1, [size] * len(heatmaps), "heatmap"))
        united = [False] * len(heatmaps)
        if unite:
            draws = torch.rand(len(heatmaps) if self.union_per_sample else 1)
            united = (draws < self.union_probability).expand(len(heatmaps)).tolist()
        targets = []
        for boxes, one in zip((x.boxes for x in boxes_of_images), united, strict=True):
            sides = boxes[:, 2:] - boxes[:, :2]
            boxes = boxes[(sides >= self.min_target_side * sides.new_tensor(size[::-1])).all(dim=1)]
            if one and len(boxes):
                boxes = union_box(boxes)[None]
            targets.append(normalise(boxes, size))
        return targets

    @property
    def networks(self) -> dict[str, TextHeatmap]:
        """The frozen copy and the refined network, by source."""
        return {BEFORE: self.reference_network, REFINED: self.map_network}

    def from_heatmaps(
        self, maps: dict[str, list[Tensor]], sizes: list[tuple[int, int]]
    ) -> dict[str, list[list[PhraseLocalisation]]]:
        """Return {"h": answers}: for each image the union of h's boxes on each refined heatmap.

        A box counts if it is an object with a probability above one half.
        """
        answers = []
        for heatmaps, size in zip(maps[REFINED], sizes, strict=True):
            answers.append(self._answers_of_h(heatmaps, size) if len(heatmaps) else [])
        return {DETECTOR_SOURCE: answers}

    def _answers_of_h(self, heatmaps: Tensor, size: tuple[int, int]) -> list[PhraseLocalisation]:
        side = (heatmaps.shape[1], heatmaps.shape[2])
        outputs = self._predict(heatmaps[:, None])
        answers = []
        for boxes, logits in zip(outputs["pred_boxes"], outputs["pred_logits"], strict=True):
            scores = logits.softmax(dim=1)[:, OBJECT]
            order = scores.argsort(descending=True, stable=True)
            order = order[scores[order] > OBJECT_PROBABILITY]
            kept = PseudoBoxes(to_xyxy(boxes, side)[order], scores[order], side)
            answers.append(found_by_detector(kept, size))
        return answers
