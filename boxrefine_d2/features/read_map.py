"""From pictures to the map of a network."""

from collections.abc import Sequence

from torch import Tensor

from boxrefine_d2.structures import FeatureMap

from .build import Backbone
from .padding import normalise_and_pad


def read_map(pictures: Sequence[Tensor], network: Backbone, facet: str) -> FeatureMap:
    """The map of pictures (3, H, W) RGB in [0, 255] of one padded size, on the network's device."""
    device = next(network.parameters()).device
    sizes = [tuple(picture.shape[-2:]) for picture in pictures]
    inputs = normalise_and_pad(pictures, network.stride, network.padding, device)
    return network(inputs, facet, image_sizes=sizes)
