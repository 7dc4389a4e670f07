"""Vision transformers as map networks: timm's blocks, and the positions of each official family.

Shapes: B images, T = P + N tokens, C channels. The first P tokens are CLS and the registers. The
other N = h * w tokens are the patches in row-major order.
"""

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from timm.layers.pos_embed_sincos import apply_rot_embed_cat
from torch import Tensor, nn

from boxrefine_d2.structures import FeatureMap

from .attention import FasterAttention
from .map_network import LastBlock, MapNetwork, Reading, Sizes
from .timm_parts import RotationParts, block_parts, plain_blocks

TABLE_SIDE_PIXELS = 224  # every official table of DINO was trained with images of 224 x 224 pixels

QKV_ORDER = {"query": (0,), "key": (1,), "value": (2,), "kqv": (1, 0, 2)}

# function from a table (1, C, g, g) and a grid (h, w) to (1, C, h, w)
TableResize = Callable[[Tensor, tuple[int, int]], Tensor]


def resize_by_scale(table: Tensor, grid_size: tuple[int, int]) -> Tensor:
    """Resize a table as DINO and DINOv2 do: bicubic, without antialiasing, by (h + 0.1) / g.

    The scales also set the positions of the samples. timm gives the target size instead of the
    scales, which changes the features by some per cent.
    """
    sides = zip(grid_size, table.shape[2:], strict=True)
    scale = tuple((cells + 0.1) / side for cells, side in sides)
    return F.interpolate(table, scale_factor=scale, mode="bicubic")


def resize_to_size(table: Tensor, grid_size: tuple[int, int]) -> Tensor:
    """Resize a table as DINOv2 with registers does: bicubic, antialiased, to the target size."""
    return F.interpolate(table, size=grid_size, mode="bicubic", antialias=True)


class PatchEmbed(nn.Module):
    """Embedding of non-overlapping patches as tokens (B, N, C), by one convolution."""

    def __init__(self, patch_size: int, dim: int):
        super().__init__()
        self.proj = nn.Conv2d(3, dim, kernel_size=patch_size, stride=patch_size)

    def forward(self, images: Tensor) -> Tensor:
        """Return tokens (B, N, C) for images (B, 3, H, W)."""
        patches: Tensor = self.proj(images)
        return patches.flatten(2).transpose(1, 2)


def patch_grid(images: Tensor, stride: int) -> tuple[int, int]:
    """Return the grid (h, w) of patches for images (B, 3, H, W).

    Raises: ValueError if a side is not a whole number of patches.
    """
    height, width = images.shape[-2:]
    if height % stride or width % stride or not height or not width:
        raise ValueError(
            f"an input of {height} x {width} is not a multiple of the patch, {stride} pixels"
        )
    return height // stride, width // stride


class VisionTransformer(MapNetwork):
    """Transformer of any family; its map never contains CLS or registers.

    A subclass builds `blocks` and `norm`. It builds `rope` if the network rotates keys and queries
    instead of adding a table of positions. The rotation takes place inside the attention only. The
    facets are the output of the qkv layer, before the rotation.

    Attributes: prefix_tokens: P, the number of tokens before the patches.
    """

    facets = ("key", "query", "value", "kqv", "output", "attention")
    holds = ("cls", "keys")
    has_tokens = True
    blocks: nn.ModuleList
    norm: nn.LayerNorm
    rope: RotationParts | None

    def __init__(
        self,
        *,
        patch_size: int,
        dim: int,
        num_heads: int,
        registers: int = 0,
        table_cells: int = 0,
        resize: TableResize = resize_by_scale,
    ):
        """Build all layers except the blocks, the norm and the rotation.

        Args: table_cells: g * g, the cells of the table of positions; 0 for a network that rotates.
        """
        super().__init__()
        self.stride = patch_size
        self.num_heads = num_heads
        self.prefix_tokens = 1 + registers
        self.patch_embed = PatchEmbed(patch_size, dim)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.register_tokens = nn.Parameter(torch.zeros(1, registers, dim)) if registers else None
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + table_cells, dim)) if table_cells else None
        self.resize = resize
        self.rope = None

    @property
    def first_learner(self) -> nn.Module:
        """First block of the transformer."""
        return self.blocks[0]

    def position_embedding(self, grid_size: tuple[int, int]) -> Tensor:
        """Return positions of CLS and a grid (h, w), (1, 1 + N, C), by a network with a table."""
        assert self.pos_embed is not None
        side = round((self.pos_embed.shape[1] - 1) ** 0.5)
        if grid_size == (side, side):
            return self.pos_embed
        table = self.pos_embed[:, 1:].float().transpose(1, 2).unflatten(2, (side, side))
        resized = self.resize(table, grid_size).flatten(2).transpose(1, 2)
        return torch.cat([self.pos_embed[:, :1], resized.to(self.pos_embed.dtype)], dim=1)

    def _embed(
        self, images: Tensor, masked: Tensor | None = None, mask_token: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None, tuple[int, int]]:
        """Return all tokens (B, T, C) before the first block, a rotation or None, and the grid."""
        grid_size = patch_grid(images, self.stride)
        patches = self.patch_embed(images.to(self.cls_token.dtype))
        if masked is not None and mask_token is not None:
            patches = torch.where(masked[..., None], mask_token.to(patches.dtype), patches)
        tokens = torch.cat([self.cls_token.expand(len(images), -1, -1), patches], dim=1)
        if self.pos_embed is not None:
            tokens = tokens + self.position_embedding(grid_size)
        if self.register_tokens is not None:
            registers = self.register_tokens.expand(len(images), -1, -1)
            tokens = torch.cat([tokens[:, :1], registers, tokens[:, 1:]], dim=1)
        rotation = None if self.rope is None else self.rope.get_embed(grid_size)
        return tokens, rotation, grid_size

    def tokens_of_blocks(
        self, images: Tensor, masked: Tensor | None = None, mask_token: Tensor | None = None
    ) -> Iterator[Tensor]:
        """Yield all tokens (B, T, C) after each block, without the final norm.

        Args:
            images: (B, 3, H, W), normalised.
            masked: (B, N) bool; `mask_token` (C,) replaces these patches (iBOT, arXiv:2111.07832).
        """
        tokens, rotation, _ = self._embed(images, masked, mask_token)
        for block in self.blocks:
            tokens = _run(block, tokens, rotation)
            yield tokens

    def forward_tokens(
        self, images: Tensor, masked: Tensor | None = None, mask_token: Tensor | None = None
    ) -> Tensor:
        """Return all tokens (B, T, C) after the final norm. Args: see `tokens_of_blocks`."""
        *_, tokens = self.tokens_of_blocks(images, masked, mask_token)
        normed: Tensor = self.norm(tokens)
        return normed

    def tokens_after(self, images: Tensor, block: int) -> tuple[Tensor, tuple[int, int]]:
        """Return all tokens (B, T, C) after a block, without the final norm, and the grid (h, w).

        Args:
            images: (B, 3, H, W), normalised.
            block: index from the end; -1 is the last block, -2 the one before it.
        """
        tokens, _, grid_size = self._through(images, len(self.blocks) + block + 1)
        return tokens, grid_size

    def _through(
        self, images: Tensor, blocks: int
    ) -> tuple[Tensor, Tensor | None, tuple[int, int]]:
        """Return the tokens after the first `blocks` blocks, the rotation and the grid."""
        tokens, rotation, grid_size = self._embed(images)
        with FasterAttention():
            for layer in self.blocks[:blocks]:
                tokens = _run(layer, tokens, rotation)
        return tokens, rotation, grid_size

    def forward(
        self, images: Tensor, facet: str | None = None, image_sizes: Sizes | None = None
    ) -> FeatureMap:
        """Return one facet of the last block as a map; compute no layer behind that facet.

        Args:
            images: (B, 3, H, W), normalised; H and W are multiples of the patch.
            facet: "key", "query", "value", "kqv" (3C channels in that order), "output" (patches
                after the final norm) or "attention" (attention of CLS to the patches, one channel
                per head; its attention to CLS and registers is dropped).
            image_sizes: (H, W) of each image before padding; the default is the padded size.
        Returns: FeatureMap with float32 data; its stride is the patch size.
        Raises: ValueError for an unknown facet or a size that is not a multiple of the patch.
        """
        facet = facet or self.facets[0]
        if facet not in self.facets:
            raise ValueError(f"unknown facet {facet!r}; known: {', '.join(self.facets)}")
        tokens, rotation, grid_size = self._through(images, len(self.blocks) - 1)
        block, first = block_parts(self.blocks[-1]), self.prefix_tokens
        if facet == "output":
            patches = self.norm(_run(self.blocks[-1], tokens, rotation))[:, first:]
        elif facet == "attention":
            patches = self._cls_attention(block.norm1(tokens), rotation)[:, first:]
        else:
            normed = block.norm1(tokens)[:, first:]
            patches = torch.cat([self._project(normed, part) for part in QKV_ORDER[facet]], dim=2)
        sizes = image_sizes or [(images.shape[-2], images.shape[-1])] * len(images)
        return FeatureMap.from_tokens(patches.float(), grid_size, self.stride, sizes, facet)

    def _cls_attention(self, normed: Tensor, rotation: Tensor | None) -> Tensor:
        """Return the attention of CLS in the last block, (B, T, heads); its sum over T is 1."""
        query = self._project(normed[:, :1], 0).unflatten(2, (self.num_heads, -1))
        key = self._project(normed, 1).unflatten(2, (self.num_heads, -1))
        if rotation is not None:
            first, half = self.prefix_tokens, block_parts(self.blocks[-1]).attn.rotate_half
            turned = apply_rot_embed_cat(key[:, first:].transpose(1, 2), rotation, half=half)
            key = torch.cat([key[:, :first], turned.transpose(1, 2).to(key.dtype)], dim=1)
        scores: Tensor = (query * key).sum(dim=3).float() * key.shape[3] ** -0.5
        return scores.softmax(dim=1)

    def _project(self, normed: Tensor, part: int) -> Tensor:
        """Return q, k or v (`part` 0, 1 or 2), by a slice of the qkv layer's rows.

        DINO's layer holds them in this order.
        """
        qkv = block_parts(self.blocks[-1]).attn.qkv
        rows = slice(part * normed.shape[2], (part + 1) * normed.shape[2])
        return F.linear(normed, qkv.weight[rows], qkv.bias[rows])

    def read(self, shared: Tensor) -> Reading:
        """Return the keys and the tokens of the last block."""
        last = self.forward_last_block(shared)
        return Reading(self.key_map(last), last)

    def forward_last_block(self, images: Tensor) -> LastBlock:
        """Return q, k, v of CLS and the patches, and the CLS output, from one forward pass.

        Registers are left out. In a network that does not rotate, the last block computes its
        attention and MLP for CLS only.
        """
        tokens, rotation, grid_size = self._through(images, len(self.blocks) - 1)
        block = block_parts(self.blocks[-1])
        qkv = block.attn.qkv(block.norm1(tokens)).unflatten(2, (3, -1)).transpose(1, 2)
        if rotation is not None:
            cls = _run(self.blocks[-1], tokens, rotation)[:, :1]
        else:
            query, key, value = (
                part.unflatten(2, (self.num_heads, -1)).transpose(1, 2) for part in qkv.unbind(1)
            )
            attended = F.scaled_dot_product_attention(query[:, :, :1], key, value)
            cls = tokens[:, :1] + block.ls1(block.attn.proj(attended.transpose(1, 2).flatten(2)))
            cls = cls + block.ls2(block.mlp(block.norm2(cls)))
        if self.prefix_tokens > 1:
            qkv = torch.cat([qkv[:, :, :1], qkv[:, :, self.prefix_tokens :]], dim=2)
        return LastBlock(qkv, self.norm(cls)[:, 0], grid_size)

    def key_map(self, last: LastBlock, image_sizes: Sizes | None = None) -> FeatureMap:
        """Return the keys in `last` as a map."""
        h, w = last.grid_size
        sizes = image_sizes or [(h * self.stride, w * self.stride)] * len(last.qkv)
        return FeatureMap.from_tokens(
            last.qkv[:, 1, 1:].float(), last.grid_size, self.stride, sizes, "key"
        )


class DinoTransformer(VisionTransformer):
    """DINO's ViT (arXiv:2104.14294), with the parameter names of the official files."""

    pos_embed: nn.Parameter

    def __init__(self, *, patch_size: int, dim: int, depth: int, num_heads: int):
        side = TABLE_SIDE_PIXELS // patch_size
        super().__init__(
            patch_size=patch_size, dim=dim, num_heads=num_heads, table_cells=side * side
        )
        self.blocks = plain_blocks(depth, dim, num_heads)
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self._initialise()

    def _initialise(self) -> None:
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        nn.init.trunc_normal_(self.cls_token, std=0.02)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)


def _run(block: nn.Module, tokens: Tensor, rotation: Tensor | None) -> Tensor:
    after: Tensor = block(tokens) if rotation is None else block(tokens, rope=rotation)
    return after
