"""Where in a picture CLIP sees what a phrase says: relevance of patches by attention and its gradient (generic
attention-model explainability, arXiv:2103.15679, which the box-refinement paper's code uses; its text cites an older rule).

Shapes: B images, P pairs of an image and a phrase, N patches, h heads, D channels; CLS is row 0 of 1 + N.
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
    """Relevance of each pixel for each pair, (P, side, side) in [0, 1]; a map that is constant is 0.

    Args and Raises: as `relevance_grids`.
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
    """Relevance of each patch for each pair, (P, h, w), 0 or more.

    A_l is the attention of layer l, G_l the gradient by it of the pair's logit, and R = (I + A'_L) ... (I + A'_s) with
    A'_l the mean over heads of max(0, G_l * A_l); the row of CLS, without itself, is the map. What an image's
    phrases share, all layers before `start_layer`, is computed once; of the last layer only CLS is computed at all,
    since no other row is read.

    Args:
        images: (B, 3, H, W) RGB in [-1, 1].
        text: (P, D) of length 1, as `Clip.encode_text` gives them.
        image_of: the image of each pair; default: pair i is of image i.
        start_layer: the first one that counts; the last one alone (-1) in the papers' code, 0 for all.
    Raises: UserError for a layer that there is not.
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
    config: Any = (
        clip.model.config.vision_config
    )  # the library has read it: no dictionary, not None
    side: int = config.image_size // config.patch_size
    return side, side


def _rollout(attentions: Sequence[Tensor], gradients: Sequence[Tensor]) -> Tensor:
    """(P, N): the row of CLS. The last attention has that row alone."""
    weights = [
        (attention * gradient).clamp(min=0).mean(dim=1)
        for attention, gradient in zip(attentions, gradients, strict=True)
    ]
    size = weights[-1].shape[2]
    row = torch.zeros(len(weights[-1]), 1, size, device=weights[-1].device)
    row[:, :, 0] = 1
    row = row + weights[-1]  # CLS of I + A'_L; from there on to the right
    for weight in reversed(weights[:-1]):
        row = row + row @ weight
    return row[:, 0, 1:]


def stretched(grids: Tensor, side: int) -> Tensor:
    """(P, side, side) of (P, h, w): bilinear, corners not aligned, then each from 0 to 1; one that is constant is 0."""
    size = (side, side)
    maps = F.interpolate(grids[:, None], size=size, mode="bilinear", align_corners=False)[:, 0]
    low, high = maps.amin(dim=(1, 2), keepdim=True), maps.amax(dim=(1, 2), keepdim=True)
    span = high - low
    return torch.where(span > 0, (maps - low) / span.where(span > 0, 1), 0.0)
