"""BoxRefiner: refinement of f through a detector h (ICCV 2023 paper), by regions (ours), or both.

h was fitted before to the boxes of f's own map.

Shapes: B images, N patches, C channels, S x S pixels of the square image behind h's map.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY
from detectron2.structures import Instances
from detectron2.utils.events import get_event_storage
from torch import Tensor
from torchvision.ops import box_iou

from boxrefine_d2.discovery.rule import DiscoveryRule
from boxrefine_d2.errors import UserError
from boxrefine_d2.evaluation.sources import REFINED
from boxrefine_d2.networks.map_network import MapNetwork, Reading
from boxrefine_d2.networks.recurring import OncePerInput, input_names
from boxrefine_d2.structures import PseudoBoxes, to_xyxy

from .criterion import OBJECT
from .drift import relative_shift
from .fixed_outputs import DetectorSamples, FrozenFeatures, Targets, given_targets, targets_of
from .map_detector import MapDetector, to_instances
from .map_inputs import MapInput
from .phased_refiner import DETECTOR, PhasedRefiner
from .preservation import PreservationLoss
from .refiner_parts import check_parts, parts_of
from .region_loss import RegionLoss


@META_ARCH_REGISTRY.register()
class BoxRefiner(PhasedRefiner):
    """A map network f, its frozen copy, a rule, and the map detector h.

    In phase "detector", h learns from the rule's boxes on f's map. In phase "refine", h is fixed.
    The same loss then refines f, together with a term that keeps f near its frozen copy. A region
    loss can replace the loss through h, or be added to it (REFINE.LOSS).
    """

    map_network: MapNetwork
    reference_network: MapNetwork

    @configurable
    def __init__(
        self,
        *,
        map_network: MapNetwork,
        map_detector: MapDetector,
        discovery: DiscoveryRule,
        discovery_name: str,
        map_input: MapInput,
        preservation: PreservationLoss,
        square_size: int,
        region_loss: RegionLoss | None = None,
        through_h: bool = True,
        autocast: bool = False,
        shuffle_boxes: bool = False,
        reference_targets: bool = False,
        reference_batch_statistics: bool = False,
        head_alone: bool = False,
    ):
        """Take the parts.

        Args:
            square_size: S, pixels.
            region_loss: loss of f on regions; None for none.
            through_h: True if h's loss refines f.
            autocast: f computes in bfloat16 where it learns without h.
            shuffle_boxes and what follows: see `PhasedRefiner.start_phases`.
        Raises: UserError for parts that do not fit each other.
        """
        super().__init__()
        check_parts(map_network, discovery, preservation, head_alone)
        if square_size % map_network.stride:
            raise UserError(
                f"INPUT.SQUARE_SIZE {square_size} is no multiple of the patch, "
                f"{map_network.stride} pixels"
            )
        self.discovery = discovery
        self.discovery_name = discovery_name
        self.map_input = map_input
        self.preservation = preservation
        self.square_size = square_size
        self.region_loss, self.through_h = region_loss, through_h
        self.autocast = autocast
        self.start_phases(
            map_network,
            map_detector,
            shuffle_boxes=shuffle_boxes,
            reference_targets=reference_targets,
            reference_batch_statistics=reference_batch_statistics,
            head_alone=head_alone,
        )
        reference = self.reference_network
        samples = DetectorSamples(
            map_network, discovery, map_input, reference if reference_targets else None
        )
        masks = region_loss is not None and region_loss.reads_masks
        frozen = FrozenFeatures(
            reference, discovery, preservation, with_boxes=reference_targets, with_masks=masks
        )
        self.detector_samples, self._frozen = OncePerInput(samples), OncePerInput(frozen)

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Return the parts that the configuration names."""
        return parts_of(cfg)

    def forward(self, batched_inputs: list[dict[str, Any]]) -> Any:
        """Return losses in training, and results in eval (Detectron2's contract).

        Args: batched_inputs: dicts with "image" (3, H, W) RGB in [0, 255].
            In training all images are S x S. If all dicts have "target_boxes", (M, 4) normalised,
            these replace the rule's boxes; "target_masks" (M, g, g), shares of cells in [0, 1],
            replace its masks.
            In eval all images have one padded size; "height" and "width" are of the original image.
        Returns: in training {"loss_class", "loss_l1", "loss_giou"[, "loss_preservation"]},
            weighted. In phase "refine", "loss_region" replaces the first three or is added to them,
            if there is a region loss. In eval the results of `inference`.
        """
        if not self.training:
            return self.inference(batched_inputs)
        if self.phase == DETECTOR:
            map_images, boxes = self._samples_of(batched_inputs)
            return self._losses_of_h(map_images, self.for_h(boxes))
        shared = self.map_network.share(self._prepared(batched_inputs))
        reading = self._read(shared)
        held, reference = self._frozen_features(shared, batched_inputs)
        targets = self._targets(reading, reference, batched_inputs)
        losses = self._losses_of_h(self.map_input(reading), targets.boxes) if self.through_h else {}
        if self.region_loss is not None:
            losses["loss_region"] = self.region_loss(reading, targets, batched_inputs)
        if held is not None:
            losses["loss_preservation"] = self.preservation(reading, held)
        return losses

    def _samples_of(self, batched_inputs: Sequence[dict[str, Any]]) -> tuple[Tensor, list[Tensor]]:
        """Return h's input while f is fixed, (B, 3, H, W), and the boxes to learn, normalised."""
        rows = self.detector_samples(batched_inputs, input_names(batched_inputs))
        map_images, targets = zip(*rows, strict=True)
        return torch.stack(map_images), list(targets)

    def _read(self, shared: Tensor) -> Reading:
        """Return f's reading while it learns."""
        with torch.autocast(shared.device.type, torch.bfloat16, enabled=self.autocast):
            return self.map_network.read(shared)

    def _frozen_features(
        self, shared: Tensor, batched_inputs: Sequence[dict[str, Any]]
    ) -> tuple[Tensor | None, Targets | None]:
        """Return the features and the targets of the frozen copy while f learns.

        The features are None if no term needs them. The targets are None if f does not learn them.
        """
        if not (self.preservation.weight or self.reference_targets):
            return None, None
        # batch statistics depend on all images of the batch, so the rows cannot be stored by image
        by_batch = self.reference_network.training
        names = [None] * len(shared) if by_batch else input_names(batched_inputs)
        held, boxes, masks = zip(*self._frozen(list(shared), names), strict=True)
        return (
            torch.stack(held) if self.preservation.weight else None,
            Targets(list(boxes), list(masks)) if self.reference_targets else None,
        )

    def _targets(
        self, reading: Reading, reference: Targets | None, batched_inputs: Sequence[dict[str, Any]]
    ) -> Targets:
        """Return what f learns from: the given boxes, the frozen copy's, or the rule's on f."""
        given = given_targets(batched_inputs, reading.map.data.device)
        return given or reference or targets_of(self.discovery, reading.map)

    def _losses_of_h(self, map_images: Tensor, targets: list[Tensor]) -> dict[str, Tensor]:
        """Return the losses of h's boxes on (B, 3, H, W). They train h, or f through h."""
        outputs = self.map_detector.predict(map_images)
        self._log_match(outputs, targets)
        losses: dict[str, Tensor] = self.map_detector.criterion(outputs, targets)
        return losses

    def _prepared(self, batched_inputs: Sequence[dict[str, Any]]) -> Tensor:
        return self.map_network.prepare([x["image"] for x in batched_inputs])

    @torch.no_grad()
    def _log_match(self, outputs: dict[str, Tensor], targets: list[Tensor]) -> None:
        """Log the IoU of h's best box with the first target, over images that have a target."""
        labelled = [i for i, target in enumerate(targets) if len(target)]
        if not labelled:
            return
        best = outputs["pred_logits"][labelled].softmax(dim=2)[..., OBJECT].argmax(dim=1)
        boxes = outputs["pred_boxes"][labelled, best]
        first = torch.stack([targets[i][0] for i in labelled])
        iou = box_iou(to_xyxy(boxes), to_xyxy(first)).diagonal()
        storage = get_event_storage()
        storage.put_scalar("h_iou_with_pseudo_box", iou.mean().item())
        storage.put_scalar("h_hits_pseudo_box", (iou >= 0.5).float().mean().item())

    @torch.no_grad()
    def inference(self, batched_inputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the boxes before and after refinement, in the frame of the original image.

        The rule reads padded images at full resolution. h reads the map of the image squeezed to
        S x S (bilinear, corners aligned, as in the release).

        Returns: a dict per image:
            "instances": all boxes of h, best first; absent if h never learns.
            "pseudo_boxes": {name of the rule: its boxes on the frozen copy, "refined": those on f}.
            "detector_target": the rule's boxes on f at S x S. h is fitted to them unless the
                dataset gives boxes.
            "feature_shift": relative L2 distance of f's map to the frozen copy's.
        """
        images = self._prepared(batched_inputs)
        input_sizes = [tuple(x["image"].shape[-2:]) for x in batched_inputs]
        image_sizes = [(x["height"], x["width"]) for x in batched_inputs]
        shared = self.map_network.share(images)
        reference = self.reference_network.map_of(shared, input_sizes)
        refined = self.map_network.map_of(shared, input_sizes)
        squares = self._read_squeezed(images, input_sizes)
        instances: Sequence[Instances | None] = [None] * len(images)
        if self.map_detector.learns:
            predicted = self.map_detector.predict(self.map_input(squares))
            instances = to_instances(predicted, image_sizes)
        maps = (reference, refined, squares.map)
        boxes = zip(*(self.discovery(features) for features in maps), strict=True)
        shifts = relative_shift(refined, reference).tolist()
        columns = zip(instances, boxes, shifts, image_sizes, strict=True)
        return [self._answer(*row) for row in columns]

    def _read_squeezed(self, images: Tensor, sizes: Sequence[tuple[int, int]]) -> Reading:
        """Return f's reading of the images, each without its padding and squeezed to S x S.

        Args: sizes: (H, W) of each image without its padding.
        """
        side = (self.square_size, self.square_size)
        squares = [
            F.interpolate(
                image[None, :, :height, :width], size=side, mode="bilinear", align_corners=True
            )
            for image, (height, width) in zip(images, sizes, strict=True)
        ]
        return self.map_network.read(self.map_network.share(torch.cat(squares)))

    def _answer(
        self,
        instances: Instances | None,
        boxes: tuple[PseudoBoxes, PseudoBoxes, PseudoBoxes],
        shift: float,
        size: tuple[int, int],
    ) -> dict[str, Any]:
        """Return the result of one image of (H, W).

        Args: boxes: the rule's boxes on the frozen copy, on f, and on f at S x S.
        """
        before, after, target = (each.resized(size).to("cpu") for each in boxes)
        boxes_of_h = {} if instances is None else {"instances": instances.to("cpu")}
        return boxes_of_h | {
            "pseudo_boxes": {self.discovery_name: before, REFINED: after},
            "detector_target": target,
            "feature_shift": shift,
        }
