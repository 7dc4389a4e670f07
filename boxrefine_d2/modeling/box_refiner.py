"""BoxRefiner: f is refined through a detector h that was fitted to the boxes of f's own map (ICCV 2023 paper).

Shapes: B images, N patches, C channels, S x S the square that h's map is made from.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY
from detectron2.utils.events import get_event_storage
from torch import Tensor, nn
from torchvision.ops import box_iou

from boxrefine_d2.discovery import build_rule
from boxrefine_d2.discovery.rule import DiscoveryRule, ObservingRule
from boxrefine_d2.errors import UserError
from boxrefine_d2.features import build_backbone
from boxrefine_d2.features.padding import normalise_and_pad
from boxrefine_d2.features.reading import (
    Refinable,
    frozen_copy,
    map_facet,
    map_of,
    read_shared,
    shared_part,
)
from boxrefine_d2.features.recurring import RecurringInputs
from boxrefine_d2.features.segmenter import Segmenter
from boxrefine_d2.structures import FeatureMap, normalise, to_xyxy

from .criterion import OBJECT
from .drift import relative_shift, weight_distance
from .map_detector import MapDetector, to_instances
from .map_inputs import MapInput, build_map_input
from .preservation import PreservationLoss

DETECTOR, REFINE = "detector", "refine"


@META_ARCH_REGISTRY.register()
class BoxRefiner(nn.Module):
    """A map network f, its frozen copy, a rule, and the map detector h; one of f and h learns at a time.

    In phase "detector" h learns from the rule's boxes on f's map; in phase "refine" h is fixed and the same loss,
    with a term that keeps f near its frozen copy, refines f.
    """

    @configurable
    def __init__(
        self,
        *,
        map_network: Refinable,
        map_detector: MapDetector,
        discovery: DiscoveryRule,
        discovery_name: str,
        map_input: MapInput,
        preservation: PreservationLoss,
        square_size: int,
        shuffle_boxes: bool = False,
        reference_targets: bool = False,
        reference_batch_statistics: bool = False,
        head_alone: bool = False,
    ):
        """Args, beside the parts:
            square_size: S, pixels.
            shuffle_boxes: h learns from the boxes of the next image of the batch, a control.
            reference_targets: boxes are those of the frozen copy, not of f as it is.
            reference_batch_statistics: while f learns, the frozen copy normalises by the batch.
            head_alone: of a segmenter its head learns, and nothing else.
        Raises: UserError for parts that do not fit each other.
        """
        super().__init__()
        _check_parts(map_network, discovery, preservation, head_alone)
        if square_size % map_network.stride:
            raise UserError(
                f"INPUT.SQUARE_SIZE {square_size} is no multiple of the patch, {map_network.stride} pixels"
            )
        self.map_network = map_network
        self.reference_network = frozen_copy(map_network)
        self.map_detector = map_detector
        self.discovery = discovery
        self.discovery_name = discovery_name
        self.map_input = map_input
        self.preservation = preservation
        self.square_size = square_size
        self.shuffle_boxes = shuffle_boxes
        self.reference_targets = reference_targets
        self.reference_batch_statistics = reference_batch_statistics
        self.head_alone = head_alone
        self._for_h = RecurringInputs()
        self._of_reference = RecurringInputs()
        self.phase = DETECTOR

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """The parts named in the configuration."""
        rule = build_rule(cfg.DISCOVERY.NAME, cfg)
        detector = cfg.MODEL.MAP_DETECTOR
        network = build_backbone(cfg.MODEL.MAP_NETWORK.NAME, cfg.MODEL.MAP_NETWORK.WEIGHTS)
        return {
            "map_network": network,
            "map_detector": MapDetector(cfg),
            "discovery": rule,
            "discovery_name": cfg.DISCOVERY.NAME,
            "map_input": build_map_input(
                detector.INPUT,
                with_cls=detector.INPUT_CLS,
                with_tokens=not isinstance(network, Segmenter),
                rule=rule,
                pool=detector.INPUT_POOL,
            ),
            "preservation": PreservationLoss(
                weight=cfg.REFINE.PRESERVATION_WEIGHT,
                on=cfg.REFINE.REG_ON,
                reduction=cfg.REFINE.REG_REDUCTION,
            ),
            "square_size": cfg.INPUT.SQUARE_SIZE,
            "shuffle_boxes": cfg.REFINE.SHUFFLE_BOXES,
            "reference_targets": cfg.REFINE.TARGETS == "reference",
            "reference_batch_statistics": cfg.REFINE.REFERENCE_BATCH_STATISTICS,
            "head_alone": cfg.REFINE.FRESH_HEAD,
        }

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return next(self.parameters()).device

    @property
    def first_learner(self) -> nn.Module:
        """The part of f that learns and lies nearest to the image: a transformer's first block, a segmenter's head."""
        network = self.map_network
        return network.head if isinstance(network, Segmenter) else network.blocks[0]

    def set_phase(self, phase: str) -> None:
        """Chooses which part learns: h in "detector", f in "refine". The other has no gradient."""
        if phase not in (DETECTOR, REFINE):
            raise ValueError(f"unknown phase {phase!r}; known: {DETECTOR}, {REFINE}")
        self.phase = phase
        self._for_h.clear()  # f may have changed
        self.map_network.requires_grad_(phase == REFINE and not self.head_alone)
        if self.head_alone:
            self.map_network.head.requires_grad_(phase == REFINE)
        self.map_detector.requires_grad_(phase == DETECTOR)
        self.train(self.training)

    def train(self, mode: bool = True) -> "BoxRefiner":
        """Train mode for the part that learns only: a fixed h keeps its batch statistics."""
        super().train(mode)
        refines = mode and self.phase == REFINE
        self.reference_network.train(refines and self.reference_batch_statistics)
        self.map_network.train(refines)
        self.map_detector.train(mode and self.phase == DETECTOR)
        return self

    def forward(self, batched_inputs: list[dict[str, Any]]) -> Any:
        """Detectron2's contract.

        Args: batched_inputs: dicts with "image" (3, H, W) RGB in [0, 255]; in training all S x S, and where all have
            "target_boxes", (M, 4) normalised, they take the place of the rule's; in eval of one padded size, with
            "height" and "width" of the original image.
        Returns: in training {"loss_class", "loss_l1", "loss_giou"[, "loss_preservation"]}, weighted; in eval what
            `inference` returns.
        """
        if not self.training:
            return self.inference(batched_inputs)
        names = [x.get("input_key") for x in batched_inputs]
        held = None
        if self.phase == DETECTOR:
            pictures, targets = self._fixed_maps(batched_inputs, names)
            if self.shuffle_boxes:
                targets = targets[1:] + targets[:1]
        else:
            shared = shared_part(self.map_network, self._batch(batched_inputs))
            reading = read_shared(self.map_network, shared)
            held, theirs = self._reference(shared, names)
            given = _given_boxes(batched_inputs, self.device) or theirs
            pictures, targets = self.map_input(reading), given or self._boxes(reading.map)
        outputs = self.map_detector.predict(pictures)
        losses = self.map_detector.criterion(outputs, targets)
        if held is not None:
            losses["loss_preservation"] = self.preservation(reading, held)
        self._log_match(outputs, targets)
        return losses

    @torch.no_grad()
    def _boxes(self, features: FeatureMap) -> list[Tensor]:
        """The rule's, normalised, (N, 4) an image."""
        return [normalise(b.boxes, b.input_size) for b in self.discovery(features.detach())]

    @torch.no_grad()
    def _fixed_maps(
        self, batched_inputs: list[dict[str, Any]], names: list[Any]
    ) -> tuple[Tensor, list[Tensor]]:
        """What h sees while f stands still, (B, 3, H, W), and the boxes it learns, normalised, (N, 4) an image.

        Of inputs that come back it is computed once.
        """

        def compute(inputs: list[dict[str, Any]]) -> tuple[Tensor, list[Tensor]]:
            shared = shared_part(self.map_network, self._batch(inputs))
            reading = read_shared(self.map_network, shared)
            targets = _given_boxes(inputs, self.device)
            if targets is None:
                theirs = self.reference_targets
                targets = self._boxes(
                    map_of(self.reference_network, shared) if theirs else reading.map
                )
            return self.map_input(reading), targets

        def compute_one(x: dict[str, Any]) -> tuple[Tensor, Tensor]:
            pictures, targets = compute([x])
            return pictures[0], targets[0]

        if any(name is None for name in names):
            return compute(batched_inputs)
        rows = self._for_h.rows(names, batched_inputs, compute_one)
        pictures, targets = zip(*rows, strict=True)
        return torch.stack(pictures), list(targets)

    @torch.no_grad()
    def _reference(
        self, shared: Tensor, names: list[Any]
    ) -> tuple[Tensor | None, list[Tensor] | None]:
        """What is held of the frozen copy, and its boxes where they are the targets; each None where it is not wanted.

        Of inputs that come back it is computed once.
        """
        wants_held, wants_boxes = bool(self.preservation.weight), self.reference_targets
        if not (wants_held or wants_boxes):
            return None, None

        def compute(part: Tensor) -> tuple[Tensor, list[Tensor]]:
            reading = read_shared(self.reference_network, part)
            boxes = self._boxes(reading.map) if wants_boxes else [part.new_empty(0, 4)] * len(part)
            held = self.preservation.held(reading) if wants_held else part.new_empty(len(part), 0)
            return held, boxes

        def compute_one(x: Tensor) -> tuple[Tensor, Tensor]:
            held, boxes = compute(x[None])
            return held[0].clone(), boxes[0]  # a copy, which lets go of what is not held

        # the statistics of a batch are of all its images
        if self.reference_network.training or any(name is None for name in names):
            held, boxes = compute(shared)
        else:
            rows = self._of_reference.rows(names, shared, compute_one)
            held, boxes = torch.stack([row[0] for row in rows]), [row[1] for row in rows]
        return held if wants_held else None, boxes if wants_boxes else None

    def weight_distance(self) -> float:
        """||f^h - f||."""
        return weight_distance(self.map_network, self.reference_network)

    def _batch(self, batched_inputs: list[dict[str, Any]]) -> Tensor:
        f = self.map_network
        images = [x["image"] for x in batched_inputs]
        return normalise_and_pad(images, f.stride, f.padding, self.device)

    @torch.no_grad()
    def _log_match(self, outputs: dict[str, Tensor], targets: list[Tensor]) -> None:
        """Logs how well h's best box meets the first target, over images that have one."""
        found = [i for i, target in enumerate(targets) if len(target)]
        if not found:
            return
        best = outputs["pred_logits"][found].softmax(dim=2)[..., OBJECT].argmax(dim=1)
        boxes = outputs["pred_boxes"][found, best]
        first = torch.stack([targets[i][0] for i in found])
        iou = box_iou(to_xyxy(boxes), to_xyxy(first)).diagonal()
        storage = get_event_storage()
        storage.put_scalar("h_iou_with_pseudo_box", iou.mean().item())
        storage.put_scalar("h_hits_pseudo_box", (iou >= 0.5).float().mean().item())

    @torch.no_grad()
    def inference(self, batched_inputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Boxes before and after, in the frame of the original image.

        The rule reads full-resolution, padded images; h reads the map of the image squeezed to S x S (bilinear,
        corners aligned, as the release does).

        Returns: per image "instances", all boxes of h, best first; "pseudo_boxes", {name of the rule: its boxes on
            the frozen copy, "refined": on f}; "detector_target", the rule's boxes on f at S x S, which h is fitted
            to unless it was given others; "feature_shift", the relative L2 distance of f's map to the frozen copy's.
        """
        images = self._batch(batched_inputs)
        input_sizes = [tuple(x["image"].shape[-2:]) for x in batched_inputs]
        image_sizes = [(x["height"], x["width"]) for x in batched_inputs]
        shared = shared_part(self.map_network, images)
        reference = map_of(self.reference_network, shared, input_sizes)
        refined = map_of(self.map_network, shared, input_sizes)
        shift = relative_shift(refined, reference)
        squares = [
            self._squeeze(image[:, :height, :width])
            for image, (height, width) in zip(images, input_sizes, strict=True)
        ]
        reading = read_shared(self.map_network, shared_part(self.map_network, torch.cat(squares)))
        outputs = self.map_detector.predict(self.map_input(reading))
        columns = (
            to_instances(outputs, image_sizes),
            self.discovery(reference),
            self.discovery(refined),
            self.discovery(reading.map),
            shift.tolist(),
            image_sizes,
        )
        return [
            {
                "instances": instances.to("cpu"),
                "pseudo_boxes": {
                    self.discovery_name: before.resized(size).to("cpu"),
                    "refined": after.resized(size).to("cpu"),
                },
                "detector_target": target.resized(size).to("cpu"),
                "feature_shift": distance,
            }
            for instances, before, after, target, distance, size in zip(*columns, strict=True)
        ]

    def _squeeze(self, image: Tensor) -> Tensor:
        size = (self.square_size, self.square_size)
        return F.interpolate(image[None], size=size, mode="bilinear", align_corners=True)


def _check_parts(
    network: nn.Module, rule: DiscoveryRule, preservation: PreservationLoss, head_alone: bool
) -> None:
    is_segmenter = isinstance(network, Segmenter)
    if not (is_segmenter or hasattr(network, "forward_last_block")):
        raise UserError(
            "MODEL.MAP_NETWORK.NAME: refinement needs a transformer or a segmenter, not a CNN"
        )
    rule.choose_facet([map_facet(network)])
    if isinstance(rule, ObservingRule):
        raise UserError(
            f"DISCOVERY.NAME: {type(rule).__name__} reads a whole data set first, and f changes at every step; write its "
            "boxes with tools/discover.py and give them with +pseudo=FILE and REFINE.TARGETS annotations"
        )
    if preservation.weight and (preservation.on == "mask") != is_segmenter:
        kind, fitting = ("segmenter", "mask") if is_segmenter else ("transformer", "cls or keys")
        raise UserError(
            f"REFINE.REG_ON {preservation.on!r} does not fit f, a {kind}: use {fitting}"
        )
    if head_alone and not is_segmenter:
        raise UserError("REFINE.FRESH_HEAD: f has no head; use a segmenter, such as move_vits8")


def _given_boxes(
    batched_inputs: Sequence[dict[str, Any]], device: torch.device
) -> list[Tensor] | None:
    """The boxes that come with the images, if any do."""
    if "target_boxes" not in batched_inputs[0]:
        return None
    return [x["target_boxes"].to(device) for x in batched_inputs]
