"""How an image becomes the input of a map network."""

from collections.abc import Sequence

import torch
from torch import Tensor

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
PADDINGS = ("zeros", "reflect")


def padded_size(size: tuple[int, int], multiple: int) -> tuple[int, int]:
    """(H, W) rounded up to the multiple."""
    return -(-size[0] // multiple) * multiple, -(-size[1] // multiple) * multiple


def normalise_and_pad(
    images: Sequence[Tensor],
    multiple: int,
    padding: str = "zeros",
    device: torch.device | None = None,
) -> Tensor:
    """ImageNet normalisation, then a pad on the bottom and the right.

    Args:
        images: (3, H, W) RGB in [0, 255], of any number type, whose padded sizes are equal.
        multiple: pixels per patch.
        padding: a network's `padding`. "zeros": the mean colour (LOST, TokenCut); "reflect": the image mirrored about
            its last row and column (MOVE).
        device: of the batch; the images' own if not given.
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
    """(padded,) which of `length` pixels stands where: to the end, back without repeating it, and so on.

    An image smaller than its pad is mirrored again at its first pixel, as by NumPy (PyTorch's own refuses it); a
    single pixel is repeated.
    """
    period = max(2 * (length - 1), 1)
    place = torch.arange(padded, device=device) % period
    return torch.minimum(place, period - place)
