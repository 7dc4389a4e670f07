"""MOVE's segmenter (arXiv:2210.07920): a frozen ViT, and a small head that gives one mask.

Layers and names are those of MOVE's code.
Shapes: B images, C channels, h x w patches, H x W pixels, P pixels per patch.
"""

import re

import torch
from torch import Tensor, nn

from .segmenter import Segmenter
from .vit import VisionTransformer

_HEAD_NAME = re.compile(r"conv(?:_blockd[1-9]\d*|_minc[1-9]\d*|_wmult\d+(?:\.\d+)?)*")
_OFFICIAL_NAMES = {
    "segmenter_head.model.": "head.",
    "feature_extractor.norm.": "norm.",
    "feature_extractor.model.": "extractor.",
}


class SegmenterHead(nn.Sequential):
    """Convolutional head from patch features (B, C, h, w) to logits (B, 1, h * P, w * P).

    It has log2(P) blocks that double the grid, and one block that does not.
    """

    def __init__(self, name: str, *, dim: int, patch_size: int):
        """Build the head.

        Args: name: see `head_widths`.  dim: C.  patch_size: P, a power of two.
        """
        widths, depth = head_widths(name, dim=dim, patch_size=patch_size)
        blocks = [
            _block(before, after, depth, upsample=i < len(widths) - 1)
            for i, (before, after) in enumerate(zip([dim, *widths], widths, strict=False))
        ]
        super().__init__(*blocks, nn.Conv2d(widths[-1], 1, kernel_size=1))


def head_widths(name: str, *, dim: int, patch_size: int) -> tuple[list[int], int]:
    """Return the output channels of each block of a head, and the number of convolutions per block.

    The official name of a head is conv[_blockd<D>][_wmult<X>][_minc<N>]. A block has D convolutions
    (default 1). Block i = 1, 2, ... has max(N, dim * X^i) channels (defaults: X 0.5, N 64). MOVE
    trains conv_minc128.

    Raises: ValueError for another name, or a patch size that is not a power of two.
    """
    if not _HEAD_NAME.fullmatch(name):
        raise ValueError(f"head {name!r} is not of the form conv[_blockd<D>][_wmult<X>][_minc<N>]")
    upsamplings = patch_size.bit_length() - 1
    if 2**upsamplings != patch_size:
        raise ValueError(
            f"the head doubles the grid; the patch size is {patch_size}, not a power of two"
        )
    given = dict(re.findall(r"_([a-z]+)([\d.]+)", name))
    factor, least = float(given.get("wmult", 0.5)), int(given.get("minc", 64))
    widths = [max(least, int(dim * factor ** (i + 1))) for i in range(upsamplings + 1)]
    return widths, int(given.get("blockd", 1))


def _block(before: int, after: int, depth: int, *, upsample: bool) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Upsample(scale_factor=2, mode="nearest")] if upsample else []
    for i in range(depth):
        convolution = nn.Conv2d(after if i else before, after, kernel_size=3, padding=1)
        layers += [convolution, nn.BatchNorm2d(after), nn.LeakyReLU(0.01)]
    return nn.Sequential(*layers)


class MoveSegmenter(Segmenter):
    """Segmenter whose soft mask has the size of the input, stride 1; its norm and head learn."""

    padding = "reflect"

    def __init__(self, extractor: VisionTransformer, *, head: str, block: int):
        """Build the segmenter.

        Args:
            head: name of the head, see `head_widths`.
            block: the block whose tokens the head reads, counted from the end. The tokens pass a
                new norm. Those of the last block, -1, pass the extractor's own norm, which is
                frozen like the rest of the extractor.
        """
        super().__init__(extractor)
        dim = extractor.norm.normalized_shape[0]
        self.block = block
        self.norm = extractor.norm if block == -1 else nn.LayerNorm(dim, eps=1e-6)
        self.head = SegmenterHead(head, dim=dim, patch_size=extractor.stride)
        self.requires_grad_(True)

    @torch.no_grad()
    def share(self, images: Tensor) -> Tensor:
        """Return the patch tokens after the block, before the norm, (B, C, h, w).

        Raises: ValueError for a size that is not a multiple of the patch.
        """
        tokens, grid_size = self.extractor.tokens_after(images, self.block)
        patches = tokens[:, self.extractor.prefix_tokens :].transpose(1, 2)
        extracted: Tensor = patches.unflatten(2, torch.Size(grid_size))
        return extracted

    def logits(self, extracted: Tensor) -> Tensor:
        """Return one logit per pixel, (B, 1, H, W)."""
        patches = self.norm(extracted.movedim(1, 3)).movedim(3, 1)
        # Convolutions on CPUs are faster with the channels last in memory.
        logits: Tensor = self.head(patches.contiguous(memory_format=torch.channels_last))
        return logits.float()


def our_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return a state dict of MOVE's repository with the names of `MoveSegmenter`.

    A state dict that has these names already does not change.
    """
    renamed = {}
    for name, value in state.items():
        for official, ours in _OFFICIAL_NAMES.items():
            if name.startswith(official):
                name = ours + name.removeprefix(official)
        renamed[name] = value
    return renamed


def lacks_extractor(state: dict[str, Tensor]) -> bool:
    """Return True if a state dict, by our names, holds a head and no extractor."""
    heads = any(name.startswith("head.") for name in state)
    return heads and not any(name.startswith("extractor.") for name in state)
