"""The parts of timm's transformers that are read here. timm types its own as `nn.Module`, whose attributes could be anything."""

from collections.abc import Sequence
from functools import partial
from typing import Any, Protocol, cast

from timm.models.vision_transformer import Block
from torch import Tensor, nn


class AttentionParts(Protocol):
    """An attention. `rotate_half` is there in networks that rotate."""

    qkv: nn.Linear
    proj: nn.Linear
    num_heads: int
    rotate_half: bool


class MlpParts(Protocol):
    """An MLP."""

    fc1: nn.Linear
    fc2: nn.Linear

    def __call__(self, tokens: Tensor) -> Tensor:
        """(B, T, C) to (B, T, C)."""


class BlockParts(Protocol):
    """A block. `ls1` and `ls2` are there in networks that do not rotate."""

    norm1: nn.LayerNorm
    attn: AttentionParts
    ls1: nn.Module
    norm2: nn.LayerNorm
    mlp: MlpParts
    ls2: nn.Module


class RotationParts(Protocol):
    """A rotation by the place on the grid."""

    periods: Tensor

    def get_embed(self, grid_size: tuple[int, int]) -> Tensor:
        """Return the sines and cosines of a grid of (h, w)."""

    def register_buffer(self, name: str, tensor: Tensor) -> None:
        """See `nn.Module`."""


class PatchParts(Protocol):
    """A patch embedding: (rows, columns) of a patch in pixels, and the number of patches."""

    patch_size: tuple[int, int]
    num_patches: int


class NetworkParts(Protocol):
    """A transformer. `rope` is there in networks that rotate."""

    patch_embed: PatchParts
    embed_dim: int
    num_prefix_tokens: int
    blocks: Sequence[nn.Module]
    norm: nn.LayerNorm
    rope: RotationParts


def block_parts(block: nn.Module) -> BlockParts:
    """Return the block itself, with the types of its parts."""
    return cast(BlockParts, block)


def plain_blocks(depth: int, dim: int, num_heads: int) -> nn.ModuleList:
    """Return the blocks of DINO and MAE: biases everywhere, norms with 1e-6.

    Args: dim: channels.
    """
    norm: Any = partial(nn.LayerNorm, eps=1e-6)  # timm announces a class and takes any callable
    return nn.ModuleList(
        Block(dim, num_heads, qkv_bias=True, norm_layer=norm) for _ in range(depth)
    )
