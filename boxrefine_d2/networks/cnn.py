"""Convolutional feature maps as LOST reads them (arXiv:2109.14279, repository)."""

import torch.nn.functional as F
import torchvision
from torch import Tensor

from boxrefine_d2.structures import FeatureMap

from .map_network import MapNetwork, Sizes

PAD_MULTIPLE = 16  # LOST pads for the CNNs as for its ViTs

# how many of layer3, layer4 trade their stride for dilation, by LOST's `resnet_dilate`
_DILATED = {1: (False, False, False), 2: (False, False, True), 4: (False, True, True)}


class ConvolutionalBackbone(MapNetwork):
    """A trunk whose last map is layer-normalised as a whole, so that inner products can be negative."""

    facets = ("output",)
    stride = PAD_MULTIPLE

    def forward(
        self,
        images: Tensor,
        facet: str | None = None,
        image_sizes: Sizes | None = None,
    ) -> FeatureMap:
        """(B, 3, H, W), normalised, H and W multiples of 16, to the map (B, C, h, w); strides are H/h and W/w.

        The map of each image is normalised over all of its N x C numbers at once, without affine terms.
        Raises: ValueError for a facet other than "output".
        """
        facet = facet or self.facets[0]
        if facet not in self.facets:
            raise ValueError(f"a convolutional backbone has the facet 'output' only, not {facet!r}")
        data = self.trunk(images.to(next(self.parameters()).dtype))
        data = F.layer_norm(data.float(), data.shape[1:])
        height, width = images.shape[-2:]
        stride = (height / data.shape[2], width / data.shape[3])
        sizes = image_sizes or [(height, width)] * len(images)
        return FeatureMap(data, stride, sizes, facet)

    def trunk(self, images: Tensor) -> Tensor:
        """The bare convolutional features."""
        raise NotImplementedError


class ResNet50(ConvolutionalBackbone):
    """Everything of torchvision's ResNet-50 before its pooling; `dilate` 1, 2 or 4 gives stride 32, 16 or 8."""

    def __init__(self, *, dilate: int):
        super().__init__()
        net = torchvision.models.resnet50(
            weights=None, replace_stride_with_dilation=_DILATED[dilate]
        )
        for name, child in net.named_children():
            if name not in ("avgpool", "fc"):
                self.add_module(name, child)

    def trunk(self, images: Tensor) -> Tensor:
        """layer4 after its ReLU, 2048 channels."""
        for child in self.children():
            images = child(images)
        return images


class VGG16(ConvolutionalBackbone):
    """VGG16 up to the ReLU after conv5_3: the last max-pool is left out, 512 channels, stride 16."""

    def __init__(self) -> None:
        super().__init__()
        self.features = torchvision.models.vgg16(weights=None).features[:-1]

    def trunk(self, images: Tensor) -> Tensor:
        """conv5_3 after its ReLU."""
        after: Tensor = self.features(images)
        return after
