"""Captions that say the same, put together: the community detection of sentence-transformers, as "What is Where by Looking"
(NeurIPS 2022) uses it, written anew, since its two releases disagree and one may never return.

Shapes: N texts, D dimensions.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from boxrefine_d2.errors import UserError, check_choice

OVERLAPS = ("discard", "trim")


def communities(
    vectors: Tensor, *, min_similarity: float, min_size: int, overlap: str
) -> list[list[int]]:
    """Groups of texts, the largest first; of equals the one around the earlier text.

    Each text with at least `min_size` texts (itself included) of a cosine of `min_similarity` or more proposes these as
    a group. Groups are accepted by size. One that shares members with an accepted group is discarded whole (release
    2.2.0, the default), or loses them and stays if `min_size` are left (2.2.2, "trim").

    Args: vectors: (N, D) of length 1.
    Returns: members of each group in ascending order.
    Raises: UserError for an unknown `overlap`, or a group of none.
    """
    check_choice("overlap", overlap, OVERLAPS)
    if min_size < 1:
        raise UserError(f"a community has at least 1 member, not {min_size}")
    similar = vectors @ vectors.T >= min_similarity
    proposals = [row.nonzero().flatten().tolist() for row in similar]
    proposals = sorted((p for p in proposals if len(p) >= min_size), key=len, reverse=True)
    taken: set[int] = set()
    accepted = []
    for members in proposals:
        free = [member for member in members if member not in taken]
        if len(free) < len(members) and (overlap == "discard" or len(free) < min_size):
            continue
        accepted.append(free)
        taken.update(free)
    return sorted(accepted, key=len, reverse=True)


def most_central(vectors: Tensor, members: list[int]) -> int:
    """The member that is nearest to the mean of all; the first of equals."""
    group = vectors[torch.tensor(members)]
    return members[int((group @ F.normalize(group.mean(dim=0), dim=0)).argmax())]
