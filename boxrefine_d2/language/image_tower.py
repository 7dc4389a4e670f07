"""Forward pass of CLIP's image tower, layer by layer.

The layers and their weights are those of `transformers`. The forward pass is ours for three
reasons. The attentions are needed (`relevance`). Only CLS is read from the last layer. On a CPU,
plain matrix products are faster than a convolution over patches. For a few hundred patches they are
also faster than the fused attention, above all in bf16.

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
    """Return the layers of the image tower, in order."""
    layers: Any = model.vision_model.encoder.layers  # a list of modules, by its type
    return list(layers)


def embedded(model: CLIPModel, images: Tensor) -> Tensor:
    """Return the input of the first layer, (B, 1 + N, D), for images (B, 3, side, side)."""
    embedding, side = model.vision_model.embeddings, model.vision_model.embeddings.patch_size
    weight = embedding.patch_embedding.weight
    tiles = images.to(weight.dtype).unflatten(3, (-1, side)).unflatten(2, (-1, side))
    # (B, rows, columns, 3, side, side): one patch per row and column
    patches = F.linear(tiles.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2), weight.flatten(1))
    cls = embedding.class_embedding.to(patches.dtype).expand(len(images), 1, -1)
    hidden = torch.cat([cls, patches], dim=1) + embedding.position_embedding.weight
    normed: Tensor = model.vision_model.pre_layrnorm(hidden)
    return normed


def attend(layer: CLIPEncoderLayer, hidden: Tensor, *, cls_only: bool) -> tuple[Tensor, Tensor]:
    """Return the output of a layer, (B, R, D), and its attention, (B, h, R, 1 + N).

    Args:
        hidden: (B, 1 + N, D), the output of the layer before.
        cls_only: if true, compute only the row of CLS, R = 1. If false, compute all 1 + N rows.
    """
    module = layer.self_attn
    normed = layer.layer_norm1(hidden)
    rows = normed[:, :1] if cls_only else normed

    def heads(projected: Tensor) -> Tensor:
        split: Tensor = projected.unflatten(2, (module.num_heads, module.head_dim))
        return split.transpose(1, 2)

    scaled = module.q_proj(rows) * module.scale
    attention = (heads(scaled) @ heads(module.k_proj(normed)).transpose(2, 3)).softmax(dim=3)
    mixed = (attention @ heads(module.v_proj(normed))).transpose(1, 2).flatten(2)
    hidden = (hidden[:, :1] if cls_only else hidden) + module.out_proj(mixed)
    return hidden + layer.mlp(layer.layer_norm2(hidden)), attention


def projected(model: CLIPModel, cls: Tensor) -> Tensor:
    """Return vectors of length 1 in the common space, (B, its dimensions).

    Args: cls: (B, D), CLS after the last layer.
    """
    pooled = model.vision_model.post_layernorm(cls)
    return F.normalize(model.visual_projection(pooled), dim=1)


def encoded(model: CLIPModel, images: Tensor) -> Tensor:
    """Return the vectors of images in the common space, (B, its dimensions), of length 1.

    Args: images: (B, 3, side, side).
    """
    *layers, last = layers_of(model)
    hidden = embedded(model, images)
    for layer in layers:
        hidden, _ = attend(layer, hidden, cls_only=False)
    hidden, _ = attend(last, hidden, cls_only=True)
    return projected(model, hidden[:, 0])


def in_precision(model: CLIPModel, dtype: torch.dtype) -> CLIPModel:
    """Return the same CLIP with an image tower in `dtype`.

    It is the model itself if its tower has that number format already. Otherwise it is a copy that
    shares the text tower.
    """
    if model.visual_projection.weight.dtype == dtype:
        return model
    copy = deepcopy(model, {id(model.text_model): model.text_model})
    copy.vision_model.to(dtype)
    copy.visual_projection.to(dtype)
    return copy
