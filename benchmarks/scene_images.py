"""Images for the benchmarks: rendered scenes stretched to the sizes of photographs."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from boxrefine_d2.data.scenes import render_scene
from boxrefine_d2.networks.padding import normalise_and_pad

# (H, W) of most images of VOC 2007
VOC_SIZES = ((375, 500), (500, 375), (375, 500), (333, 500))


@dataclass(frozen=True)
class Batch:
    """Images of one size.

    Attributes:
        inputs: (B, 3, H', W'), normalised and padded.
        sizes: (H, W) of each before padding.
        gt_boxes: per image (n, 4) XYXY in pixels of the H x W image.
    """

    inputs: Tensor
    sizes: list[tuple[int, int]]
    gt_boxes: list[Tensor]


def voc_batches(images: int, batch_size: int, multiple: int) -> list[Batch]:
    """Return `images` scenes in batches; the sizes of `VOC_SIZES` alternate from batch to batch.

    The last batch may be smaller.
    """
    batches = []
    for number, start in enumerate(range(0, images, batch_size)):
        size = VOC_SIZES[number % len(VOC_SIZES)]
        scenes = [stretched_scene(i, size) for i in range(start, min(start + batch_size, images))]
        inputs = normalise_and_pad([image for image, _ in scenes], multiple)
        batches.append(Batch(inputs, [size] * len(scenes), [boxes for _, boxes in scenes]))
    return batches


def stretched_scene(index: int, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Return a scene of the validation split resized to (H, W).

    Returns: (3, H, W) float32 RGB in [0, 255]; the boxes (n, 4) XYXY in pixels of the resized
    image.
    """
    scene = render_scene("val", index)
    image = torch.from_numpy(scene.image).permute(2, 0, 1)[None].float()
    scale = torch.tensor([size[1] / image.shape[3], size[0] / image.shape[2]]).repeat(2)
    image = F.interpolate(image, size, mode="bicubic", antialias=True).clamp(0, 255).round()
    return image[0], torch.from_numpy(scene.boxes) * scale
