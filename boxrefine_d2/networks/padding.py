"""Normalisation and padding of images for a map network."""

from collections.abc import Sequence

import torch
from torch import Tensor

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
PADDINGS = ("zeros", "reflect")


def padded_size(size: tuple[int, int], multiple: int) -> tuple[int, int]:
    """Return (H, W) rounded up to the multiple."""
    return -(-size[0] // multiple) * multiple, -(-size[1] // multiple) * multiple


def normalise_and_pad(
    images: Sequence[Tensor],
    multiple: int,
    padding: str = "zeros",
    device: torch.device | None = None,
) -> Tensor:
    """Return images with ImageNet normalisation, then padded at the bottom and on the right.

    Args:
        images: (3, H, W) RGB in [0, 255], of any number type. Their padded sizes are equal.
        multiple: pixels per patch.
        padding: the network's `padding`. "zeros" is the mean colour (LOST, TokenCut); "reflect" is
            the image mirrored at its last row and column (MOVE).
        device: device of the batch; the default is that of the images.
    Returns: (B, 3, H', W') float32.
    Raises: ValueError if the padded sizes differ, or for an unknown padding.
    """
    if padding not in PADDINGS:
        raise ValueError(f"unknown padding {padding!r}; known: {', '.join(PADDINGS)}")
    sizes = {padded_size((image.shape[-2], image.shape[-1]), multiple) for image in images}
    if len(sizes) != 1:
        raise ValueError(f"images of different padded sizes in one batch: {sorted(sizes)}")
    height, width = sizes.pop()
    device = images[0].device if device is None else device
    batch = torch.zeros(len(images), 3, height, width, device=device)
    mean = batch.new_tensor(IMAGENET_MEAN).view(3, 1, 1)
    std = batch.new_tensor(IMAGENET_STD).view(3, 1, 1)
    for target, image in zip(batch, images, strict=True):
        pixels = image.to(device, torch.float32)
        target[:, : image.shape[1], : image.shape[2]] = (pixels / 255 - mean) / std
        if padding == "reflect":
            rows = _reflected(image.shape[1], height, device)
            columns = _reflected(image.shape[2], width, device)
            target[:] = target[:, rows][:, :, columns]
    return batch


def _reflected(length: int, padded: int, device: torch.device) -> Tensor:
    """Return the index of the source pixel for each padded pixel, (padded,).

    The indices run from the first of `length` pixels to the last one, back without repeating it,
    and so on. An image smaller than its padding is mirrored again at its first pixel, as NumPy
    does; PyTorch's own padding refuses such an image. A single pixel is repeated.
    """
    period = max(2 * (length - 1), 1)
    place = torch.arange(padded, device=device) % period
    return torch.minimum(place, period - place)
