"""Groups of captions with the same meaning, by the community detection of sentence-transformers.

"What is Where by Looking" (NeurIPS 2022) uses it. It is implemented anew here, because two releases
of the library disagree and one of them may never return.

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
    """Return groups of texts, the largest first; among equals, the one around the earlier text.

    A text proposes the texts with a cosine of at least `min_similarity` to it, itself included, if
    there are at least `min_size` of them. Proposals are accepted by size. A proposal that shares
    members with an accepted group is discarded whole ("discard", release 2.2.0, the default). With
    "trim" (release 2.2.2) it loses these members, and it stays if `min_size` members are left.

    Args: vectors: (N, D) of length 1.
    Returns: indices of the members of each group, in ascending order.
    Raises: UserError for an unknown `overlap`, or a `min_size` below 1.
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
    """Return the member nearest to the mean of all members; the first one among equals."""
    group = vectors[torch.tensor(members)]
    return members[int((group @ F.normalize(group.mean(dim=0), dim=0)).argmax())]
