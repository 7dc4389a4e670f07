"""Composites, on which a network learns which patches come from the same image.

It is ours, a dense task that needs little data, close in spirit to CP2 (arXiv:2203.11709), which
pastes crops on other images. Here regions of other images are pasted on an image, and `PairLoss`
reads the patches by their source. We paste the regions ourselves, so the sources are known and no
label is used.

Shapes: B images of S x S pixels, M pasted regions per image, N patches.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from boxrefine_d2.losses import IGNORED

PURE = 0.75  # least share of a patch that must come from one source for the patch to count


def composite(views: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    """Paste regions of the next images of the batch on each image.

    Args:
        views: (B, 3, S, S), B > M.
        masks: (B, M, S, S) in [0, 1]. Region m shows image i + 1 + m of the batch; later regions
            cover earlier ones. A soft border blends.
    Returns: (B, 3, S, S) composites, and (B, S, S) int64 sources: 0 for the image itself, m + 1
        where mask m is above one half.
    """
    composites, sources = views, views.new_zeros(masks[:, 0].shape, dtype=torch.long)
    for index, mask in enumerate(masks.unbind(1)):
        pasted = views.roll(-1 - index, dims=0)
        composites = torch.lerp(composites, pasted, mask[:, None].to(views.dtype))
        sources = sources.masked_fill(mask > 0.5, index + 1)
    return composites, sources


def regions_of_cells(sources: Tensor, patch_size: int) -> Tensor:
    """Return the source of each patch for `PairLoss`, (B, N) int64.

    A patch is ignored if no source fills it by `PURE`.

    Args: sources: (B, S, S) from `composite`.
    """
    shares = torch.stack(
        [
            F.avg_pool2d((sources == index).float()[:, None], patch_size).flatten(1)
            for index in range(int(sources.max()) + 1)
        ],
        dim=2,
    )
    share, source = shares.max(dim=2)
    return source.masked_fill(share < PURE, IGNORED)
