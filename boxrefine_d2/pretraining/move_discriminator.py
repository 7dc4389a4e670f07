"""Projected discriminator (arXiv:2111.01007) of MOVE.

It has frozen features, random mixing, and small heads that learn.

Shapes: B images of S x S pixels; four scales, from fine to coarse.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from boxrefine_d2.errors import UserError
from boxrefine_d2.networks import IMAGENET_MEAN, IMAGENET_STD

from .move_features import STRIDES, TimmFeatures, TransformerFeatures

HEAD_SIDE = 8  # cells; larger grids are halved until they have at most so many


class RandomMixing(nn.Module):
    """Random, fixed mixing of feature maps by 1 x 1 convolutions.

    It mixes the channels of each map, then the maps with each other. From coarse to fine, each map
    is added to the next one, so every head sees all coarser maps.

    Attributes: channels: channels of each output; the grids are twice as fine as the inputs'.
    """

    def __init__(self, channels: Sequence[int], width: int):
        """Build the convolutions.

        Args:
            channels: channels of the maps.
            width: channels of the finest map after mixing; each coarser map has twice as many.
        """
        super().__init__()
        widths = [width * 2**i for i in range(len(channels))]
        self.channels = [width, *widths[:-1]]
        self.within = nn.ModuleList(nn.Conv2d(*pair, 1) for pair in zip(channels, widths))
        self.across = nn.ModuleList(nn.Conv2d(*pair, 1) for pair in zip(widths, self.channels))
        self.requires_grad_(False)

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """Return as many mixed maps, from fine to coarse."""
        mixed = [convolve(x) for convolve, x in zip(self.within, maps, strict=True)]
        sizes = [2 * mixed[0].shape[-1], *(x.shape[-1] for x in mixed[:-1])]
        outputs: list[Tensor] = []
        for x, convolve, side in zip(mixed[::-1], self.across[::-1], sizes[::-1], strict=True):
            joined = x + outputs[0] if outputs else x
            finer = F.interpolate(joined, size=(side, side), mode="bilinear", align_corners=True)
            outputs.insert(0, convolve(finer))
        return outputs


def judging_head(channels: int, side: int, widths: tuple[int, int]) -> nn.Sequential:
    """Return a head that turns (B, channels, side, side) into a small grid of logits (B, 1, ., .).

    Args: widths: channels of the first convolution, and the largest number of channels.
    """
    layers: list[nn.Module] = []
    width = widths[0]
    while side > HEAD_SIDE:
        halve = nn.Conv2d(channels, width, kernel_size=4, stride=2, padding=1, bias=False)
        layers += [spectral_norm(halve), nn.BatchNorm2d(width), nn.LeakyReLU(0.2)]
        channels, side, width = width, side // 2, min(2 * width, widths[1])
    return nn.Sequential(*layers, spectral_norm(nn.Conv2d(channels, 1, kernel_size=4, bias=False)))


def vary_colours(images: Tensor) -> Tensor:
    """Change brightness, saturation and contrast of each image at random, differentiably.

    Source: DiffAugment, arXiv:2006.10738.
    """

    def draw() -> Tensor:
        return torch.rand(len(images), 1, 1, 1, device=images.device)

    images = images + draw() - 0.5
    grey = images.mean(dim=1, keepdim=True)
    images = grey + (images - grey) * 2 * draw()
    level = images.mean(dim=(1, 2, 3), keepdim=True)
    return level + (images - level) * (draw() + 0.5)


class ProjectedDiscriminator(nn.Module):
    """Network that judges how real images look.

    Its heads learn; the rest is frozen and stays in eval mode.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        features: TimmFeatures | TransformerFeatures,
        *,
        input_size: int,
        mix_channels: int,
        head_channels: tuple[int, int],
    ):
        """Build the discriminator. Args: input_size: S, pixels; images are resized to it."""
        super().__init__()
        if input_size % STRIDES[-1] or input_size < 2 * STRIDES[-1]:
            raise UserError(
                f"PRETRAIN.MOVE.DISCRIMINATOR.INPUT_SIZE {input_size}: a multiple of {STRIDES[-1]} "
                f"pixels, {2 * STRIDES[-1]} or more, is needed"
            )
        self.input_size = input_size
        self.features = features
        self.mixing = RandomMixing(features.channels, mix_channels)
        sides = [2 * input_size // stride for stride in STRIDES]
        self.heads = nn.ModuleList(
            judging_head(*grid, head_channels) for grid in zip(self.mixing.channels, sides)
        )
        mean, std = (torch.tensor(x).view(3, 1, 1) for x in (IMAGENET_MEAN, IMAGENET_STD))
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("std", std, persistent=False)

    def requires_grad_(self, requires_grad: bool = True) -> "ProjectedDiscriminator":
        """Set the gradient of the heads."""
        self.heads.requires_grad_(requires_grad)
        return self

    def train(self, mode: bool = True) -> "ProjectedDiscriminator":
        """Set the mode of the heads; the features stay in eval mode."""
        super().train(mode)
        self.features.eval()
        return self

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of all heads, (B, K); above 0 is real.

        Args: images: (B, 3, H, W), in ImageNet's normalisation.
        """
        scaled = vary_colours((images * self.std + self.mean) * 2 - 1)
        size = (self.input_size, self.input_size)
        resized = F.interpolate(scaled, size=size, mode="bilinear", align_corners=False)
        maps = self.mixing(self.features(resized))
        judged = [head(x).flatten(1) for head, x in zip(self.heads, maps, strict=True)]
        return torch.cat(judged, dim=1).float()
