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


@dataclass(frozen=True, kw_only=True)
class Repredictor:
    """SGRM with its constants. A call predicts the masks of a batch.

    The training of a network stops before the first step at which it contradicts less than
    `stop_error` of the reliable pixels, or after the last step. The mask is that of the last
    prediction. An image without a reliable pixel keeps the part of its map above a half.

    Attributes:
        low_pixel, high_pixel: a pixel is background below and object above, and reliable then.
        low_superpixel, high_superpixel: the same for the mean of the map over a superpixel.
        object_weight, background_weight: of the reliable pixels of each class in the loss.
        superpixel_weight: of the superpixels in the loss.
        lr, momentum: of stochastic gradient descent.
        steps: most steps.
        stop_error: share of the reliable pixels.
        vote: whether a superpixel that is not reliable follows the majority of its pixels; if
            false, each of its pixels follows its own prediction.
        by_superpixels: whether the mask is that of the superpixels, reliable or by vote (ours). If
            false, it is the prediction, whose pixels are noisy where few steps were needed.
        seed: changes the first parameters, which depend on the image besides.
    """

    low_pixel: float = 0.1
    high_pixel: float = 0.6
    low_superpixel: float = 0.1
    high_superpixel: float = 0.4
    object_weight: float = 2.0
    background_weight: float = 0.1
    superpixel_weight: float = 0.1
    lr: float = 0.05
    momentum: float = 0.9
    steps: int = 200
    stop_error: float = 0.1
    vote: bool = True
    by_superpixels: bool = False
    seed: int = 0

    def __call__(self, maps: Tensor, images: Tensor, superpixels: Tensor) -> Reprediction:
        """Return the mask of each image; it does not depend on the other images.

        On the CPU the images are trained in parallel, one a thread. On other devices they are one
        batch.

        Args:
            maps: (B, H, W) in [0, 1].
            images: (B, 3, H, W) RGB in [0, 1].
            superpixels: (B, H, W) int64, numbers of each image from 0.
        """
        if maps.device.type != "cpu" or len(maps) == 0:
            return self._train(maps, images, superpixels)
        with _one_thread_each(len(maps)) as pool:
            singles = list(
                pool.map(self._train, maps.split(1), images.split(1), superpixels.split(1))
            )
        return Reprediction(
            masks=torch.cat([single.masks for single in singles]),
            steps=torch.cat([single.steps for single in singles]),
            errors=torch.cat([single.errors for single in singles]),
        )

    def loss(self, odds: Tensor, pixels: Tensor, superpixels: Tensor) -> Tensor:
        """Return the loss of each image, (B,).

        It is a sum of cross entropies. That of the superpixels is a mean over all pixels. That of
        each class is a mean over its reliable pixels, and 0 if there are none.

        Args:
            odds: (B, H, W), the logit of object less that of background.
            pixels: (B, H, W) labels of the pixels, see `reliable_labels`.
            superpixels: (B, H, W) bool, whether the pixel's superpixel is object.
        """
        if_object, if_background = F.softplus(-odds), F.softplus(odds)
        of_superpixels = torch.where(superpixels, if_object, if_background).mean(dim=(1, 2))
        return (
            self.superpixel_weight * of_superpixels
            + self.object_weight * _mean_where(if_object, pixels == OBJECT)
            + self.background_weight * _mean_where(if_background, pixels == BACKGROUND)
        )

    def seed_of(self, image: Tensor) -> int:
        """Return the seed of the network of an image, (3, H, W) RGB in [0, 1]."""
        levels = (image * 255).round().to("cpu", torch.uint8)
        return zlib.crc32(levels.contiguous().numpy().tobytes(), self.seed)

    def _train(self, maps: Tensor, images: Tensor, superpixels: Tensor) -> Reprediction:
        """Train the networks of a batch side by side."""
        pixels = reliable_labels(maps, self.low_pixel, self.high_pixel)
        means = superpixel_means(maps, superpixels)
        sure = reliable_labels(means, self.low_superpixel, self.high_superpixel)
        result = Reprediction(
            masks=maps > 0.5,
            steps=torch.zeros(len(maps), dtype=torch.int64, device=maps.device),
            errors=torch.zeros(len(maps), dtype=torch.float64, device=maps.device),
        )
        left = (pixels != UNSURE).flatten(1).any(dim=1).nonzero()[:, 0]
        seeds = [self.seed_of(images[i]) for i in left.tolist()]
        networks = NetworkPerImage(seeds, lr=self.lr, momentum=self.momentum, device=maps.device)
        for step in range(self.steps + 1):
            if len(left) == 0:
                break
            logits = networks(images[left])
            odds = logits[:, 1] - logits[:, 0]
            predicted = odds.detach() > 0
            errors = _errors(predicted, pixels[left])
            voted = superpixel_votes(predicted, superpixels[left]) if self.vote else predicted
            objects = torch.where(sure[left] == UNSURE, voted, sure[left] == OBJECT)
            result.masks[left] = objects if self.by_superpixels else predicted
            result.steps[left], result.errors[left] = step, errors
            going = errors >= self.stop_error
            if step == self.steps or not going.any():
                break
            networks.descend(self.loss(odds, pixels[left], objects) * going)
            if not going.all():
                networks.keep(going)
                left = left[going]
        return result


def reliable_labels(values: Tensor, low: float, high: float) -> Tensor:
    """Return OBJECT above `high`, BACKGROUND below `low`, and UNSURE elsewhere, as uint8."""
    labels = torch.full(values.shape, UNSURE, dtype=torch.uint8, device=values.device)
    return labels.masked_fill(values < low, BACKGROUND).masked_fill(values > high, OBJECT)


def _mean_where(values: Tensor, where: Tensor) -> Tensor:
    """Return the mean of the values (B, H, W) at some pixels of each image, (B,); 0 without any."""
    return (values * where).sum(dim=(1, 2)) / where.sum(dim=(1, 2)).clamp(min=1)


def _errors(predicted: Tensor, pixels: Tensor) -> Tensor:
    """Return the share of the reliable pixels of each image that are predicted wrong, (B,)."""
    reliable = pixels != UNSURE
    wrong = reliable & (predicted != (pixels == OBJECT))
    return wrong.sum(dim=(1, 2)).double() / reliable.sum(dim=(1, 2))


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
