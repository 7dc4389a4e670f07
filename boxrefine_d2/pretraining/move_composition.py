"""Synthetic images of MOVE (arXiv:2210.07920).

An object that is cut out well can be moved, and the image stays plausible.

Shapes: B images of H x W pixels, N patches. Images are normalised; masks are (B, 1, H, W) in
[0, 1].
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .mae import Inpainter


def random_shifts(images: int, limit: int) -> Tensor:
    """Draw shifts, (images, 2) int64 on the CPU: rows down and columns right, in pixels.

    They are uniform in [-limit, limit].
    """
    return torch.randint(-limit, limit + 1, (images, 2))


def shifted(batch: Tensor, shifts: Tensor) -> Tensor:
    """Move each image of (B, C, H, W) by its (rows down, columns right); fill with zeros."""
    moved = [
        F.pad(image, (columns, -columns, rows, -rows))
        for image, (rows, columns) in zip(batch, shifts.tolist(), strict=True)
    ]
    return torch.stack(moved)


def inpainted_region(mask: Tensor, shifted_mask: Tensor) -> Tensor:
    """Return the background that is unknown or hidden: at the old and at the new place."""
    return mask * (1 - shifted_mask) + shifted_mask


def kept_patches(region: Tensor, patch_size: int) -> Tensor:
    """Return the share of each patch that is kept, (B, N) in [0, 1].

    It is 1 minus the largest value of the region in the patch.
    """
    return 1 - F.max_pool2d(region, patch_size).flatten(1)


@dataclass(frozen=True)
class Layers:
    """Layers of which images are composed.

    Attributes:
        image, shifted_image, background: (B, 3, H, W).
        mask, shifted_mask: (B, 1, H, W).
    """

    image: Tensor
    shifted_image: Tensor
    background: Tensor
    mask: Tensor
    shifted_mask: Tensor

    def composed(self) -> Tensor:
        """Return the moved object on the inpainted background; the discriminator judges it."""
        return torch.lerp(self.background, self.shifted_image, self.shifted_mask)

    def unshifted(self) -> Tensor:
        """Return the object at its place on the inpainted background: real but for inpainting."""
        return torch.lerp(self.background, self.image, self.mask)

    def copy_paste(self) -> Tensor:
        """Return the moved object on the image; with the object twice, it is not real."""
        return torch.lerp(self.image, self.shifted_image, self.shifted_mask)


def layers_of(
    inpainter: Inpainter, images: Tensor, mask: Tensor, shifts: Tensor, *, copy_real: bool
) -> Layers:
    """Move the masked objects and inpaint behind them; only the mask has a gradient.

    Args: copy_real: True to keep the photograph outside the inpainted region. False sends the whole
        image through the autoencoder, so that its traces reveal nothing.
    """
    shifted_mask = shifted(mask, shifts)
    with torch.no_grad():
        shifted_images = shifted(images, shifts)
        embedded = inpainter.decoder_embed(inpainter.encode(images))
    kept = kept_patches(inpainted_region(mask, shifted_mask), inpainter.patch_size)
    background = inpainter.decode(embedded, kept)
    if copy_real:
        tiles = kept.view(-1, 1, inpainter.side, inpainter.side)
        background = torch.lerp(
            background, images, F.interpolate(tiles, scale_factor=inpainter.patch_size)
        )
        return Layers(images, shifted_images, background, mask, shifted_mask)
    with torch.no_grad():
        image, shifted_image = inpainter.decode(embedded), inpainter(shifted_images)
    return Layers(image, shifted_image, background, mask, shifted_mask)
