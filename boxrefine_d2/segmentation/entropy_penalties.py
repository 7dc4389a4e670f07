"""Entropy penalties on GroupViT's groups: of groups, of labels and of segments.

Each has the form of the text and that of the code of the same study. The code takes a second
softmax of maps that already sum to 1, and means in place of sums, so its range is small: for 8
groups the first penalty is between 0.2493 and 0.2599.

Shapes: B images, G groups, N patches, K labels of an image. A label that is PAD is not valid; it
takes part in no softmax. Logarithms are natural, and 0 log 0 is 0.
"""

import torch
from torch import Tensor

FORMS = ("text", "code")
ROW_WEIGHT, COLUMN_WEIGHT = 0.2, 0.1  # of the penalty of segments


def entropy(shares: Tensor, dim: int) -> Tensor:
    """Return the entropy of distributions along a dimension."""
    summed: Tensor = torch.special.entr(shares).sum(dim=dim)
    return summed


def group_entropy(attention: Tensor, form: str = "text") -> Tensor:
    """Return the mean entropy of the groups of a patch, ().

    Args: attention: (B, G, N) shares of the groups in each patch; columns sum to 1.
    """
    if form == "text":
        return entropy(attention, 1).mean()
    mean: Tensor = torch.special.entr(attention.softmax(dim=1)).mean()
    return mean


def label_entropy(attention: Tensor, cosines: Tensor, valid: Tensor, form: str = "text") -> Tensor:
    """Return the mean entropy of the labels of a patch, (); images with fewer than two count 0.

    Args:
        cosines: (B, G, K) of segments and labels, times a factor if one is wanted.
        valid: (B, K) bool.
    """
    shares = _over_labels(cosines, valid)
    groups = attention if form == "text" else attention.softmax(dim=1)
    patches = groups.transpose(1, 2) @ shares  # (B, N, K)
    if form == "code":
        patches = _over_labels(patches, valid)
        counts = valid.sum(dim=1, keepdim=True).clamp(min=1)
        of_patch = torch.special.entr(patches).sum(dim=2) / counts
    else:
        of_patch = entropy(patches, 2)
    several = valid.sum(dim=1) > 1
    mean: Tensor = (of_patch.mean(dim=1) * several).mean()
    return mean


def segment_entropy(cosines: Tensor, valid: Tensor) -> Tensor:
    """Return 0.2 of the mean entropy of a segment's labels and 0.1 of a label's segments', ().

    Args: cosines: (B, G, K).  valid: (B, K) bool.
    """
    rows = entropy(_over_labels(cosines, valid), 2).mean(dim=1)
    columns = entropy(cosines.softmax(dim=1), 1) * valid
    counts = valid.sum(dim=1).clamp(min=1)
    return (ROW_WEIGHT * rows + COLUMN_WEIGHT * columns.sum(dim=1) / counts).mean()


def _over_labels(values: Tensor, valid: Tensor) -> Tensor:
    """Return the softmax over the valid labels, (B, X, K); 0 for the others."""
    masked = values.masked_fill(~valid[:, None], -torch.inf)
    return masked.softmax(dim=2).nan_to_num()  # an image without a label has no distribution
