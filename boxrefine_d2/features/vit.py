"""Vision transformer of DINO (arXiv:2104.14294): timm's blocks, the official position interpolation.

Shapes: B images, T = 1 + N tokens (CLS first), N = h * w patches in row-major order, C channels.
"""

from functools import partial

import torch
import torch.nn.functional as F
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from boxrefine_d2.structures import FeatureMap

from .attention import FasterAttention
from .map_network import LastBlock, MapNetwork, Reading, Sizes

TABLE_SIDE_PIXELS = 224  # every official position table was trained at 224 x 224

QKV_ORDER = {"query": (0,), "key": (1,), "value": (2,), "kqv": (1, 0, 2)}


class PatchEmbed(nn.Module):
    """Non-overlapping patches through one convolution, as tokens (B, N, C)."""

    def __init__(self, patch_size: int, dim: int):
        super().__init__()
        self.proj = nn.Conv2d(3, dim, kernel_size=patch_size, stride=patch_size)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, N, C)."""
        return self.proj(images).flatten(2).transpose(1, 2)


def patch_grid(images: Tensor, stride: int) -> tuple[int, int]:
    """(h, w) of images (B, 3, H, W) in patches. Raises: ValueError if they are no whole number of them."""
    height, width = images.shape[-2:]
    if height % stride or width % stride or not height or not width:
        raise ValueError(
            f"an input of {height} x {width} is not a multiple of the patch, {stride} pixels"
        )
    return height // stride, width // stride


class VisionTransformer(MapNetwork):
    """DINO's ViT; parameter names are those of the official files, so they load as they are."""

    facets = ("key", "query", "value", "kqv", "output", "attention")
    holds = ("cls", "keys")
    has_tokens = True

    def __init__(self, *, patch_size: int, dim: int, depth: int, num_heads: int):
        super().__init__()
        self.stride = patch_size
        self.num_heads = num_heads
        side = TABLE_SIDE_PIXELS // patch_size
        self.patch_embed = PatchEmbed(patch_size, dim)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + side * side, dim))
        self.blocks = nn.ModuleList(
            Block(dim, num_heads, qkv_bias=True, norm_layer=partial(nn.LayerNorm, eps=1e-6))
            for _ in range(depth)
        )
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

    def position_embedding(self, grid_size: tuple[int, int]) -> Tensor:
        """(1, T, C) for a grid of (h, w), exactly as the official DINO resizes its table.

        The scale (h + 0.1) / g is handed to bicubic interpolation as it is and so also sets the sampling grid;
        giving the target size, as timm does, shifts the samples and changes the features by some per cent.
        """
        side = TABLE_SIDE_PIXELS // self.stride
        if grid_size == (side, side):
            return self.pos_embed
        table = self.pos_embed[:, 1:].float().transpose(1, 2).unflatten(2, (side, side))
        scale = tuple((cells + 0.1) / side for cells in grid_size)
        resized = (
            F.interpolate(table, scale_factor=scale, mode="bicubic").flatten(2).transpose(1, 2)
        )
        return torch.cat([self.pos_embed[:, :1], resized.to(self.pos_embed.dtype)], dim=1)

    def _embed(
        self, images: Tensor, masked: Tensor | None = None, mask_token: Tensor | None = None
    ) -> tuple[Tensor, tuple[int, int]]:
        grid_size = patch_grid(images, self.stride)
        patches = self.patch_embed(images.to(self.cls_token.dtype))
        if masked is not None and mask_token is not None:
            patches = torch.where(masked[..., None], mask_token.to(patches.dtype), patches)
        tokens = torch.cat([self.cls_token.expand(len(images), -1, -1), patches], dim=1)
        return tokens + self.position_embedding(grid_size), grid_size

    def forward_tokens(
        self, images: Tensor, masked: Tensor | None = None, mask_token: Tensor | None = None
    ) -> Tensor:
        """All tokens after the final norm, for pre-training.

        Args:
            images: (B, 3, H, W), normalised.
            masked: (B, N) bool, patches that `mask_token` (C,) takes the place of (iBOT, arXiv:2111.07832).
        Returns: (B, T, C).
        """
        tokens, _ = self._embed(images, masked, mask_token)
        for block in self.blocks:
            tokens = block(tokens)
        return self.norm(tokens)

    def tokens_after(self, images: Tensor, block: int) -> tuple[Tensor, tuple[int, int]]:
        """All tokens (B, T, C) as a block leaves them, without a norm, and the grid (h, w).

        Args: images: (B, 3, H, W), normalised.  block: counted from the end, -1 is the last, -2 the one before it.
        """
        tokens, grid_size = self._embed(images)
        with FasterAttention():
            for layer in self.blocks[: len(self.blocks) + block + 1]:
                tokens = layer(tokens)
        return tokens, grid_size

    def _last_attention_input(self, images: Tensor) -> tuple[Tensor, Tensor, tuple[int, int]]:
        """Tokens before the last block, the same after its first norm, and the grid."""
        tokens, grid_size = self.tokens_after(images, -2)
        return tokens, self.blocks[-1].norm1(tokens), grid_size

    def forward(
        self,
        images: Tensor,
        facet: str | None = None,
        image_sizes: Sizes | None = None,
    ) -> FeatureMap:
        """One facet of the last block as a map; nothing behind that facet is computed.

        Args:
            images: (B, 3, H, W), normalised; H and W are multiples of the patch.
            facet: "key", "query", "value", "kqv" (3C channels in that order), "output" (patches after the last norm) or
                "attention" (of CLS to the patches, one channel a head; the share that goes to CLS itself is left out).
            image_sizes: (H, W) of each image before padding; the padded size when not given.
        Returns: FeatureMap with float32 data, stride = patch size.
        Raises: ValueError for an unknown facet or a size that is no multiple of the patch.
        """
        facet = facet or self.facets[0]
        if facet not in self.facets:
            raise ValueError(f"unknown facet {facet!r}; known: {', '.join(self.facets)}")
        tokens, normed, grid_size = self._last_attention_input(images)
        if facet == "output":
            patches = self.norm(self.blocks[-1](tokens))[:, 1:]
        elif facet == "attention":
            patches = self._cls_attention(normed)[:, 1:]
        else:
            patches = torch.cat(
                [self._project(normed[:, 1:], part) for part in QKV_ORDER[facet]], dim=2
            )
        sizes = image_sizes or [tuple(images.shape[-2:])] * len(images)
        return FeatureMap.from_tokens(patches.float(), grid_size, self.stride, sizes, facet)

    def _cls_attention(self, normed: Tensor) -> Tensor:
        """(B, T, heads) of the last block; sums to 1 over the tokens."""
        query = self._project(normed[:, :1], 0).unflatten(2, (self.num_heads, -1))
        key = self._project(normed, 1).unflatten(2, (self.num_heads, -1))
        scores = (query * key).sum(dim=3).float() * key.shape[3] ** -0.5
        return scores.softmax(dim=1)

    def _project(self, normed: Tensor, part: int) -> Tensor:
        """One of q, k, v: a slice of the qkv layer's rows (spec of DINO: axis order q, k, v)."""
        qkv = self.blocks[-1].attn.qkv
        rows = slice(part * normed.shape[2], (part + 1) * normed.shape[2])
        return F.linear(normed, qkv.weight[rows], qkv.bias[rows])

    def forward_last_block(self, images: Tensor) -> LastBlock:
        """q, k, v of all tokens and the CLS output from one forward.

        The CLS output needs the last block's attention and MLP for one query only; the other tokens' are left out.
        """
        tokens, normed, grid_size = self._last_attention_input(images)
        block = self.blocks[-1]
        qkv = block.attn.qkv(normed).unflatten(2, (3, -1)).transpose(1, 2)
        query, key, value = (
            part.unflatten(2, (self.num_heads, -1)).transpose(1, 2) for part in qkv.unbind(1)
        )
        attended = F.scaled_dot_product_attention(query[:, :, :1], key, value)
        cls = tokens[:, :1] + block.attn.proj(attended.transpose(1, 2).flatten(2))
        cls = cls + block.mlp(block.norm2(cls))
        return LastBlock(qkv, self.norm(cls)[:, 0], grid_size)

    @property
    def first_learner(self) -> nn.Module:
        """The first block."""
        return self.blocks[0]

    def read(self, shared: Tensor) -> Reading:
        """Return the keys and the tokens of the last block."""
        last = self.forward_last_block(shared)
        return Reading(self.key_map(last), last)

    def key_map(self, last: LastBlock, image_sizes: Sizes | None = None) -> FeatureMap:
        """The key facet held in `last`, as a map."""
        h, w = last.grid_size
        sizes = image_sizes or [(h * self.stride, w * self.stride)] * len(last.qkv)
        return FeatureMap.from_tokens(
            last.qkv[:, 1, 1:].float(), last.grid_size, self.stride, sizes, "key"
        )
