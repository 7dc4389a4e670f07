"""What networks that stand still say of images: h's lessons, and what f is held to.

Both are functions of inputs that `OncePerInput` may wrap, one row an input. Shapes: B images, N boxes of an image.
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


class Lessons:
    """What h learns while f stands still: f's map as h sees it, and the boxes.

    Args:
        network: f.
        rule: draws the boxes of an image that comes without.
        map_input: shows a map to h.
        reference: the frozen copy, if the boxes are those of its maps; None for those of f's.
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
        """Return (what h sees (3, H, W), the boxes (N, 4), normalised) of each input.

        Args: batched_inputs: as `BoxRefiner.forward` gets them in training.
        """
        shared = self._network.share(self._network.prepare([x["image"] for x in batched_inputs]))
        reading = self._network.read(shared)
        boxes = given_boxes(batched_inputs, shared.device)
        if boxes is None:
            theirs = self._reference
            features = reading.map if theirs is None else theirs.map_of(shared)
            boxes = boxes_of(self._rule, features)
        return list(zip(self._map_input(reading), boxes, strict=True))


class FrozenFeatures:
    """What the frozen copy says of images while f learns: the features that f is held to, and the boxes.

    Args: with_boxes: whether they are wanted.
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
        """Return (what is held, the boxes (N, 4), normalised) of each image; an empty tensor is not wanted.

        Args: shared: of each image its part of what `MapNetwork.share` gives.
        """
        reading = self._reference.read(torch.stack(list(shared)))
        count, nothing = len(shared), shared[0].new_empty(0, 4)
        boxes = boxes_of(self._rule, reading.map) if self._with_boxes else [nothing] * count
        held = nothing.new_empty(count)
        if self._preservation.weight:
            held = self._preservation.held(reading).clone()  # the copy lets go of what is not held
        return list(zip(held, boxes, strict=True))


@torch.no_grad()
def boxes_of(rule: DiscoveryRule, features: FeatureMap) -> list[Tensor]:
    """Return a rule's boxes, normalised, (N, 4) an image."""
    return [normalise(b.boxes, b.input_size) for b in rule(features.detach())]


def given_boxes(
    batched_inputs: Sequence[dict[str, Any]], device: torch.device
) -> list[Tensor] | None:
    """Return the boxes that come with the images, if any do."""
    if "target_boxes" not in batched_inputs[0]:
        return None
    return [x["target_boxes"].to(device) for x in batched_inputs]
