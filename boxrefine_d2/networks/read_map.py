"""Reader of the map of images; it refuses a map with NaN or infinity."""

from collections.abc import Sequence

from torch import Tensor

from boxrefine_d2.errors import UserError
from boxrefine_d2.structures import FeatureMap

from .map_network import MapNetwork


class NotFiniteMapError(UserError):
    """Error for a batch in which the maps of some images hold NaN or infinity.

    Attributes: images: indices of these images in the batch.
    """

    def __init__(self, images: Sequence[int], of: int):
        super().__init__(
            f"the network's map of {len(images)} of {of} images holds numbers that are not finite; "
            "its weights are damaged, or it needs --precision fp32"
        )
        self.images = list(images)


def read_map(images: Sequence[Tensor], network: MapNetwork, facet: str) -> FeatureMap:
    """Return the map of images of one padded size, on the network's device.

    Args: images: (3, H, W) RGB in [0, 255].
    Raises: NotFiniteMapError if a number in the map is not finite. No rule would notice it.
    """
    sizes = [(image.shape[-2], image.shape[-1]) for image in images]
    features: FeatureMap = network(network.prepare(images), facet, image_sizes=sizes)
    finite = features.data.isfinite().flatten(1).all(dim=1)
    if not finite.all():
        raise NotFiniteMapError((~finite).nonzero().flatten().tolist(), len(images))
    return features
