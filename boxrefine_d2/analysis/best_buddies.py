"""Relaxed best buddies: points of two images that are among each other's most similar points."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from boxrefine_d2.errors import UserError


@dataclass(frozen=True)
class Buddies:
    """Pairs of best buddies, the most similar first.

    Attributes:
        pairs: (P, 2) int64, (row of a, row of b).
        similarity: (P,) float64, cosine.
    """

    pairs: Tensor
    similarity: Tensor

    def __len__(self) -> int:
        return len(self.pairs)


def best_buddies(a: Tensor, b: Tensor, k: int) -> Buddies:
    """Return the pairs (i, j) in which each is among the `k` rows most similar to the other.

    With k = 1 these are mutual nearest neighbours. The relaxation is our reading of a thesis on
    MaskCut, which does not state its rule. Among equally similar rows the first come first.

    Args:
        a: (N, C).
        b: (M, C).
        k: number of rows; all of them if there are fewer.
    Raises: UserError if k < 1.
    """
    if k < 1:
        raise UserError(f"K is {k}, but at least 1 neighbour is needed")
    cosine = F.normalize(a.double(), dim=1) @ F.normalize(b.double(), dim=1).T
    kept = _among_first(cosine, k, dim=1) & _among_first(cosine, k, dim=0)
    pairs, similarity = kept.nonzero(), cosine[kept]
    order = similarity.argsort(descending=True, stable=True)
    return Buddies(pairs[order], similarity[order])


def _among_first(cosine: Tensor, k: int, dim: int) -> Tensor:
    """Return (N, M) bool: whether a value is among the `k` largest along a dimension."""
    order = cosine.argsort(dim=dim, descending=True, stable=True).narrow(
        dim, 0, min(k, cosine.shape[dim])
    )
    return torch.zeros_like(cosine, dtype=torch.bool).scatter_(dim, order, True)
