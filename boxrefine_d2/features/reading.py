"""What refinement reads of a map network, for networks of either kind: transformers, and segmenters on a frozen one."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from boxrefine_d2.structures import FeatureMap

from .segmenter import Segmenter
from .timm_vit import TimmTransformer
from .vit import LastBlock, VisionTransformer

Refinable = VisionTransformer | TimmTransformer | Segmenter


@dataclass(frozen=True)
class Reading:
    """What one forward gives.

    Attributes:
        map: what the rule reads: keys, or a segmenter's mask.
        last: tokens of a transformer's last block; None of a segmenter.
    """

    map: FeatureMap
    last: LastBlock | None


def map_facet(network: Refinable) -> str:
    """The facet of `Reading.map`."""
    return "mask" if isinstance(network, Segmenter) else "key"


def shared_part(network: Refinable, images: Tensor) -> Tensor:
    """What a network and its frozen copy have in common of images (B, 3, H, W), computed once for both.

    Of a segmenter its extractor's features; a transformer learns as a whole, so the images themselves.
    """
    return network.extract(images) if isinstance(network, Segmenter) else images


def read_shared(network: Refinable, shared: Tensor) -> Reading:
    """From what `shared_part` gave to everything that refinement needs; images without padding."""
    if isinstance(network, Segmenter):
        return Reading(network.draw(shared), None)
    last = network.forward_last_block(shared)
    return Reading(network.key_map(last), last)


def map_of(
    network: Refinable, shared: Tensor, image_sizes: Sequence[tuple[int, int]] | None = None
) -> FeatureMap:
    """The map alone, for images of the sizes (H, W) before padding: nothing behind it is computed."""
    if isinstance(network, Segmenter):
        return network.draw(shared, image_sizes)
    return network(shared, map_facet(network), image_sizes)


def frozen_copy(network: Refinable) -> Refinable:
    """A copy that never learns, and shares with the network what does not learn there either.

    Put in train mode, its batch norms read the batch and keep their own averages as they are.
    """
    never_learns = (
        {id(network.extractor): network.extractor} if isinstance(network, Segmenter) else {}
    )
    frozen = copy.deepcopy(network, never_learns).requires_grad_(False)
    for module in frozen.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.0
    return frozen
