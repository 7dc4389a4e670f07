"""FOUND's segmenter (arXiv:2212.07834): a frozen ViT, and one linear reading of its keys.

Shapes: B images, C channels, h x w patches.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from boxrefine_d2.structures import FeatureMap

from .vit import VisionTransformer
from .weights import read_checkpoint


class FoundSegmenter(nn.Module):
    """A map network whose map is a soft mask of the foreground on the grid of patches.

    The extractor never learns: its parameters take no gradient whatever is asked of the module, and it stays in eval
    mode. The head, a 1 x 1 convolution of the keys as they are, does.
    """

    facets = ("mask",)
    padding = "zeros"

    def __init__(self, extractor: VisionTransformer):
        super().__init__()
        self.stride = extractor.stride
        self.extractor = extractor
        self.head = nn.Conv2d(extractor.cls_token.shape[-1], 1, kernel_size=1)
        self.requires_grad_(True)

    def requires_grad_(self, requires_grad: bool = True) -> "FoundSegmenter":
        """Switches the gradient of the head."""
        super().requires_grad_(requires_grad)
        self.extractor.requires_grad_(False)
        return self

    def train(self, mode: bool = True) -> "FoundSegmenter":
        """Sets the mode of the head."""
        super().train(mode)
        self.extractor.eval()
        return self

    def forward(
        self,
        images: Tensor,
        facet: str = "mask",
        image_sizes: Sequence[tuple[int, int]] | None = None,
    ) -> FeatureMap:
        """The mask as a map of one channel in [0, 1], stride = patch size.

        Args:
            images: (B, 3, H, W), normalised; H and W are multiples of the patch.
            image_sizes: (H, W) of each image before padding; the padded size when not given.
        Raises: ValueError for a facet other than "mask", or another size.
        """
        if facet not in self.facets:
            raise ValueError(f"a segmenter has the facet 'mask' only, not {facet!r}")
        with torch.no_grad():
            keys = self.extractor(images, "key", image_sizes)
        mask = self.head(keys.data.contiguous()).float().sigmoid()
        return FeatureMap(mask, self.stride, keys.image_sizes, facet)

    def trained_state(self) -> dict[str, Tensor]:
        """What training changes, head.*: as a file of tensors, all that `build_backbone` needs."""
        return {f"head.{name}": value for name, value in self.head.state_dict().items()}


def read_found(path: Path) -> dict[str, Tensor]:
    """The head in a file of FOUND's repository by our names; {} for any other file.

    Raises: UserError if it is no checkpoint.
    """
    decoder = read_checkpoint(path).get("decoder")
    if not isinstance(decoder, dict):
        return {}
    return {f"head.{name}": value for name, value in decoder.items()}
