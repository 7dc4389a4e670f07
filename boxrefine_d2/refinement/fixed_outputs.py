"""Outputs of the fixed networks: the training samples of h, and the features that f should keep.

`OncePerInput` may wrap both classes: they return one row per input.

Shapes: B images, N boxes of an image.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from boxrefine_d2.discovery.rule import DiscoveryRule
from boxrefine_d2.networks.map_network import MapNetwork
from boxrefine_d2.networks.recurring import Row
from boxrefine_d2.structures import FeatureMap, normalise

from .map_inputs import MapInput
from .preservation import PreservationLoss


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
            boxes = boxes_of(self._rule, features)
        return list(zip(self._map_input(reading), boxes, strict=True))


class FrozenFeatures:
    """Outputs of the frozen copy while f learns: the features that f should keep, and the boxes.

    Args: with_boxes: True if the boxes are needed.
    """

    def __init__(
        self,
        reference: MapNetwork,
        rule: DiscoveryRule,
        preservation: PreservationLoss,
        *,
        with_boxes: bool,
    ):
        self._reference, self._rule, self._preservation = reference, rule, preservation
        self._with_boxes = with_boxes

    @torch.no_grad()
    def __call__(self, shared: Sequence[Tensor]) -> list[Row]:
        """Return (the features, the boxes (N, 4), normalised) of each image.

        A tensor is empty if it is not needed.

        Args: shared: for each image its part of the result of `MapNetwork.share`.
        """
        reading = self._reference.read(torch.stack(list(shared)))
        count, nothing = len(shared), shared[0].new_empty(0, 4)
        boxes = boxes_of(self._rule, reading.map) if self._with_boxes else [nothing] * count
        held = nothing.new_empty(count)
        if self._preservation.weight:
            # a copy of this part alone: a view would keep the whole reading in memory
            held = self._preservation.held(reading).clone()
        return list(zip(held, boxes, strict=True))


@torch.no_grad()
def boxes_of(rule: DiscoveryRule, features: FeatureMap) -> list[Tensor]:
    """Return a rule's boxes, normalised, (N, 4) per image."""
    return [normalise(b.boxes, b.input_size) for b in rule(features.detach())]


def given_boxes(
    batched_inputs: Sequence[dict[str, Any]], device: torch.device
) -> list[Tensor] | None:
    """Return the boxes that come with the images, or None if there are none."""
    if "target_boxes" not in batched_inputs[0]:
        return None
    return [x["target_boxes"].to(device) for x in batched_inputs]
