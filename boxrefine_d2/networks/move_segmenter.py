"""MOVE's segmenter (arXiv:2210.07920; layers and names as in its code): a frozen ViT, and a small head that draws one mask.

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
    """Patch features (B, C, h, w) to logits (B, 1, h * P, w * P): log2(P) blocks that double the grid, and one that does not."""

    def __init__(self, name: str, *, dim: int, patch_size: int):
        """Args: name: see `head_widths`.  dim: C.  patch_size: P, a power of two."""
        widths, depth = head_widths(name, dim=dim, patch_size=patch_size)
        blocks = [
            _block(before, after, depth, upsample=i < len(widths) - 1)
            for i, (before, after) in enumerate(zip([dim, *widths], widths, strict=False))
        ]
        super().__init__(*blocks, nn.Conv2d(widths[-1], 1, kernel_size=1))


def head_widths(name: str, *, dim: int, patch_size: int) -> tuple[list[int], int]:
    """The output channels of each block, and the convolutions in each, of a head by its official name.

    A name is conv[_blockd<D>][_wmult<X>][_minc<N>]: D convolutions a block (1), of max(N, dim * X^i) channels in block
    i = 1, 2, ... (0.5 and 64). MOVE trains conv_minc128.

    Raises: ValueError for another name, or a patch that is no power of two.
    """
    if not _HEAD_NAME.fullmatch(name):
        raise ValueError(f"head {name!r} is not of the form conv[_blockd<D>][_wmult<X>][_minc<N>]")
    upsamplings = patch_size.bit_length() - 1
    if 2**upsamplings != patch_size:
        raise ValueError(
            f"a head doubles the grid, and the patch, {patch_size}, is no power of two"
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
    """A soft mask at the size of the input, stride 1; norm and head learn."""

    padding = "reflect"

    def __init__(self, extractor: VisionTransformer, *, head: str, block: int):
        """Args: head: see `head_widths`.  block: whose tokens the head reads, counted from the end.

        They go through a new norm; those of the last block, -1, through the extractor's own, frozen like the rest.
        """
        super().__init__(extractor)
        dim = extractor.norm.normalized_shape[0]
        self.block = block
        self.norm = extractor.norm if block == -1 else nn.LayerNorm(dim, eps=1e-6)
        self.head = SegmenterHead(head, dim=dim, patch_size=extractor.stride)
        self.requires_grad_(True)

    @torch.no_grad()
    def share(self, images: Tensor) -> Tensor:
        """The patches as the block leaves them, before the norm. Raises: ValueError for a size that does not fit."""
        tokens, grid_size = self.extractor.tokens_after(images, self.block)
        patches = tokens[:, self.extractor.prefix_tokens :].transpose(1, 2)
        extracted: Tensor = patches.unflatten(2, torch.Size(grid_size))
        return extracted

    def logits(self, extracted: Tensor) -> Tensor:
        """One number a pixel, (B, 1, H, W)."""
        patches = self.norm(extracted.movedim(1, 3)).movedim(3, 1)
        # convolutions on CPUs are faster with the channels last
        logits: Tensor = self.head(patches.contiguous(memory_format=torch.channels_last))
        return logits.float()


def our_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A state dict of MOVE's repository with the names of `MoveSegmenter`; one that has them already stays as it is."""
    renamed = {}
    for name, value in state.items():
        for official, ours in _OFFICIAL_NAMES.items():
            if name.startswith(official):
                name = ours + name.removeprefix(official)
        renamed[name] = value
    return renamed


def lacks_extractor(state: dict[str, Tensor]) -> bool:
    """Whether a state dict, by our names, is of the part that learns alone."""
    heads = any(name.startswith("head.") for name in state)
    return heads and not any(name.startswith("extractor.") for name in state)
