"""MOVE's synthetic images (arXiv:2210.07920): an object that is cut out well can be moved, and the image stays plausible.

Shapes: B images of H x W pixels, N patches. Images are normalised; masks are (B, 1, H, W) in [0, 1].
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .mae import Inpainter


def random_shifts(images: int, limit: int) -> Tensor:
    """(images, 2) int64, rows down and columns right in pixels: uniform in [-limit, limit], on the CPU."""
    return torch.randint(-limit, limit + 1, (images, 2))


def shifted(batch: Tensor, shifts: Tensor) -> Tensor:
    """Each image of (B, C, H, W) moved by its (rows down, columns right); zeros come in."""
    moved = [
        F.pad(image, (columns, -columns, rows, -rows))
        for image, (rows, columns) in zip(batch, shifts.tolist(), strict=True)
    ]
    return torch.stack(moved)


def inpainted_region(mask: Tensor, shifted_mask: Tensor) -> Tensor:
    """What of the background is not known or not seen: where the object was, and where it is now."""
    return mask * (1 - shifted_mask) + shifted_mask


def kept_patches(region: Tensor, patch_size: int) -> Tensor:
    """(B, N) in [0, 1]: a patch is kept as far as the region leaves all of it alone."""
    return 1 - F.max_pool2d(region, patch_size).flatten(1)


@dataclass(frozen=True)
class Layers:
    """What images are composed of.

    Attributes: image, shifted_image, background: (B, 3, H, W).  mask, shifted_mask: (B, 1, H, W).
    """

    image: Tensor
    shifted_image: Tensor
    background: Tensor
    mask: Tensor
    shifted_mask: Tensor

    def composed(self) -> Tensor:
        """The moved object on the inpainted background: what the segmenter is judged by."""
        return torch.lerp(self.background, self.shifted_image, self.shifted_mask)

    def unshifted(self) -> Tensor:
        """The object where it was on the inpainted background: real but for the inpainting."""
        return torch.lerp(self.background, self.image, self.mask)

    def copy_paste(self) -> Tensor:
        """The moved object on the image: an object seen twice is not real."""
        return torch.lerp(self.image, self.shifted_image, self.shifted_mask)


def layers_of(
    inpainter: Inpainter, images: Tensor, mask: Tensor, shifts: Tensor, *, copy_real: bool
) -> Layers:
    """Moves the masked objects and paints behind them; the gradient comes through the mask alone.

    Args: copy_real: what is not inpainted is the photograph; else all of it goes through the autoencoder, so that its
        traces tell nothing.
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
