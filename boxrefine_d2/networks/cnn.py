"""Convolutional backbones with the feature maps that LOST's repository reads (arXiv:2109.14279)."""

import torch.nn.functional as F
import torchvision
from torch import Tensor

from boxrefine_d2.structures import FeatureMap

from .map_network import MapNetwork, Sizes

PAD_MULTIPLE = 16  # pixels; LOST pads inputs for CNNs as for its ViTs

# LOST's `resnet_dilate` -> the layers among layer2, layer3, layer4 that have dilation, not stride
_DILATED = {1: (False, False, False), 2: (False, False, True), 4: (False, True, True)}


class ConvolutionalBackbone(MapNetwork):
    """Convolutional trunk with a layer norm over the whole of its last map.

    The norm makes negative inner products possible.
    """

    facets = ("output",)
    stride = PAD_MULTIPLE

    def forward(
        self,
        images: Tensor,
        facet: str | None = None,
        image_sizes: Sizes | None = None,
    ) -> FeatureMap:
        """Return the last map, (B, C, h, w), with the strides H/h and W/w.

        The map of each image is normalised over all of its N x C numbers at once, without affine
        terms.

        Args: images: (B, 3, H, W), normalised; H and W are multiples of 16.
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
        """Return the convolutional features before the norm, (B, C, h, w)."""
        raise NotImplementedError


class ResNet50(ConvolutionalBackbone):
    """torchvision's ResNet-50 up to its pooling.

    `dilate` 1, 2 or 4 gives a stride of 32, 16 or 8 pixels.
    """

    def __init__(self, *, dilate: int):
        super().__init__()
        net = torchvision.models.resnet50(
            weights=None, replace_stride_with_dilation=_DILATED[dilate]
        )
        for name, child in net.named_children():
            if name not in ("avgpool", "fc"):
                self.add_module(name, child)

    def trunk(self, images: Tensor) -> Tensor:
        """Return the output of layer4 after its ReLU, 2048 channels."""
        for child in self.children():
            images = child(images)
        return images


class VGG16(ConvolutionalBackbone):
    """VGG16 up to the ReLU after conv5_3, without the last max-pool; 512 channels, stride 16."""

    def __init__(self) -> None:
        super().__init__()
        self.features = torchvision.models.vgg16(weights=None).features[:-1]

    def trunk(self, images: Tensor) -> Tensor:
        """Return the output of conv5_3 after its ReLU, 512 channels."""
        after: Tensor = self.features(images)
        return after
