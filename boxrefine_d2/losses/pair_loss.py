"""Pair loss: keys of one region become similar, and keys of different regions dissimilar.

LOST and TokenCut read the sign and the size of the cosine similarity of two keys. The loss is
logistic in it. It is ours, close in spirit to CP2 (arXiv:2203.11709), which contrasts foreground
with background pixels.

Shapes: B images, N cells, C channels.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from detectron2.config import CfgNode
from detectron2.utils import comm
from torch import Tensor

from .ranks import mean_over_ranks

BACKGROUND, IGNORED = 0, -1


@dataclass(frozen=True)
class PairLoss:
    """Logistic loss on the cosine similarity of all pairs of cells of an image.

    Attributes:
        scale: logit per unit of cosine similarity.
        background_weight: weight of the pairs within the background. It may hold several objects,
            and nothing shows that they belong together.
        centred_weight: weight of the same loss on keys minus the image's mean key, as LOST's
            option `centre` reads them.
        regions_apart: whether the keys of two regions are pushed apart. If not, such pairs do not
            count: two objects may be of one kind, and two parts of one object.
    """

    scale: float
    background_weight: float
    centred_weight: float
    regions_apart: bool = True

    @classmethod
    def from_config(cls, node: CfgNode, *, regions_apart: bool) -> "PairLoss":
        """Return the loss of a section that has the keys of a pair loss."""
        return cls(node.SCALE, node.BACKGROUND_WEIGHT, node.CENTRED_WEIGHT, regions_apart)

    def __call__(self, keys: Tensor, regions: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss, and the share of correct signs of the raw similarities.

        Args:
            keys: (B, N, C) float32.
            regions: (B, N) int64: `BACKGROUND`, 1 and more for regions, `IGNORED` for cells that
                are in no pair.
        Returns: the loss: the mean over pairs that are pushed apart, plus the mean over pairs of
            one region, plus the weighted mean over pairs of the background; and the share: the mean
            of the shares of correct signs over the first two kinds of pairs.
        """
        kinds = pair_kinds(regions, self.regions_apart)
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


def pair_kinds(regions: Tensor, regions_apart: bool = True) -> tuple[Tensor, Tensor, Tensor]:
    """Return three masks of pairs, (B, N, N), for the regions (B, N) of `PairLoss`.

    They are pairs of different regions, pairs within one region, and pairs within the background.
    The background counts as a region in the first mask. Without `regions_apart`, one side of each
    pair in it is background. Ignored cells are in no pair.
    """
    known = regions != IGNORED
    pairs = known[:, :, None] & known[:, None, :]
    same = regions[:, :, None] == regions[:, None, :]
    background = (regions == BACKGROUND)[:, :, None]
    apart = pairs & ~same
    if not regions_apart:
        apart &= background | background.transpose(1, 2)
    return apart, pairs & same & ~background, pairs & same & background


def _mean(values: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted mean over the pairs of an image, averaged over images with such pairs.

    The number of these images is averaged over ranks. The mean is 0 if no image has such pairs.
    """
    total = weights.sum(dim=(1, 2))
    means = (values * weights).sum(dim=(1, 2)) / total.clamp(min=1)
    images = mean_over_ranks((total > 0).sum().to(means.dtype))
    return means.sum() / images.clamp(min=1 / comm.get_world_size())
