"""BoxRefiner: f is refined through a detector h that was fitted to the boxes of f's own map (ICCV 2023 paper).

Shapes: B images, N patches, C channels, S x S the square that h's map is made from.
"""

import copy
from typing import Any

import torch
import torch.nn.functional as F
from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY
from detectron2.utils.events import get_event_storage
from torch import Tensor, nn
from torchvision.ops import box_iou

from boxrefine_d2.discovery import build_rule
from boxrefine_d2.discovery.build import Rule
from boxrefine_d2.errors import UserError
from boxrefine_d2.features import build_backbone
from boxrefine_d2.features.padding import normalise_and_pad
from boxrefine_d2.features.vit import LastBlock, VisionTransformer
from boxrefine_d2.structures import normalise, to_xyxy

from .criterion import OBJECT
from .drift import relative_shift
from .map_detector import MapDetector, to_instances
from .map_inputs import MapInput, build_map_input
from .preservation import PreservationLoss
from .recurring import RecurringInputs

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
        map_network: VisionTransformer,
        map_detector: MapDetector,
        discovery: Rule,
        discovery_name: str,
        map_input: MapInput,
        preservation: PreservationLoss,
        square_size: int,
        shuffle_boxes: bool,
    ):
        super().__init__()
        if not isinstance(map_network, VisionTransformer):
            raise UserError(
                "MODEL.MAP_NETWORK.NAME: refinement needs a transformer, dino_*, not a CNN"
            )
        if square_size % map_network.stride:
            raise UserError(
                f"INPUT.SQUARE_SIZE {square_size} is no multiple of the patch, {map_network.stride} pixels"
            )
        self.map_network = map_network
        self.reference_network = copy.deepcopy(map_network).requires_grad_(False)
        self.map_detector = map_detector
        self.discovery = discovery
        self.discovery_name = discovery_name
        self.map_input = map_input
        self.preservation = preservation
        self.square_size = square_size
        self.shuffle_boxes = shuffle_boxes
        self._recurring = RecurringInputs()
        self.phase = DETECTOR

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """The parts named in the configuration."""
        rule = build_rule(cfg.DISCOVERY.NAME, cfg)
        detector = cfg.MODEL.MAP_DETECTOR
        return {
            "map_network": build_backbone(
                cfg.MODEL.MAP_NETWORK.NAME, cfg.MODEL.MAP_NETWORK.WEIGHTS
            ),
            "map_detector": MapDetector(cfg),
            "discovery": rule,
            "discovery_name": cfg.DISCOVERY.NAME,
            "map_input": build_map_input(detector.INPUT, with_cls=detector.INPUT_CLS, rule=rule),
            "preservation": PreservationLoss(
                weight=cfg.REFINE.PRESERVATION_WEIGHT,
                on=cfg.REFINE.REG_ON,
                reduction=cfg.REFINE.REG_REDUCTION,
            ),
            "square_size": cfg.INPUT.SQUARE_SIZE,
            "shuffle_boxes": cfg.REFINE.SHUFFLE_BOXES,
        }

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return self.map_network.cls_token.device

    def set_phase(self, phase: str) -> None:
        """Chooses which part learns: h in "detector", f in "refine". The other has no gradient."""
        if phase not in (DETECTOR, REFINE):
            raise ValueError(f"unknown phase {phase!r}; known: {DETECTOR}, {REFINE}")
        self.phase = phase
        self._recurring.clear()  # f may have changed
        self.map_network.requires_grad_(phase == REFINE)
        self.map_detector.requires_grad_(phase == DETECTOR)
        self.train(self.training)

    def train(self, mode: bool = True) -> "BoxRefiner":
        """Train mode for the part that learns only: a fixed h keeps its batch statistics."""
        super().train(mode)
        self.reference_network.eval()
        self.map_network.train(mode and self.phase == REFINE)
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
        if self.phase == DETECTOR:
            pictures, targets = self._fixed_maps(batched_inputs, names)
            if self.shuffle_boxes:
                targets = targets[1:] + targets[:1]
        else:
            images = self._batch(batched_inputs)
            last = self.map_network.forward_last_block(images)
            pictures, targets = self._maps(last, batched_inputs)
        outputs = self.map_detector.predict(pictures)
        losses = self.map_detector.criterion(outputs, targets)
        if self.phase == REFINE and self.preservation.weight:
            losses["loss_preservation"] = self.preservation(
                last, images, self.reference_network, names
            )
        self._log_match(outputs, targets)
        return losses

    def _maps(
        self, last: LastBlock, batched_inputs: list[dict[str, Any]]
    ) -> tuple[Tensor, list[Tensor]]:
        """What h sees (B, 3, H, W), and the boxes given or of the rule, normalised (N, 4) an image."""
        keys = self.map_network.key_map(last)
        if "target_boxes" in batched_inputs[0]:
            targets = [x["target_boxes"].to(self.device) for x in batched_inputs]
        else:
            targets = [normalise(b.boxes, b.input_size) for b in self.discovery(keys.detach())]
        return self.map_input(last, keys), targets

    @torch.no_grad()
    def _fixed_maps(
        self, batched_inputs: list[dict[str, Any]], names: list[Any]
    ) -> tuple[Tensor, list[Tensor]]:
        """`_maps` while f stands still: of inputs that come back only once."""

        def compute(inputs: list[dict[str, Any]]) -> tuple[Tensor, list[Tensor]]:
            return self._maps(self.map_network.forward_last_block(self._batch(inputs)), inputs)

        def compute_one(x: dict[str, Any]) -> tuple[Tensor, Tensor]:
            pictures, targets = compute([x])
            return pictures[0], targets[0]

        if any(name is None for name in names):
            return compute(batched_inputs)
        rows = self._recurring.rows(names, batched_inputs, compute_one)
        pictures, targets = zip(*rows, strict=True)
        return torch.stack(pictures), list(targets)

    @torch.no_grad()
    def weight_distance(self) -> float:
        """||f^h - f||, the L2 distance of f's parameters to its frozen copy's."""
        pairs = zip(self.map_network.parameters(), self.reference_network.parameters(), strict=True)
        return torch.stack([(ours - theirs).norm() for ours, theirs in pairs]).norm().item()

    def _batch(self, batched_inputs: list[dict[str, Any]]) -> Tensor:
        images = [x["image"].to(self.device, torch.float32) for x in batched_inputs]
        return normalise_and_pad(images, self.map_network.stride)

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

        The rule reads full-resolution, zero-padded images; h reads the map of the image squeezed to S x S (bilinear,
        corners aligned, as the release does).

        Returns: per image "instances", all boxes of h, best first; "pseudo_boxes", {name of the rule: its boxes on
            the frozen copy, "refined": on f}; "detector_target", the rule's boxes on f at S x S, which h is fitted
            to unless it was given others; "feature_shift", the relative L2 distance of f's keys to the frozen copy's.
        """
        images = self._batch(batched_inputs)
        input_sizes = [tuple(x["image"].shape[-2:]) for x in batched_inputs]
        image_sizes = [(x["height"], x["width"]) for x in batched_inputs]
        reference = self.reference_network(images, "key", input_sizes)
        refined = self.map_network(images, "key", input_sizes)
        shift = relative_shift(refined, reference)
        squares = [
            self._squeeze(image[:, :height, :width])
            for image, (height, width) in zip(images, input_sizes, strict=True)
        ]
        last = self.map_network.forward_last_block(torch.cat(squares))
        keys = self.map_network.key_map(last)
        outputs = self.map_detector.predict(self.map_input(last, keys))
        columns = (
            to_instances(outputs, image_sizes),
            self.discovery(reference),
            self.discovery(refined),
            self.discovery(keys),
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
