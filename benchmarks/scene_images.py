"""Images for the benchmarks: rendered scenes stretched to the sizes of photographs."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from boxrefine_d2.data.scenes import render_scene
from boxrefine_d2.features.padding import normalise_and_pad

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


def batch_of_scenes(indices: Sequence[int], size: tuple[int, int], multiple: int) -> Batch:
    """Scenes of the validation split at one size (H, W), padded to the multiple."""
    images, gt_boxes = zip(*(_stretched_scene(index, size) for index in indices), strict=True)
    return Batch(normalise_and_pad(list(images), multiple), [size] * len(images), list(gt_boxes))


def voc_batches(images: int, batch_size: int, multiple: int) -> list[Batch]:
    """So many images in batches whose sizes take turns; the last batch may be smaller."""
    indices = range(images)
    starts = range(0, images, batch_size)
    return [
        batch_of_scenes(
            indices[start : start + batch_size], VOC_SIZES[i % len(VOC_SIZES)], multiple
        )
        for i, start in enumerate(starts)
    ]


def _stretched_scene(index: int, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    scene = render_scene("val", index)
    image = torch.from_numpy(scene.image).permute(2, 0, 1)[None].float()
    scale = torch.tensor([size[1] / image.shape[3], size[0] / image.shape[2]]).repeat(2)
    image = F.interpolate(image, size, mode="bicubic", antialias=True).clamp(0, 255).round()
    return image[0], torch.from_numpy(scene.boxes) * scale
