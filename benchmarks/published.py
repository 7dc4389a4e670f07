"""Baselines: LOST and the refine step as they were published, written from their description.

LOST reads one image at a time. The network computes in float32, forms every attention map and runs
the last block completely. The baselines share only the weights with the package, and the refine
step also the criterion.

Shapes: B images, T = 1 + N tokens (CLS first), N = h * w patches in row-major order, C channels.
"""

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor, nn

from boxrefine_d2.networks.vit import VisionTransformer
from boxrefine_d2.structures import normalise


def run_transformer(net: VisionTransformer, images: Tensor) -> tuple[Tensor, Tensor]:
    """Run every block, with attention as softmax(q k^T) v, and the final norm.

    Args: images: (B, 3, H, W), normalised.
    Returns: output of the last block's qkv layer, (B, T, 3C); the normed tokens, (B, T, C).
    """
    grid_size = (images.shape[2] // net.stride, images.shape[3] // net.stride)
    cls = net.cls_token.expand(len(images), -1, -1)
    tokens = torch.cat([cls, net.patch_embed(images)], dim=1) + net.position_embedding(grid_size)
    for block in net.blocks:
        qkv = block.attn.qkv(block.norm1(tokens))
        tokens = tokens + block.attn.proj(_attend(qkv, net.num_heads))
        tokens = tokens + block.mlp(block.norm2(tokens))
    return qkv, net.norm(tokens)


def _attend(qkv: Tensor, num_heads: int) -> Tensor:
    images, count, _ = qkv.shape
    query, key, value = qkv.reshape(images, count, 3, num_heads, -1).permute(2, 0, 3, 1, 4)
    attention = (query @ key.transpose(2, 3)) * query.shape[3] ** -0.5
    attention = attention.softmax(dim=3)
    return (attention @ value).transpose(1, 2).reshape(images, count, -1)


def keys_of(qkv: Tensor) -> Tensor:
    """Return the patches' keys (B, N, C) from the qkv layer's output (B, T, 3C)."""
    return qkv.chunk(3, dim=2)[1][:, 1:]


def lost_box(
    keys: Tensor, grid_size: tuple[int, int], stride: int, size: tuple[int, int], *, stable: bool
) -> Tensor:
    """Return LOST's box of one image (arXiv:2109.14279), (4,) XYXY in input pixels.

    The seed expansion looks at 100 patches.

    Args:
        keys: (N, C).
        grid_size: (h, w).
        stride: input pixels per cell.
        size: (H, W) before padding.
        stable: patches of equal degree keep their order; the published sort leaves it open.
    """
    similarity = keys @ keys.T
    graph = similarity.clone().fill_diagonal_(0) > 0
    order = graph.sum(dim=1).argsort(stable=stable)
    seed, candidates = order[0], order[:100]
    similar = candidates[similarity[seed, candidates] > 0]
    foreground = similarity[similar].sum(dim=0) > 0
    component_ids, _ = ndimage.label(foreground.reshape(grid_size).cpu().numpy())
    row, column = divmod(int(seed), grid_size[1])
    return box_of_cells(component_ids == component_ids[row, column], stride, size)


def box_of_cells(mask: np.ndarray, stride: int, size: tuple[int, int]) -> Tensor:
    """Return the box around a mask's cells (h, w), cut at the image's size (H, W).

    Returns: (4,) XYXY in input pixels.
    """
    rows, columns = mask.nonzero()
    return torch.tensor(
        [
            stride * columns.min(),
            stride * rows.min(),
            min(stride * (columns.max() + 1), size[1]),
            min(stride * (rows.max() + 1), size[0]),
        ],
        dtype=torch.float32,
    )


def refine_losses(
    net: VisionTransformer, reference: VisionTransformer, detector: nn.Module, images: Tensor
) -> dict[str, Tensor]:
    """Return the losses of one refine step, from three forward passes.

    The first runs g for the keys and the maps, the second runs g for the CLS token, and the third
    runs the frozen copy for its CLS token.

    Args:
        net: g.
        reference: the frozen copy of g.
        detector: h, a `MapDetector`.
        images: (B, 3, S, S), normalised.
    """
    qkv, _ = run_transformer(net, images)
    height, width = images.shape[2:]
    grid_size = (height // net.stride, width // net.stride)
    boxes = [
        lost_box(keys, grid_size, net.stride, (height, width), stable=True)
        for keys in keys_of(qkv.detach())
    ]
    targets = [normalise(box[None], (height, width)).to(images.device) for box in boxes]
    maps = qkv.unflatten(2, (3, -1)).transpose(1, 2)[:, :, 1:]
    raw = detector.trunk(maps).unflatten(1, (detector.num_boxes, -1))
    outputs = {"pred_boxes": raw[..., :4].sigmoid(), "pred_logits": raw[..., 4:]}
    losses = detector.criterion(outputs, targets)
    _, tokens = run_transformer(net, images)
    with torch.no_grad():
        _, reference_tokens = run_transformer(reference, images)
    distance = (tokens[:, 0] - reference_tokens[:, 0]).square().sum(dim=1).mean()
    return losses | {"loss_preservation": distance}


def pair_loss(keys: Tensor, regions: Tensor, scale: float, background_weight: float) -> Tensor:
    """Return the pair loss of regions and background, from lists of the pairs of each image.

    Two regions of an image are left alone. A mean is taken over the pairs of a kind in an image,
    and over the images that have such pairs.

    Args:
        keys: (B, N, C).
        regions: (B, N): 0 for the background, 1 and more for regions, -1 for unknown cells.
        scale: logit per unit of cosine similarity.
        background_weight: weight of pairs within the background.
    """
    apart, together, background = [], [], []
    for image_keys, image_regions in zip(keys, regions, strict=True):
        unit = image_keys / image_keys.norm(dim=1, keepdim=True)
        inside = [unit[image_regions == i] for i in image_regions.unique() if i > 0]
        outside = unit[image_regions == 0]
        for lists, pairs in (
            (apart, [(one @ outside.T).flatten() for one in inside]),
            (together, [-(one @ one.T).flatten() for one in inside]),
            (background, [-(outside @ outside.T).flatten()]),
        ):
            cosines = torch.cat(pairs) if pairs else unit.new_empty(0)
            if len(cosines):
                lists.append((1 + (scale * cosines).exp()).log().mean())
    parts = [torch.stack(lists).mean() for lists in (apart, together, background)]
    return parts[0] + parts[1] + background_weight * parts[2]
