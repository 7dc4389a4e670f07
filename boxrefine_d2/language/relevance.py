"""Relevance of the parts of an image for a phrase, from CLIP's attention and its gradient.

The rule is generic attention-model explainability (arXiv:2103.15679). The code of the
box-refinement paper uses it; the text of the paper cites an older rule.

Shapes: B images, P pairs of an image and a phrase, N patches, h heads, D channels; CLS is row 0 of
1 + N.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from boxrefine_d2.errors import UserError

from .clip import Clip
from .image_tower import attend, embedded, layers_of, projected


def relevance_maps(
    clip: Clip,
    images: Tensor,
    text: Tensor,
    image_of: Sequence[int] | None = None,
    *,
    start_layer: int = -1,
) -> Tensor:
    """Return the relevance of each pixel for each pair, (P, side, side) in [0, 1].

    A constant map becomes 0. Args and Raises: see `relevance_grids`.
    """
    grids = relevance_grids(clip, images, text, image_of, start_layer=start_layer)
    return stretched(grids, clip.side)


def relevance_grids(
    clip: Clip,
    images: Tensor,
    text: Tensor,
    image_of: Sequence[int] | None = None,
    *,
    start_layer: int = -1,
) -> Tensor:
    """Return the relevance of each patch for each pair, (P, h, w), 0 or more.

    A_l is the attention of layer l. G_l is the gradient of the pair's logit by A_l. A'_l is the
    mean over heads of max(0, G_l * A_l), and R = (I + A'_L) ... (I + A'_s). The map is the row of
    CLS in R, without CLS itself. The layers before `start_layer` are computed once per image,
    because all of its phrases share them. The last layer computes only CLS, because no other row
    is read.

    Args:
        images: (B, 3, H, W) RGB in [-1, 1].
        text: (P, D) of length 1 from `Clip.encode_text`.
        image_of: index of the image of each pair; by default pair i is of image i.
        start_layer: s, the first layer that counts. The papers' code uses the last layer alone
            (-1); 0 uses all layers.
    Raises: UserError for a layer that does not exist.
    """
    if image_of is None:
        image_of = range(len(images))
    layers = layers_of(clip.model)
    start = start_layer + len(layers) if start_layer < 0 else start_layer
    if not 0 <= start < len(layers):
        raise UserError(
            f"start layer {start_layer}: the image tower has layers 0 to {len(layers) - 1}"
        )
    with torch.no_grad():
        shared = embedded(clip.model, clip.resized(images))
        for layer in layers[:start]:
            shared, _ = attend(layer, shared, cls_only=False)
    rows = torch.as_tensor(image_of, dtype=torch.int64, device=shared.device)
    with torch.enable_grad():
        hidden, attentions = shared[rows].requires_grad_(), []
        for number in range(start, len(layers)):
            last = number == len(layers) - 1
            hidden, attention = attend(layers[number], hidden, cls_only=last)
            attentions.append(attention)
        vectors = projected(clip.model, hidden[:, 0])
        logits = clip.model.logit_scale.exp() * (vectors * text).sum(dim=1)
        gradients = torch.autograd.grad(logits.sum(), attentions)
    with torch.no_grad():
        relevance = _rollout(attentions, gradients)
        grids: Tensor = relevance.unflatten(1, _grid(clip))
        return grids


def _grid(clip: Clip) -> tuple[int, int]:
    config: Any = clip.model.config.vision_config  # its type allows a dictionary or None
    side: int = config.image_size // config.patch_size
    return side, side


def _rollout(attentions: Sequence[Tensor], gradients: Sequence[Tensor]) -> Tensor:
    """Return the row of CLS in R, (P, N). The last attention has only that row."""
    weights = [
        (attention * gradient).clamp(min=0).mean(dim=1)
        for attention, gradient in zip(attentions, gradients, strict=True)
    ]
    size = weights[-1].shape[2]
    row = torch.zeros(len(weights[-1]), 1, size, device=weights[-1].device)
    row[:, :, 0] = 1
    row = row + weights[-1]  # row of CLS in I + A'_L; the next factors multiply from the right
    for weight in reversed(weights[:-1]):
        row = row + row @ weight
    return row[:, 0, 1:]


def stretched(grids: Tensor, side: int) -> Tensor:
    """Return maps (P, side, side) of grids (P, h, w), each scaled to [0, 1].

    The resizing is bilinear, corners not aligned. A constant map becomes 0.
    """
    size = (side, side)
    maps = F.interpolate(grids[:, None], size=size, mode="bilinear", align_corners=False)[:, 0]
    low, high = maps.amin(dim=(1, 2), keepdim=True), maps.amax(dim=(1, 2), keepdim=True)
    span = high - low
    return torch.where(span > 0, (maps - low) / span.where(span > 0, 1), 0.0)
