"""Transformers after DINO: the blocks of timm's models behind the surface of our `VisionTransformer`.

Shapes: B images, T = P + N tokens, of which P come first (CLS, then registers), N = h * w patches in row-major order,
C channels.
"""

from collections.abc import Callable

import timm
import torch
import torch.nn.functional as F
from timm.layers import apply_rot_embed_cat
from torch import Tensor, nn

from boxrefine_d2.errors import UserError
from boxrefine_d2.structures import FeatureMap

from .attention import FasterAttention
from .map_network import LastBlock, MapNetwork, Sizes
from .vit import QKV_ORDER, PatchEmbed, VisionTransformer, patch_grid

# (1, C, g, g) and the grid (h, w) to (1, C, h, w)
TableResize = Callable[[Tensor, tuple[int, int]], Tensor]


def resize_by_scale(table: Tensor, grid_size: tuple[int, int]) -> Tensor:
    """DINO's and DINOv2's: bicubic, without antialiasing, by the scales (h + 0.1) / g, which set the samples too."""
    sides = zip(grid_size, table.shape[2:], strict=True)
    scale = tuple((cells + 0.1) / side for cells, side in sides)
    return F.interpolate(table, scale_factor=scale, mode="bicubic")


def resize_to_size(table: Tensor, grid_size: tuple[int, int]) -> Tensor:
    """DINOv2's with registers: bicubic, antialiased, to the size itself."""
    return F.interpolate(table, size=grid_size, mode="bicubic", antialias=True)


class TimmTransformer(MapNetwork):
    """A map network of timm's blocks; CLS and registers are never inside its map.

    Parameter names are those of DINOv2's official files. timm's register variants fold the position of CLS into the
    token, and timm resizes every table antialiased; here both are kept as in the official code. With the same
    weights, all facets equal those of the official DINOv2 and DINOv3 code up to rounding.

    In a network that rotates instead of adding a table, keys and queries are taken as the qkv layer gives them: they
    are rotated inside the attention only.

    Args:
        model: timm's name of the network; its blocks, norm and rotation are used.
        resize: how the table of positions is resized; None for a network that rotates.
    """

    facets = VisionTransformer.facets
    holds = VisionTransformer.holds
    has_tokens = True
    first_learner = VisionTransformer.first_learner
    read = VisionTransformer.read
    key_map = VisionTransformer.key_map

    def __init__(self, model: str, *, resize: TableResize | None):
        super().__init__()
        parts = _timm_model(model)
        dim, registers = parts.embed_dim, parts.num_prefix_tokens - 1
        self.stride = parts.patch_embed.patch_size[0]
        self.prefix_tokens = parts.num_prefix_tokens
        self.patch_embed = PatchEmbed(self.stride, dim)
        self.cls_token = _token(1, dim)
        self.register_tokens = _token(registers, dim) if registers else None
        self.blocks, self.norm = nn.ModuleList(parts.blocks), parts.norm
        self.resize = resize
        if resize is None:
            self.pos_embed, self.rope = None, parts.rope
            # the official files hold the periods, rounded: a part of the weights
            self.rope.register_buffer("periods", self.rope.periods)
            for block in self.blocks:  # the bias in one piece, as in the official files
                block.attn.qkv.bias = nn.Parameter(torch.zeros(3 * dim))
        else:
            self.pos_embed, self.rope = _token(1 + parts.patch_embed.num_patches, dim), None

    def position_embedding(self, grid_size: tuple[int, int]) -> Tensor:
        """(1, 1 + N, C) for CLS and a grid of (h, w). Only of a network with a table."""
        side = round((self.pos_embed.shape[1] - 1) ** 0.5)
        if grid_size == (side, side):
            return self.pos_embed
        table = self.pos_embed[:, 1:].float().transpose(1, 2).unflatten(2, (side, side))
        resized = self.resize(table, grid_size).flatten(2).transpose(1, 2)
        return torch.cat([self.pos_embed[:, :1], resized.to(self.pos_embed.dtype)], dim=1)

    def _embed(self, images: Tensor) -> tuple[Tensor, Tensor | None, tuple[int, int]]:
        """All tokens (B, T, C) before the first block, the rotation if there is one, and the grid."""
        grid_size = patch_grid(images, self.stride)
        patches = self.patch_embed(images.to(self.cls_token.dtype))
        tokens = torch.cat([self.cls_token.expand(len(images), -1, -1), patches], dim=1)
        if self.pos_embed is not None:
            tokens = tokens + self.position_embedding(grid_size)
        if self.register_tokens is not None:
            registers = self.register_tokens.expand(len(images), -1, -1)
            tokens = torch.cat([tokens[:, :1], registers, tokens[:, 1:]], dim=1)
        rotation = None if self.rope is None else self.rope.get_embed(grid_size)
        return tokens, rotation, grid_size

    def _before_last_block(self, images: Tensor) -> tuple[Tensor, Tensor | None, tuple[int, int]]:
        tokens, rotation, grid_size = self._embed(images)
        with FasterAttention():
            for block in self.blocks[:-1]:
                tokens = _run(block, tokens, rotation)
        return tokens, rotation, grid_size

    def forward(
        self,
        images: Tensor,
        facet: str | None = None,
        image_sizes: Sizes | None = None,
    ) -> FeatureMap:
        """One facet of the last block as a map; nothing behind that facet's layer is computed.

        Args:
            images: (B, 3, H, W), normalised; H and W are multiples of the patch.
            facet: "key", "query", "value", "kqv" (3C channels in that order), "output" (patches after the last norm) or
                "attention" (of CLS to the patches, one channel a head; what goes to CLS and registers is left out).
            image_sizes: (H, W) of each image before padding; the padded size when not given.
        Returns: FeatureMap with float32 data, stride = patch size.
        Raises: ValueError for an unknown facet or a size that is no multiple of the patch.
        """
        facet = facet or self.facets[0]
        if facet not in self.facets:
            raise ValueError(f"unknown facet {facet!r}; known: {', '.join(self.facets)}")
        tokens, rotation, grid_size = self._before_last_block(images)
        block, first = self.blocks[-1], self.prefix_tokens
        if facet == "output":
            patches = self.norm(_run(block, tokens, rotation))[:, first:]
        elif facet == "attention":
            patches = self._cls_attention(tokens, rotation)[:, first:]
        else:
            qkv = block.attn.qkv(block.norm1(tokens[:, first:])).chunk(3, dim=2)
            patches = torch.cat([qkv[part] for part in QKV_ORDER[facet]], dim=2)
        sizes = image_sizes or [tuple(images.shape[-2:])] * len(images)
        return FeatureMap.from_tokens(patches.float(), grid_size, self.stride, sizes, facet)

    def _cls_attention(self, tokens: Tensor, rotation: Tensor | None) -> Tensor:
        """(B, T, heads) of the last block; sums to 1 over the tokens."""
        block, first = self.blocks[-1], self.prefix_tokens
        qkv = block.attn.qkv(block.norm1(tokens)).unflatten(2, (3, block.attn.num_heads, -1))
        query, key, _ = qkv.permute(2, 0, 3, 1, 4)  # (B, heads, T, channels of a head)
        if rotation is not None:
            turned = apply_rot_embed_cat(key[:, :, first:], rotation, half=block.attn.rotate_half)
            key = torch.cat([key[:, :, :first], turned.to(key.dtype)], dim=2)
        scores = (query[:, :, :1] * key).sum(dim=3).float() * key.shape[3] ** -0.5
        return scores.softmax(dim=2).transpose(1, 2)

    def forward_last_block(self, images: Tensor) -> LastBlock:
        """q, k, v of CLS and patches (registers are left out) and the CLS output from one forward."""
        tokens, rotation, grid_size = self._before_last_block(images)
        block = self.blocks[-1]
        kept = torch.cat([tokens[:, :1], tokens[:, self.prefix_tokens :]], dim=1)
        qkv = block.attn.qkv(block.norm1(kept)).unflatten(2, (3, -1)).transpose(1, 2)
        return LastBlock(qkv, self.norm(_run(block, tokens, rotation)[:, 0]), grid_size)


def _timm_model(name: str) -> nn.Module:
    if not timm.is_model(name):
        raise UserError(
            f"timm {timm.__version__} has no {name}: python -m pip install --upgrade timm"
        )
    return timm.create_model(name, num_classes=0, dynamic_img_size=True)


def _token(count: int, dim: int) -> nn.Parameter:
    return nn.Parameter(nn.init.trunc_normal_(torch.empty(1, count, dim), std=0.02))


def _run(block: nn.Module, tokens: Tensor, rotation: Tensor | None) -> Tensor:
    return block(tokens) if rotation is None else block(tokens, rope=rotation)
