"""Masked autoencoder (arXiv:2111.06377) that inpaints hidden patches.

Patches may be hidden in part, as MOVE (arXiv:2210.07920) needs it.

Shapes: B images, N = h * w patches in row-major order, C channels of the encoder, D channels of
the decoder, P pixels per side of a patch.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from boxrefine_d2.errors import UserError, check_choice
from boxrefine_d2.networks.build_network import build_network
from boxrefine_d2.networks.timm_parts import plain_blocks
from boxrefine_d2.networks.vit import PatchEmbed
from boxrefine_d2.networks.weights import SourcedNetwork, fetch

MAE_HOST = "https://dl.fbaipublicfiles.com/mae/visualize/"


class Inpainter(SourcedNetwork):
    """Encoder and decoder of a masked autoencoder for squares of one size.

    Parameter names are those of the official files. Inputs and outputs are in ImageNet's
    normalisation.
    """

    pos_embed: Tensor
    decoder_pos_embed: Tensor

    def __init__(
        self,
        *,
        image_size: int,
        patch_size: int,
        dim: int,
        depth: int,
        num_heads: int,
        decoder_dim: int,
        decoder_depth: int,
        decoder_heads: int,
    ):
        super().__init__()
        self.image_size, self.patch_size = image_size, patch_size
        self.side = image_size // patch_size
        self.patch_embed = PatchEmbed(patch_size, dim)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.register_buffer("pos_embed", sinusoids(self.side, dim))
        self.blocks = plain_blocks(depth, dim, num_heads)
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.decoder_embed = nn.Linear(dim, decoder_dim)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, decoder_dim))
        self.register_buffer("decoder_pos_embed", sinusoids(self.side, decoder_dim))
        self.decoder_blocks = plain_blocks(decoder_depth, decoder_dim, decoder_heads)
        self.decoder_norm = nn.LayerNorm(decoder_dim, eps=1e-6)
        self.decoder_pred = nn.Linear(decoder_dim, patch_size**2 * 3)
        self._initialise()

    def _initialise(self) -> None:
        nn.init.normal_(self.cls_token, std=0.02)
        nn.init.normal_(self.mask_token, std=0.02)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)

    def encode(self, images: Tensor, visible: Tensor | None = None) -> Tensor:
        """Return the tokens after the encoder's norm, CLS first.

        Args:
            images: (B, 3, S, S).
            visible: (B, M) int64, indices of the patches that are read; None for all.
        Returns: (B, 1 + M, C).
        Raises: ValueError for images of another size.
        """
        size = (self.image_size, self.image_size)
        if tuple(images.shape[-2:]) != size:
            raise ValueError(f"the inpainter reads {size} pixels, not {tuple(images.shape[-2:])}")
        patches = self.patch_embed(images) + self.pos_embed[:, 1:]
        if visible is not None:
            patches = patches.gather(1, visible[..., None].expand(-1, -1, patches.shape[2]))
        cls = (self.cls_token + self.pos_embed[:, :1]).expand(len(images), -1, -1)
        tokens = torch.cat([cls, patches], dim=1)
        for block in self.blocks:
            tokens = block(tokens)
        normed: Tensor = self.norm(tokens)
        return normed

    def decode(self, embedded: Tensor, kept: Tensor | None = None) -> Tensor:
        """Return the images that the decoder paints from tokens, some of them hidden.

        Args:
            embedded: (B, 1 + N, D), the result of `decoder_embed` for all tokens.
            kept: (B, N) in [0, 1], the share of each patch's token that is kept; the mask token
                fills the rest. It has a gradient. None keeps all.
        Returns: (B, 3, S, S).
        """
        if kept is not None:
            mixed = torch.lerp(self.mask_token, embedded[:, 1:].float(), kept[..., None])
            embedded = torch.cat([embedded[:, :1], mixed], dim=1)
        tokens = embedded + self.decoder_pos_embed
        for block in self.decoder_blocks:
            tokens = block(tokens)
        pixels = self.decoder_pred(self.decoder_norm(tokens)).float()[:, 1:]
        return self.unpatchify(pixels)

    def forward(self, images: Tensor, kept: Tensor | None = None) -> Tensor:
        """Return images (B, 3, S, S) from `decode`; the encoder reads all patches, as in MOVE."""
        return self.decode(self.decoder_embed(self.encode(images)), kept)

    def paint_hidden(self, images: Tensor, visible: Tensor) -> Tensor:
        """Return images (B, 3, S, S) from the patches `visible` (B, M) alone: the training task."""
        visible_tokens = self.decoder_embed(self.encode(images, visible))
        patches = self.mask_token.expand(len(images), self.side**2, -1)
        place = visible[..., None].expand(-1, -1, visible_tokens.shape[2])
        patches = patches.scatter(1, place, visible_tokens[:, 1:].to(patches.dtype))
        return self.decode(torch.cat([visible_tokens[:, :1], patches], dim=1))

    def unpatchify(self, pixels: Tensor) -> Tensor:
        """Arrange (B, N, P * P * 3), rows, columns, colours, to images (B, 3, S, S)."""
        p = self.patch_size
        tiles = pixels.unflatten(1, (self.side, self.side)).unflatten(3, (p, p, 3))
        images: Tensor = tiles.permute(0, 5, 1, 3, 2, 4).flatten(4).flatten(2, 3)
        return images


def sinusoids(side: int, dim: int) -> Tensor:
    """Return MAE's table, (1, 1 + side * side, dim): sines and cosines of column, then of row.

    CLS has zeros.
    """
    frequencies = 10000 ** -(torch.arange(dim // 4, dtype=torch.float64) / (dim // 4))
    waves = torch.arange(side, dtype=torch.float64)[:, None] * frequencies
    line = torch.cat([waves.sin(), waves.cos()], dim=1).float()
    columns, rows = line.repeat(side, 1), line.repeat_interleave(side, dim=0)
    patches = torch.cat([columns, rows], dim=1)
    return torch.cat([patches.new_zeros(1, dim), patches])[None]


@dataclass(frozen=True)
class InpainterSpec:
    """Constructor of a named inpainter, and the address of its official file, or None."""

    build: Callable[[], Inpainter]
    weights: str | None


INPAINTERS: dict[str, InpainterSpec] = {
    "mae_vitl16": InpainterSpec(
        partial(
            Inpainter,
            image_size=224,
            patch_size=16,
            dim=1024,
            depth=24,
            num_heads=16,
            decoder_dim=512,
            decoder_depth=8,
            decoder_heads=16,
        ),
        f"{MAE_HOST}mae_visualize_vit_large_ganloss.pth",
    ),
    # ours; trained by configs/pretrain/mae_mini.yaml
    "mae_mini": InpainterSpec(
        partial(
            Inpainter,
            image_size=128,
            patch_size=16,
            dim=192,
            depth=4,
            num_heads=3,
            decoder_dim=192,
            decoder_depth=2,
            decoder_heads=3,
        ),
        None,
    ),
}


def build_inpainter(name: str, weights: str = "") -> Inpainter:
    """Return a named inpainter, float32, in eval mode, on the CPU.

    Args: weights: a file with MAE's names, "random[:SEED]", or "" for the official file, from the
        cache or its host.
    Returns: the module; `module.weights_info` names the source of the weights.
    Raises: UserError for an unknown name, or a file that is missing, foreign or cannot be fetched.
    """
    check_choice("inpainter", name, INPAINTERS)
    spec = INPAINTERS[name]

    def own() -> Path:
        if spec.weights is None:
            raise UserError(
                f"the inpainter {name} has no weights that could be fetched: train it with "
                "configs/pretrain/mae_mini.yaml, and give its inpainter.safetensors as "
                "PRETRAIN.INPAINTER.WEIGHTS"
            )
        return fetch(str(spec.weights))

    return build_network(name, weights, spec.build, own=own)
