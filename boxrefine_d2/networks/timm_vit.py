"""DINOv2 with and without registers, and DINOv3, built from timm's parts."""

from typing import cast

import timm
import torch
from torch import nn

from boxrefine_d2.errors import UserError

from .timm_parts import NetworkParts, block_parts
from .vit import TableResize, VisionTransformer


class TimmTransformer(VisionTransformer):
    """Transformer built from timm's parts, with the parameter names of DINOv2's official files.

    timm's variants with registers add the position of CLS to the token, and timm resizes every
    table with antialiasing. This class follows the official code in both points. With the same
    weights, all facets equal those of the official DINOv2 and DINOv3 code up to rounding.
    """

    def __init__(self, model: str, *, resize: TableResize | None):
        """Build the network.

        Args:
            model: timm's name of the network; its blocks, norm and rotation are used.
            resize: function that resizes the table of positions; None for a network that rotates.
        """
        parts = _timm_model(model)
        super().__init__(
            patch_size=parts.patch_embed.patch_size[0],
            dim=parts.embed_dim,
            num_heads=block_parts(parts.blocks[0]).attn.num_heads,
            registers=parts.num_prefix_tokens - 1,
            table_cells=parts.patch_embed.num_patches if resize else 0,
            **({"resize": resize} if resize else {}),
        )
        for token in (self.cls_token, self.register_tokens, self.pos_embed):
            if token is not None:
                nn.init.trunc_normal_(token, std=0.02)
        self.blocks, self.norm = nn.ModuleList(parts.blocks), parts.norm
        if resize is None:
            self.rope = parts.rope
            # The official files hold the rounded periods; they are a part of the weights.
            parts.rope.register_buffer("periods", parts.rope.periods)
            for block in self.blocks:  # one bias for q, k and v, as in the official files
                block_parts(block).attn.qkv.bias = nn.Parameter(torch.zeros(3 * parts.embed_dim))


def _timm_model(name: str) -> NetworkParts:
    if not timm.is_model(name):
        raise UserError(
            f"timm {timm.__version__} has no {name}: python -m pip install --upgrade timm"
        )
    model = timm.create_model(name, num_classes=0, dynamic_img_size=True)
    return cast(NetworkParts, model)
