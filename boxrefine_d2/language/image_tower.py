"""CLIP's image tower, walked layer by layer.

The layers and their weights are those of `transformers`; the walk is ours, because its attentions are needed
(`relevance`), because of the last layer only CLS is read, and because on a CPU plain products are faster than a
convolution over patches, and at a few hundred of them than the fused attention, above all in bf16.

Shapes: B images, N patches, h heads, D channels; CLS is row 0 of 1 + N.
"""

from copy import deepcopy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import CLIPModel
from transformers.models.clip.modeling_clip import CLIPEncoderLayer


def layers_of(model: CLIPModel) -> list[CLIPEncoderLayer]:
    """Return the layers of the image tower, the first one first."""
    layers: Any = model.vision_model.encoder.layers  # by its type, of any modules
    return list(layers)


def embedded(model: CLIPModel, images: Tensor) -> Tensor:
    """(B, 1 + N, D), what the first layer reads, of (B, 3, side, side)."""
    of, side = model.vision_model.embeddings, model.vision_model.embeddings.patch_size
    weight = of.patch_embedding.weight
    tiles = images.to(weight.dtype).unflatten(3, (-1, side)).unflatten(2, (-1, side))
    # (B, rows, columns, 3, side, side): a patch each
    patches = F.linear(tiles.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2), weight.flatten(1))
    cls = of.class_embedding.to(patches.dtype).expand(len(images), 1, -1)
    hidden = torch.cat([cls, patches], dim=1) + of.position_embedding.weight
    normed: Tensor = model.vision_model.pre_layrnorm(hidden)
    return normed


def attend(layer: CLIPEncoderLayer, hidden: Tensor, *, cls_only: bool) -> tuple[Tensor, Tensor]:
    """What a layer makes of (B, 1 + N, D), and its attention (B, h, R, 1 + N): of all rows, or of that of CLS (R = 1)."""
    of = layer.self_attn
    normed = layer.layer_norm1(hidden)
    asking = normed[:, :1] if cls_only else normed

    def heads(projected: Tensor) -> Tensor:
        split: Tensor = projected.unflatten(2, (of.num_heads, of.head_dim))
        return split.transpose(1, 2)

    scaled = of.q_proj(asking) * of.scale
    attention = (heads(scaled) @ heads(of.k_proj(normed)).transpose(2, 3)).softmax(dim=3)
    mixed = (attention @ heads(of.v_proj(normed))).transpose(1, 2).flatten(2)
    hidden = (hidden[:, :1] if cls_only else hidden) + of.out_proj(mixed)
    return hidden + layer.mlp(layer.layer_norm2(hidden)), attention


def projected(model: CLIPModel, cls: Tensor) -> Tensor:
    """(B, dimensions of the common space) of length 1, of the last layer's CLS (B, D)."""
    pooled = model.vision_model.post_layernorm(cls)
    return F.normalize(model.visual_projection(pooled), dim=1)


def encoded(model: CLIPModel, images: Tensor) -> Tensor:
    """All of the tower: (B, dimensions of the common space) of length 1, of (B, 3, side, side)."""
    *layers, last = layers_of(model)
    hidden = embedded(model, images)
    for layer in layers:
        hidden, _ = attend(layer, hidden, cls_only=False)
    hidden, _ = attend(last, hidden, cls_only=True)
    return projected(model, hidden[:, 0])


def in_precision(model: CLIPModel, dtype: torch.dtype) -> CLIPModel:
    """The same CLIP with an image tower in `dtype`: itself where it is so already, else a copy that shares the text tower."""
    if model.visual_projection.weight.dtype == dtype:
        return model
    copy = deepcopy(model, {id(model.text_model): model.text_model})
    copy.vision_model.to(dtype)
    copy.visual_projection.to(dtype)
    return copy
