"""SGRM: a mask that a small network predicts again from the reliable pixels of a map.

The network reads the image alone and is trained on it. Its targets are the pixels and superpixels
of which the map is sure, and the majority of its own predictions inside each other superpixel.

Source: LCAR (Coarse2Fine, AAAI 2023), superpixel-guided re-prediction module. Open in the paper and
chosen here: the network (see `reprediction_network`), its seed, and that ties are background.

Shapes: B images of H x W pixels.
"""

import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .reprediction_network import NetworkPerImage
from .superpixels import superpixel_means, superpixel_votes

BACKGROUND, OBJECT, UNSURE = 0, 1, 255


@dataclass(frozen=True)
class LossWeights:
    """Weights of the terms of SGRM's loss.

    Attributes:
        object, background: of the reliable pixels of each class.
        superpixels: of the superpixels.
    """

    object: float = 2.0
    background: float = 0.1
    superpixels: float = 0.1


@dataclass(frozen=True)
class Reprediction:
    """Masks of SGRM, and the way to them.

    Attributes:
        masks: (B, H, W) bool.
        steps: (B,) int64, the steps of gradient descent.
        errors: (B,) float64, the share of the reliable pixels that the mask contradicts; 0 where no
            pixel is reliable.
    """

    masks: Tensor
    steps: Tensor
    errors: Tensor


def reliable_labels(values: Tensor, low: float, high: float) -> Tensor:
    """Return OBJECT above `high`, BACKGROUND below `low`, and UNSURE elsewhere, as uint8."""
    labels = torch.full(values.shape, UNSURE, dtype=torch.uint8, device=values.device)
    return labels.masked_fill(values < low, BACKGROUND).masked_fill(values > high, OBJECT)


def joint_loss(odds: Tensor, pixels: Tensor, superpixels: Tensor, weights: LossWeights) -> Tensor:
    """Return SGRM's loss of each image, (B,).

    It is a sum of cross entropies. That of the superpixels is a mean over all pixels. That of each
    class is a mean over its reliable pixels, and 0 if there are none.

    Args:
        odds: (B, H, W), the logit of object less that of background.
        pixels: (B, H, W) labels of the pixels, see `reliable_labels`.
        superpixels: (B, H, W) bool, whether the pixel's superpixel is object.
    """
    if_object, if_background = F.softplus(-odds), F.softplus(odds)
    return (
        weights.superpixels * torch.where(superpixels, if_object, if_background).mean(dim=(1, 2))
        + weights.object * _mean_where(if_object, pixels == OBJECT)
        + weights.background * _mean_where(if_background, pixels == BACKGROUND)
    )


def repredict(
    maps: Tensor,
    images: Tensor,
    superpixels: Tensor,
    *,
    low_pixel: float = 0.1,
    high_pixel: float = 0.6,
    low_superpixel: float = 0.1,
    high_superpixel: float = 0.4,
    weights: LossWeights = LossWeights(),
    lr: float = 0.05,
    momentum: float = 0.9,
    steps: int = 200,
    stop_error: float = 0.1,
    vote: bool = True,
    seed: int = 0,
) -> Reprediction:
    """Return the mask that each image's network predicts at last.

    The training of a network stops before the first step at which it contradicts less than
    `stop_error` of the reliable pixels. An image without a reliable pixel keeps the part of its map
    above a half. The result of an image does not depend on the others. On the CPU the images are
    trained in parallel, one a thread; on other devices they are one batch.

    Args:
        maps: (B, H, W) in [0, 1].
        images: (B, 3, H, W) RGB in [0, 1].
        superpixels: (B, H, W) int64, numbers of each image from 0.
        low_pixel, high_pixel: a pixel is background below and object above.
        low_superpixel, high_superpixel: the same for the mean of the map over a superpixel.
        lr, momentum: of stochastic gradient descent.
        steps: most steps.
        vote: whether a superpixel that is not sure follows the majority of its pixels; if false,
            each of its pixels follows its own prediction.
        seed: changes the first parameters, which depend on the image besides.
    """
    training = _Training(
        low_pixel, high_pixel, low_superpixel, high_superpixel,
        weights, lr, momentum, steps, stop_error, vote, seed,
    )  # fmt: skip
    if maps.device.type != "cpu" or len(maps) == 0:
        return training(maps, images, superpixels)
    with _one_thread_each(len(maps)) as pool:
        singles = list(pool.map(training, maps.split(1), images.split(1), superpixels.split(1)))
    return Reprediction(
        masks=torch.cat([single.masks for single in singles]),
        steps=torch.cat([single.steps for single in singles]),
        errors=torch.cat([single.errors for single in singles]),
    )


@dataclass(frozen=True)
class _Training:
    """The settings of `repredict`. A call trains the networks of a batch."""

    low_pixel: float
    high_pixel: float
    low_superpixel: float
    high_superpixel: float
    weights: LossWeights
    lr: float
    momentum: float
    steps: int
    stop_error: float
    vote: bool
    seed: int

    def __call__(self, maps: Tensor, images: Tensor, superpixels: Tensor) -> Reprediction:
        pixels = reliable_labels(maps, self.low_pixel, self.high_pixel)
        means = superpixel_means(maps, superpixels)
        sure = reliable_labels(means, self.low_superpixel, self.high_superpixel)
        result = Reprediction(
            masks=maps > 0.5,
            steps=torch.zeros(len(maps), dtype=torch.int64, device=maps.device),
            errors=torch.zeros(len(maps), dtype=torch.float64, device=maps.device),
        )
        left = (pixels != UNSURE).any(dim=2).any(dim=1).nonzero()[:, 0]
        seeds = [_seed_of(images[i], self.seed) for i in left.tolist()]
        networks = NetworkPerImage(seeds, lr=self.lr, momentum=self.momentum, device=maps.device)
        for step in range(self.steps + 1):
            if len(left) == 0:
                break
            logits = networks(images[left])
            odds = logits[:, 1] - logits[:, 0]
            predicted = odds.detach() > 0
            errors = _errors(predicted, pixels[left])
            result.masks[left], result.steps[left], result.errors[left] = predicted, step, errors
            going = errors >= self.stop_error
            if step == self.steps or not going.any():
                break
            voted = superpixel_votes(predicted, superpixels[left]) if self.vote else predicted
            objects = torch.where(sure[left] == UNSURE, voted, sure[left] == OBJECT)
            losses = joint_loss(odds, pixels[left], objects, self.weights)
            networks.descend(losses * going)
            if not going.all():
                networks.keep(going)
                left = left[going]
        return result


def _mean_where(values: Tensor, where: Tensor) -> Tensor:
    """Return the mean of the values (B, H, W) at some pixels of each image, (B,); 0 without any."""
    return (values * where).sum(dim=(1, 2)) / where.sum(dim=(1, 2)).clamp(min=1)


def _errors(predicted: Tensor, pixels: Tensor) -> Tensor:
    """Return the share of the reliable pixels of each image that are predicted wrong, (B,)."""
    reliable = pixels != UNSURE
    wrong = reliable & (predicted != (pixels == OBJECT))
    return wrong.sum(dim=(1, 2)).double() / reliable.sum(dim=(1, 2))


def _seed_of(image: Tensor, seed: int) -> int:
    """Return a seed that depends on the pixels of an image, (3, H, W) in [0, 1]."""
    levels = (image * 255).round().to("cpu", torch.uint8)
    return zlib.crc32(levels.contiguous().numpy().tobytes(), seed)


@contextmanager
def _one_thread_each(tasks: int) -> Iterator[ThreadPoolExecutor]:
    """Yield a pool with as many threads as PyTorch has, each of which computes alone.

    Small convolutions gain little from several threads, and with one thread their results are the
    same on every machine with the same CPU.
    """
    threads = torch.get_num_threads()
    pool = ThreadPoolExecutor(min(threads, tasks), initializer=torch.set_num_threads, initargs=(1,))
    try:
        with pool:
            yield pool
    finally:
        torch.set_num_threads(threads)  # the number is that of later threads, too
