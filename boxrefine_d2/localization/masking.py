"""Losses of the weight map: what a classifier sees through the map (arXiv:2111.14131).

Shapes: B images, K classes, E numbers of an embedding, S x S pixels.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from boxrefine_d2.networks.padding import IMAGENET_MEAN, IMAGENET_STD

# colour of the pixels that a map of 0 hides, RGB in [0, 1]; the paper's images have mean 0.5
COLOURS = {"grey": (0.5, 0.5, 0.5), "mean": IMAGENET_MEAN, "black": (0.0, 0.0, 0.0)}


def masked(images: Tensor, maps: Tensor, colour: str) -> Tensor:
    """Return M x I + (1 - M) x colour, (B, 3, S, S).

    Args:
        images: (B, 3, S, S), normalised.
        maps: (B, 1, S, S) in [0, 1].
        colour: key of `COLOURS`.
    """
    hidden = (images.new_tensor(COLOURS[colour]) - images.new_tensor(IMAGENET_MEAN)) / (
        images.new_tensor(IMAGENET_STD)
    )
    return torch.lerp(hidden.view(1, 3, 1, 1), images, maps)


def soft_cross_entropy(whole: Tensor, seen: Tensor) -> Tensor:
    """Return the cross entropy of the class probabilities, the paper's; a mean over images."""
    return F.cross_entropy(seen, whole.softmax(dim=1))


def hard_cross_entropy(whole: Tensor, seen: Tensor) -> Tensor:
    """Return the cross entropy against the class that the classifier predicts."""
    return F.cross_entropy(seen, whole.argmax(dim=1))


def divergence(whole: Tensor, seen: Tensor) -> Tensor:
    """Return the Kullback-Leibler divergence; it is 0 where nothing changes."""
    return F.kl_div(
        seen.log_softmax(dim=1), whole.log_softmax(dim=1), reduction="batchmean", log_target=True
    )


# name -> function of the logits (B, K) of the whole and of the masked images
DISCREPANCIES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "soft_ce": soft_cross_entropy,
    "hard_ce": hard_cross_entropy,
    "kl": divergence,
}


def triplet_loss(anchor: Tensor, positive: Tensor, negative: Tensor, margin: float) -> Tensor:
    """Return the mean of max(|a - p| - |a - n| + margin, 0), for embeddings (B, E).

    The norms are Euclidean and have no epsilon.
    """
    near = torch.linalg.vector_norm(anchor - positive, dim=1)
    far = torch.linalg.vector_norm(anchor - negative, dim=1)
    return F.relu(near - far + margin).mean()
