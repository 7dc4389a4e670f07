"""Contrast of images with several labels each: ordinary, and without false negatives.

In the ordinary loss the labels of other images are negatives, also if they are the same words. In
the non-noisy one, a label is a positive of every image of the batch that has the same words.

Shapes: B images, K label slots of an image, D dimensions. A slot without a label is PAD.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

FILLS = ("pad_zero", "pad_masked")
POSITIVES = ("mean_log", "log_sum")
PAD = ""


def symmetric_contrast(images: Tensor, texts: Tensor, scale: Tensor | float) -> Tensor:
    """Return the mean cross entropy of images to texts and of texts to images, ().

    Args: images, texts: (B, D) of length 1, in pairs.
    """
    logits = scale * images @ texts.T
    own = torch.arange(len(images), device=images.device)
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2


def multi_label_contrast(
    images: Tensor,
    labels: Tensor,
    words: Sequence[Sequence[str]],
    scale: Tensor | float,
    *,
    fill: str = "pad_zero",
    non_noisy: bool = False,
    positives: str = "mean_log",
) -> Tensor:
    """Return half the sum of both directions, (); 0 for a batch without any label.

    Args:
        images: (B, D) of length 1.
        labels: (B, K, D) of length 1; the vectors of PAD are ignored.
        words: B lists of K labels; `PAD` for an empty slot.
        scale: factor of cosines.
        fill: "pad_zero": an empty slot has the vector 0 and stays in the softmax; in the ordinary
            loss it is a positive of its image. "pad_masked": it takes no part.
        non_noisy: True if equal words of other images are positives.
        positives: "mean_log": the mean of the logarithms of the positives, as in the release;
            "log_sum": the logarithm of their sum, as in the text.
    """
    valid = _valid(words, images.device)
    if not valid.any():
        return images.sum() * 0
    to_slots, to_images = directions(
        images, labels, words, scale, fill=fill, non_noisy=non_noisy, positives=positives
    )
    slots = to_images if fill == "pad_zero" else to_images[valid]
    return (to_slots.mean() + slots.mean()) / 2


def directions(
    images: Tensor,
    labels: Tensor,
    words: Sequence[Sequence[str]],
    scale: Tensor | float,
    *,
    fill: str,
    non_noisy: bool,
    positives: str,
) -> tuple[Tensor, Tensor]:
    """Return the loss of each image (B,) and of each slot (B K,); see `multi_label_contrast`."""
    valid = _valid(words, images.device)
    vectors = labels.flatten(0, 1) * valid[:, None]
    logits = scale * images @ vectors.T  # (B, B K)
    targets = positive_slots(words, non_noisy=non_noisy, fill=fill).to(images.device)
    allowed = valid if fill == "pad_masked" else torch.ones_like(valid)
    logs = logits.masked_fill(~allowed, -torch.inf).log_softmax(dim=1)
    to_slots = _loss(logs, targets, positives)
    to_images = _loss(logits.log_softmax(dim=0).T, targets.T, positives)
    return to_slots, to_images


def positive_slots(words: Sequence[Sequence[str]], *, non_noisy: bool, fill: str) -> Tensor:
    """Return the positive slots of each image, (B, B K) bool."""
    flat = [word for of_image in words for word in of_image]
    slots = len(words[0])
    rows = []
    for number, of_image in enumerate(words):
        own = range(number * slots, (number + 1) * slots)
        if non_noisy:
            known = set(of_image) - {PAD}
            rows.append([word in known for word in flat])
        else:
            kept = fill == "pad_zero"
            rows.append([place in own and (kept or word != PAD) for place, word in enumerate(flat)])
    return torch.tensor(rows)


def _valid(words: Sequence[Sequence[str]], device: torch.device) -> Tensor:
    return torch.tensor([word != PAD for of_image in words for word in of_image], device=device)


def _loss(logs: Tensor, targets: Tensor, positives: str) -> Tensor:
    """Return the loss of each row, 0 without a positive. Args: logs, targets: (R, S)."""
    if positives == "log_sum":
        losses = -logs.masked_fill(~targets, -torch.inf).logsumexp(dim=1)
    else:
        kept = torch.where(targets, logs, 0.0)
        losses = -kept.sum(dim=1) / targets.sum(dim=1).clamp(min=1)
    return torch.where(targets.any(dim=1), losses, 0.0)
