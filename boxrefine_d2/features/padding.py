"""How an image becomes the input of a map network."""

import torch
from torch import Tensor

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def padded_size(size: tuple[int, int], multiple: int) -> tuple[int, int]:
    """(H, W) rounded up to the multiple."""
    return -(-size[0] // multiple) * multiple, -(-size[1] // multiple) * multiple


def normalise_and_pad(images: list[Tensor], multiple: int) -> Tensor:
    """LOST's input: ImageNet normalisation, then zeros (the mean colour) on the bottom and the right.

    Args:
        images: (3, H, W) RGB in [0, 255], whose padded sizes are equal.  multiple: pixels per patch.
    Returns: (B, 3, H', W') float32.
    Raises: ValueError if the padded sizes differ.
    """
    sizes = {padded_size(tuple(image.shape[-2:]), multiple) for image in images}
    if len(sizes) != 1:
        raise ValueError(f"images of different padded sizes in one batch: {sorted(sizes)}")
    height, width = sizes.pop()
    batch = torch.zeros(len(images), 3, height, width, device=images[0].device)
    mean = batch.new_tensor(IMAGENET_MEAN).view(3, 1, 1)
    std = batch.new_tensor(IMAGENET_STD).view(3, 1, 1)
    for target, image in zip(batch, images, strict=True):
        target[:, : image.shape[1], : image.shape[2]] = (image / 255 - mean) / std
    return batch
