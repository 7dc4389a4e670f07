"""Grouping loss on composites: it learns which patches come from the same image.

It is ours, a dense term that learns from little data, close in spirit to CP2 (arXiv:2203.11709).
CP2 pastes crops on other images and contrasts foreground with background pixels. Here regions of
other images are pasted on an image. Keys of patches from one source are pulled to a positive
similarity, those of different sources to a negative one. LOST reads this sign. We paste the
regions ourselves, so the sources are known and no label is used.

Shapes: B images of S x S pixels, M pasted regions per image, N patches, C channels.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

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


@dataclass(frozen=True)
class GroupingLoss:
    """Logistic loss on the cosine similarity of all pairs of patches.

    Attributes:
        scale: logit per unit of cosine similarity.
        background_weight: weight of pairs within the image that regions are pasted on. It may hold
            several objects, and nothing shows that they belong together.
        centred_weight: weight of the same loss on keys minus the image's mean key, as LOST's
            option `centre` reads them.
    """

    scale: float
    background_weight: float
    centred_weight: float

    def __call__(self, keys: Tensor, sources: Tensor, patch_size: int) -> tuple[Tensor, Tensor]:
        """Return the loss, and the share of correct signs of the raw similarities.

        Args:
            keys: (B, N, C) float32, row-major cells.
            sources: (B, S, S) from `composite`.
        Returns: the loss: the mean over pairs of different sources, plus the mean over pairs of one
            pasted region, plus the weighted mean over pairs of the background; and the share: the
            mean of the shares of correct signs over the first two kinds of pairs.
        """
        kinds = pair_kinds(sources, patch_size)
        apart, together, background = (weight.to(keys.dtype) for weight in kinds)

        def loss(tokens: Tensor) -> tuple[Tensor, Tensor]:
            unit = F.normalize(tokens, dim=2)
            cosine = unit @ unit.transpose(1, 2)
            repel, attract = F.softplus(self.scale * cosine), F.softplus(-self.scale * cosine)
            within = _mean(attract, together) + self.background_weight * _mean(attract, background)
            return _mean(repel, apart) + within, cosine

        raw, cosine = loss(keys)
        with torch.no_grad():
            correct = (
                _mean((cosine < 0).float(), apart) + _mean((cosine > 0).float(), together)
            ) / 2
        if not self.centred_weight:
            return raw, correct
        centred, _ = loss(keys - keys.mean(dim=1, keepdim=True))
        return raw + self.centred_weight * centred, correct


def pair_kinds(sources: Tensor, patch_size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return three masks of pairs, (B, N, N).

    They are pairs of different sources, pairs within one pasted region, and pairs within the
    background. Patches that no source fills by `PURE` are in no pair.
    """
    shares = torch.stack(
        [
            F.avg_pool2d((sources == index).float()[:, None], patch_size).flatten(1)
            for index in range(int(sources.max()) + 1)
        ],
        dim=2,
    )
    share, source = shares.max(dim=2)
    pure = share >= PURE
    pairs = pure[:, :, None] & pure[:, None, :]
    same = source[:, :, None] == source[:, None, :]
    background = (source == 0)[:, :, None]
    return pairs & ~same, pairs & same & ~background, pairs & same & background


def _mean(values: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted mean over the pairs of an image, averaged over images with such pairs.

    It is 0 if no image has such pairs.
    """
    total = weights.sum(dim=(1, 2))
    means = (values * weights).sum(dim=(1, 2)) / total.clamp(min=1)
    return means.sum() / (total > 0).sum().clamp(min=1)
