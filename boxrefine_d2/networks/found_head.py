"""FOUND's segmenter (arXiv:2212.07834): a frozen ViT, and a linear head on its keys.

Shapes: B images, C channels, h x w patches.
"""

from pathlib import Path

import torch
from torch import Tensor, nn

from boxrefine_d2.structures import FeatureMap

from .checkpoint_file import read_checkpoint
from .segmenter import Segmenter
from .vit import VisionTransformer


class FoundSegmenter(Segmenter):
    """Segmenter whose soft mask lies on the grid of patches; its stride is the patch size.

    The head is a 1 x 1 convolution of the keys. The keys are not normalised.
    """

    head: nn.Conv2d

    def __init__(self, extractor: VisionTransformer):
        super().__init__(extractor)
        self.head = nn.Conv2d(extractor.cls_token.shape[-1], 1, kernel_size=1)
        self.requires_grad_(True)

    @torch.no_grad()
    def share(self, images: Tensor) -> Tensor:
        """Return the keys, (B, C, h, w)."""
        keys: FeatureMap = self.extractor(images, "key")
        return keys.data.contiguous()

    def logits(self, extracted: Tensor) -> Tensor:
        """Return one logit per patch, (B, 1, h, w)."""
        logits: Tensor = self.head(extracted)
        return logits.float()


def read_found(path: Path) -> dict[str, Tensor]:
    """Return the head in a file of FOUND's repository, by our names; {} for any other file.

    Raises: UserError if the file is not a checkpoint.
    """
    decoder = read_checkpoint(path).get("decoder")
    if not isinstance(decoder, dict):
        return {}
    return {f"head.{name}": value for name, value in decoder.items()}
