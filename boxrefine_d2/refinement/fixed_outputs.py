"""Outputs of the fixed networks: the training samples of h, and the features that f should keep.

`OncePerInput` may wrap both classes: they return one row per input.

Shapes: B images, N boxes of an image.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from boxrefine_d2.discovery.rule import DiscoveryRule
from boxrefine_d2.errors import UserError
from boxrefine_d2.networks.map_network import MapNetwork
from boxrefine_d2.networks.recurring import Row
from boxrefine_d2.structures import FeatureMap, normalise

from .map_inputs import MapInput
from .preservation import PreservationLoss


@dataclass(frozen=True)
class Targets:
    """The boxes and masks of a batch that f learns from, one entry per image.

    Attributes:
        boxes: (N, 4), normalised.
        masks: (N, a, b), the share of each cell that a mask fills, in [0, 1]; bool for masks of a
            rule. The grid covers the image and may differ from the map's. None if there are none.
    """

    boxes: list[Tensor]
    masks: list[Tensor] | None = None

    def require_masks(self) -> list[Tensor]:
        """Return the masks. Raises: UserError if there are none."""
        if self.masks is None:
            raise UserError(
                "REFINE.REGION.FROM masks: the rule of DISCOVERY.NAME draws boxes without masks; "
                "use another rule, or REFINE.REGION.FROM boxes"
            )
        return self.masks


class DetectorSamples:
    """Training samples of h while f is fixed: f's map as h reads it, and the boxes to learn.

    Args:
        network: f.
        rule: rule that draws the boxes of an image that comes without boxes.
        map_input: function from f's reading to h's input.
        reference: frozen copy whose maps give the boxes; None if f's maps give them.
    """

    def __init__(
        self,
        network: MapNetwork,
        rule: DiscoveryRule,
        map_input: MapInput,
        reference: MapNetwork | None,
    ):
        self._network, self._reference = network, reference
        self._rule, self._map_input = rule, map_input

    @torch.no_grad()
    def __call__(self, batched_inputs: Sequence[dict[str, Any]]) -> list[Row]:
        """Return (h's input (3, H, W), the boxes (N, 4), normalised) of each input.

        Args: batched_inputs: inputs of `BoxRefiner.forward` in training.
        """
        shared = self._network.share(self._network.prepare([x["image"] for x in batched_inputs]))
        reading = self._network.read(shared)
        boxes = given_boxes(batched_inputs, shared.device)
        if boxes is None:
            reference = self._reference
            features = reading.map if reference is None else reference.map_of(shared)
            boxes = targets_of(self._rule, features).boxes
        return list(zip(self._map_input(reading), boxes, strict=True))


class FrozenFeatures:
    """Outputs of the frozen copy while f learns: the features that f should keep, and the targets.

    Args:
        with_boxes: True if the boxes are needed.
        with_masks: True if the masks of the boxes are needed, too.
    """

    def __init__(
        self,
        reference: MapNetwork,
        rule: DiscoveryRule,
        preservation: PreservationLoss,
        *,
        with_boxes: bool,
        with_masks: bool = False,
    ):
        self._reference, self._rule, self._preservation = reference, rule, preservation
        self._with_boxes, self._with_masks = with_boxes, with_masks

    @torch.no_grad()
    def __call__(self, shared: Sequence[Tensor]) -> list[Row]:
        """Return (the features, the boxes (N, 4), normalised, the masks (N, a, b)) of each image.

        A tensor is empty if it is not needed.

        Args: shared: for each image its part of the result of `MapNetwork.share`.
        """
        reading = self._reference.read(torch.stack(list(shared)))
        count, nothing = len(shared), shared[0].new_empty(0, 4)
        boxes = masks = [nothing] * count
        if self._with_boxes:
            targets = targets_of(self._rule, reading.map)
            boxes = targets.boxes
            masks = targets.require_masks() if self._with_masks else masks
        held = nothing.new_empty(count)
        if self._preservation.weight:
            # a copy of this part alone: a view would keep the whole reading in memory
            held = self._preservation.held(reading).clone()
        return list(zip(held, boxes, masks, strict=True))


@torch.no_grad()
def targets_of(rule: DiscoveryRule, features: FeatureMap) -> Targets:
    """Return a rule's boxes, and their masks if it has any."""
    found = rule(features.detach())
    boxes = [normalise(each.boxes, each.input_size) for each in found]
    masks = [each.masks for each in found if each.masks is not None]
    return Targets(boxes, masks if len(masks) == len(found) else None)


def given_targets(batched_inputs: Sequence[dict[str, Any]], device: torch.device) -> Targets | None:
    """Return the boxes and masks that come with the images, or None if there are none."""
    boxes = given_boxes(batched_inputs, device)
    if boxes is None or "target_masks" not in batched_inputs[0]:
        return None if boxes is None else Targets(boxes)
    return Targets(boxes, [x["target_masks"].to(device) for x in batched_inputs])


def given_boxes(
    batched_inputs: Sequence[dict[str, Any]], device: torch.device
) -> list[Tensor] | None:
    """Return the boxes that come with the images, or None if there are none."""
    if "target_boxes" not in batched_inputs[0]:
        return None
    return [x["target_boxes"].to(device) for x in batched_inputs]
