"""Types of the parts of timm's transformers that this package reads.

timm types its parts as `nn.Module`, whose attributes can be of any type.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, Protocol, cast

from timm.models.vision_transformer import Block
from torch import Tensor, nn


class AttentionParts(Protocol):
    """Attention layer. Only networks that rotate have `rotate_half`."""

    qkv: nn.Linear
    proj: nn.Linear
    num_heads: int
    rotate_half: bool


class MlpParts(Protocol):
    """MLP of a block."""

    fc1: nn.Linear
    fc2: nn.Linear

    def __call__(self, tokens: Tensor) -> Tensor:
        """Return the output (B, T, C) for tokens (B, T, C)."""


class BlockParts(Protocol):
    """Block of a transformer. Only networks that do not rotate have `ls1` and `ls2`."""

    norm1: nn.LayerNorm
    attn: AttentionParts
    ls1: nn.Module
    norm2: nn.LayerNorm
    mlp: MlpParts
    ls2: nn.Module


class RotationParts(Protocol):
    """Rotation by the position on the grid."""

    periods: Tensor

    def get_embed(self, grid_size: tuple[int, int]) -> Tensor:
        """Return the sines and cosines for a grid of (h, w)."""

    def register_buffer(self, name: str, tensor: Tensor) -> None:
        """Register a buffer, see `nn.Module`."""


class PatchParts(Protocol):
    """Patch embedding.

    Attributes: patch_size: (rows, columns) in pixels.  num_patches: number of patches.
    """

    patch_size: tuple[int, int]
    num_patches: int


class NetworkParts(Protocol):
    """Transformer. Only networks that rotate have `rope`."""

    patch_embed: PatchParts
    embed_dim: int
    num_prefix_tokens: int
    blocks: Sequence[nn.Module]
    norm: nn.LayerNorm
    rope: RotationParts


def block_parts(block: nn.Module) -> BlockParts:
    """Return the same block, typed by its parts."""
    return cast(BlockParts, block)


def plain_blocks(depth: int, dim: int, num_heads: int) -> nn.ModuleList:
    """Return the blocks of DINO and MAE: every layer has a bias, and norms have an epsilon of 1e-6.

    Args: dim: channels.
    """
    norm: Any = partial(nn.LayerNorm, eps=1e-6)  # timm's type asks for a class; any callable works
    return nn.ModuleList(
        Block(dim, num_heads, qkv_bias=True, norm_layer=norm) for _ in range(depth)
    )
