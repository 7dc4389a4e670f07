"""Label-free signals that show whether refinement still helps.

The loss can fall while the boxes get worse. The signals are measured on a few fixed training
images, squeezed to S x S like the input of h.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torchvision.ops import box_area, box_iou

from boxrefine_d2.discovery.rule import DiscoveryRule
from boxrefine_d2.networks.map_network import MapNetwork
from boxrefine_d2.structures import FeatureMap, PseudoBoxes, mirrored_back


@torch.no_grad()
def weight_distance(network: nn.Module, reference: nn.Module) -> float:
    """Return the L2 distance of a network's parameters to those of its frozen copy."""
    pairs = zip(network.parameters(), reference.parameters(), strict=True)
    distance: float = (
        torch.stack([(current - original).norm() for current, original in pairs]).norm().item()
    )
    return distance


@dataclass(frozen=True)
class DriftSignals:
    """Differences between f and its frozen copy, measured without labels.

    Attributes:
        flip_agreement: mean IoU of two boxes: the rule's first box on an image, and its first box
            on the mirrored image, mirrored back.
        area_ratio: geometric mean of the box's area divided by its area on the frozen copy's map.
        feature_shift: mean relative L2 distance of the map to the frozen copy's.
    """

    flip_agreement: float
    area_ratio: float
    feature_shift: float


@dataclass(frozen=True)
class DriftLimits:
    """Limits of the signals; beyond one of them refinement stops. The limits are ours.

    Attributes:
        agreement_loss: largest fall of the flip agreement below that of the frozen copy.
        area_factor: largest factor by which the mean area may grow or shrink.
        feature_shift: largest relative distance of the maps.
    """

    agreement_loss: float
    area_factor: float
    feature_shift: float

    def exceeded(self, now: DriftSignals, start: DriftSignals) -> str | None:
        """Return a description of the limit that was exceeded, or None."""
        lost = start.flip_agreement - now.flip_agreement
        if lost > self.agreement_loss:
            return (
                f"agreement of boxes with those of mirrored images fell by {lost:.3f}, "
                f"to {now.flip_agreement:.3f}"
            )
        if not 1 / self.area_factor <= now.area_ratio <= self.area_factor:
            return f"the mean box area changed by a factor of {now.area_ratio:.2f}"
        if now.feature_shift > self.feature_shift:
            return f"the map moved by {now.feature_shift:.2f} of its length"
        return None


class DriftProbe:
    """Measurement of f's signals on a fixed batch of images.

    Attributes:
        start, start_boxes: results of `measure` for the frozen copy.
    """

    def __init__(self, images: Tensor, reference: MapNetwork, rule: DiscoveryRule, batch_size: int):
        """Measure the frozen copy.

        Args:
            images: (P, 3, S, S), normalised.
            reference: frozen copy of f.
            rule: rule whose first boxes are compared.
            batch_size: number of images that a network reads at once.
        """
        self._images = images
        self._reference = reference
        self._rule = rule
        self._batch_size = batch_size
        self.start, self.start_boxes = self.measure(reference)

    @torch.no_grad()
    def measure(self, network: MapNetwork) -> tuple[DriftSignals, Tensor]:
        """Return the signals of a network, and the rule's first boxes on its maps.

        The boxes are (P, 4) XYXY in pixels of the images. The network keeps its training mode.
        """
        was_training = network.training
        network.eval()
        rows = [self._rows(network, batch) for batch in self._images.split(self._batch_size)]
        network.train(was_training)
        boxes, agreement, ratio, shift = (torch.cat(column) for column in zip(*rows, strict=True))
        signals = DriftSignals(
            agreement.mean().item(), ratio.log().mean().exp().item(), shift.mean().item()
        )
        return signals, boxes

    def _rows(self, network: MapNetwork, images: Tensor) -> tuple[Tensor, ...]:
        shared = network.share(images)
        current, original = network.map_of(shared), self._reference.map_of(shared)
        mirrored = network.map_of(network.share(images.flip(3)))
        boxes, before = self._first_boxes(current), self._first_boxes(original)
        back = mirrored_back(self._first_boxes(mirrored), images.shape[3])
        agreement = box_iou(boxes, back).diagonal()
        ratio = box_area(boxes) / box_area(before)
        return boxes, agreement, ratio, relative_shift(current, original).cpu()

    def _first_boxes(self, features: FeatureMap) -> Tensor:
        boxes: list[PseudoBoxes] = self._rule(features)
        return torch.stack([each.boxes[0] for each in boxes]).cpu()


def relative_shift(current: FeatureMap, reference: FeatureMap) -> Tensor:
    """Return the L2 distance of two maps of the same images, relative to the length of the second.

    Returns: (B,).
    """
    distance = (current.data - reference.data).flatten(1).norm(dim=1)
    shift: Tensor = distance / reference.data.flatten(1).norm(dim=1)
    return shift
