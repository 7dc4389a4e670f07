"""Grouping on composites: which patches came from the same picture? A dense term that learns from little data.

Ours, close in spirit to CP2 (arXiv:2203.11709), which pastes crops on other pictures and contrasts foreground with
background pixels. Regions of other pictures are pasted on a picture; keys of patches from one source are pulled to a
positive similarity, those of different sources to a negative one: the very sign that LOST reads. The sources are
known because we pasted them, so no label is used.

Shapes: B images of S x S pixels, M pasted regions an image, N patches, C channels.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

PURE = 0.75  # a patch counts when so much of it comes from one source


def composite(views: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    """Pastes regions of the batch's next pictures on each picture.

    Args:
        views: (B, 3, S, S), B > M.
        masks: (B, M, S, S) in [0, 1]; region m shows picture i + 1 + m of the batch, later ones lie on top. A soft
            border blends.
    Returns: (B, 3, S, S) composites, and (B, S, S) int64 sources: 0 the picture itself, m + 1 where mask m is
        above one half.
    """
    pictures, sources = views, views.new_zeros(masks[:, 0].shape, dtype=torch.long)
    for index, mask in enumerate(masks.unbind(1)):
        pasted = views.roll(-1 - index, dims=0)
        pictures = torch.lerp(pictures, pasted, mask[:, None].to(views.dtype))
        sources = sources.masked_fill(mask > 0.5, index + 1)
    return pictures, sources


@dataclass(frozen=True)
class GroupingLoss:
    """Logistic loss on the cosine similarity of all pairs of patches.

    Attributes:
        scale: logit per unit of cosine similarity.
        background_weight: of pairs within the picture that was pasted on: it may hold several objects, which
            nothing says belong together.
        centred_weight: of the same loss on keys less the image's mean key, as `centre` of LOST reads them.
    """

    scale: float
    background_weight: float
    centred_weight: float

    def __call__(self, keys: Tensor, sources: Tensor, patch_size: int) -> tuple[Tensor, Tensor]:
        """The loss, and how often the sign of raw similarities is right.

        Args: keys: (B, N, C) float32, row-major cells.  sources: (B, S, S) of `composite`.
        Returns: the mean over pairs of different sources, plus those of one pasted region, plus the weighted ones
            within the background; and the mean of the shares of right signs over the first two kinds.
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
            right = (_mean((cosine < 0).float(), apart) + _mean((cosine > 0).float(), together)) / 2
        if not self.centred_weight:
            return raw, right
        centred, _ = loss(keys - keys.mean(dim=1, keepdim=True))
        return raw + self.centred_weight * centred, right


def pair_kinds(sources: Tensor, patch_size: int) -> tuple[Tensor, Tensor, Tensor]:
    """(B, N, N) masks of pairs: of different sources, within one pasted region, within the background.

    Patches that no source fills by `PURE` are in no pair.
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
    """Weighted mean over the pairs of each image, then over the images that have such pairs; 0 if none has."""
    total = weights.sum(dim=(1, 2))
    means = (values * weights).sum(dim=(1, 2)) / total.clamp(min=1)
    return means.sum() / (total > 0).sum().clamp(min=1)
