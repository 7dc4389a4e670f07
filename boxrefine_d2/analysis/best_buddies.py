"""Relaxed best buddies: points of two images that are among each other's most similar."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from boxrefine_d2.errors import UserError


@dataclass(frozen=True)
class Buddies:
    """The pairs that were kept, the most similar first.

    Attributes:
        pairs: (P, 2) int64, (row of a, row of b).
        similarity: (P,) float64, cosine.
    """

    pairs: Tensor
    similarity: Tensor

    def __len__(self) -> int:
        return len(self.pairs)


def best_buddies(a: Tensor, b: Tensor, k: int) -> Buddies:
    """The pairs (i, j) of which j is among the `k` most similar of i, and i among the `k` most similar of j.

    k = 1 are mutual nearest neighbours; the relaxation is our reading of a thesis on MaskCut, which leaves its rule
    open. Of equally similar rows the first come first.

    Args: a: (N, C).  b: (M, C).  k: rows; where there are fewer, all of them.
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
    """(N, M) bool, the `k` largest along a dimension."""
    order = cosine.argsort(dim=dim, descending=True, stable=True).narrow(
        dim, 0, min(k, cosine.shape[dim])
    )
    return torch.zeros_like(cosine, dtype=torch.bool).scatter_(dim, order, True)
