"""Label-free signs of whether refinement still helps: its loss can fall while the boxes get worse.

Measured on a fixed handful of training images, squeezed to S x S like the input of h.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torchvision.ops import box_area, box_iou

from boxrefine_d2.discovery.rule import DiscoveryRule
from boxrefine_d2.networks.map_network import MapNetwork
from boxrefine_d2.structures import FeatureMap, PseudoBoxes


@torch.no_grad()
def weight_distance(network: nn.Module, reference: nn.Module) -> float:
    """The L2 distance of a network's parameters to those of its frozen copy."""
    pairs = zip(network.parameters(), reference.parameters(), strict=True)
    distance: float = torch.stack([(ours - theirs).norm() for ours, theirs in pairs]).norm().item()
    return distance


@dataclass(frozen=True)
class DriftSignals:
    """How f differs from its frozen copy, without labels.

    Attributes:
        flip_agreement: mean IoU of the rule's first box on an image and on its mirror image, mirrored back.
        area_ratio: geometric mean of the box's area divided by its area on the frozen copy's map.
        feature_shift: mean relative L2 distance of the map to the frozen copy's.
    """

    flip_agreement: float
    area_ratio: float
    feature_shift: float


@dataclass(frozen=True)
class DriftLimits:
    """How far a signal may go before refinement is stopped; ours.

    Attributes:
        agreement_loss: fall of the flip agreement below that of the frozen copy.
        area_factor: factor by which the mean area may grow or shrink.
        feature_shift: relative distance of the maps.
    """

    agreement_loss: float
    area_factor: float
    feature_shift: float

    def exceeded(self, now: DriftSignals, start: DriftSignals) -> str | None:
        """What went too far, in words; None if nothing did."""
        lost = start.flip_agreement - now.flip_agreement
        if lost > self.agreement_loss:
            return f"agreement of boxes with those of mirrored images fell by {lost:.3f}, to {now.flip_agreement:.3f}"
        if not 1 / self.area_factor <= now.area_ratio <= self.area_factor:
            return f"the mean box area changed by a factor of {now.area_ratio:.2f}"
        if now.feature_shift > self.feature_shift:
            return f"the map moved by {now.feature_shift:.2f} of its length"
        return None


class DriftProbe:
    """Measures the signals of f on a fixed batch of pictures.

    Attributes:
        start, start_boxes: what `measure` says of the frozen copy.
    """

    def __init__(
        self, pictures: Tensor, reference: MapNetwork, rule: DiscoveryRule, batch_size: int
    ):
        """Args:
        pictures: (P, 3, S, S), normalised.
        reference: f's frozen copy.
        """
        self._pictures = pictures
        self._reference = reference
        self._rule = rule
        self._batch_size = batch_size
        self.start, self.start_boxes = self.measure(reference)

    @torch.no_grad()
    def measure(self, network: MapNetwork) -> tuple[DriftSignals, Tensor]:
        """The signals of one network, and the rule's first boxes on its maps: (P, 4) XYXY in pixels of the pictures.

        The network's training mode is left as it is.
        """
        was_training = network.training
        network.eval()
        rows = [self._rows(network, batch) for batch in self._pictures.split(self._batch_size)]
        network.train(was_training)
        boxes, agreement, ratio, shift = (torch.cat(column) for column in zip(*rows, strict=True))
        signals = DriftSignals(
            agreement.mean().item(), ratio.log().mean().exp().item(), shift.mean().item()
        )
        return signals, boxes

    def _rows(self, network: MapNetwork, pictures: Tensor) -> tuple[Tensor, ...]:
        shared = network.share(pictures)
        ours, theirs = network.map_of(shared), self._reference.map_of(shared)
        mirrored = network.map_of(network.share(pictures.flip(3)))
        boxes, before = self._first_boxes(ours), self._first_boxes(theirs)
        width = pictures.shape[3]
        back = self._first_boxes(mirrored)[:, [2, 1, 0, 3]] * boxes.new_tensor([-1, 1, -1, 1])
        back = back + boxes.new_tensor([width, 0, width, 0])
        agreement = box_iou(boxes, back).diagonal()
        ratio = box_area(boxes) / box_area(before)
        return boxes, agreement, ratio, relative_shift(ours, theirs).cpu()

    def _first_boxes(self, features: FeatureMap) -> Tensor:
        found: list[PseudoBoxes] = self._rule(features)
        return torch.stack([boxes.boxes[0] for boxes in found]).cpu()


def relative_shift(ours: FeatureMap, reference: FeatureMap) -> Tensor:
    """(B,) L2 distance of two maps of the same images, in units of the length of the second."""
    distance = (ours.data - reference.data).flatten(1).norm(dim=1)
    shift: Tensor = distance / reference.data.flatten(1).norm(dim=1)
    return shift
