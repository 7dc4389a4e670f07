"""FOUND's segmenter (arXiv:2212.07834): a frozen ViT, and one linear reading of its keys.

Shapes: B images, C channels, h x w patches.
"""

from pathlib import Path

import torch
from torch import Tensor, nn

from .segmenter import Segmenter
from .vit import VisionTransformer
from .weights import read_checkpoint


class FoundSegmenter(Segmenter):
    """A soft mask on the grid of patches, stride = patch size; the head is a 1 x 1 convolution of the keys as they are."""

    def __init__(self, extractor: VisionTransformer):
        super().__init__(extractor)
        self.head = nn.Conv2d(extractor.cls_token.shape[-1], 1, kernel_size=1)
        self.requires_grad_(True)

    @torch.no_grad()
    def share(self, images: Tensor) -> Tensor:
        """The keys."""
        return self.extractor(images, "key").data.contiguous()

    def logits(self, extracted: Tensor) -> Tensor:
        """One number a patch, (B, 1, h, w)."""
        return self.head(extracted).float()


def read_found(path: Path) -> dict[str, Tensor]:
    """The head in a file of FOUND's repository by our names; {} for any other file.

    Raises: UserError if it is no checkpoint.
    """
    decoder = read_checkpoint(path).get("decoder")
    if not isinstance(decoder, dict):
        return {}
    return {f"head.{name}": value for name, value in decoder.items()}
