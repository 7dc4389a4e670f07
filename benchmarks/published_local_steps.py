"""Baselines of ARM, SGRM and representer points, written from their formulas with PyTorch's parts.

They share nothing with the package. Shapes: B images of H x W pixels.
"""

from collections.abc import Callable, Iterable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

DISTANCES, SCALE = (1, 2, 4, 8, 12, 24), 0.3
_AROUND = [0, 1, 2, 3, 5, 6, 7, 8]  # of 3 x 3 pixels, without the middle


def unfolded(values: Tensor) -> Tensor:
    """Return the 48 neighbours of each pixel, (B, C, 48, H, W). Args: values: (B, C, H, W)."""
    parts = []
    for distance in DISTANCES:
        padded = F.pad(values, (distance,) * 4, mode="replicate")
        patches = F.unfold(padded, 3, dilation=distance)
        parts.append(patches.view(*values.shape[:2], 9, *values.shape[2:])[:, :, _AROUND])
    return torch.cat(parts, dim=2)


def scaled(maps: Tensor) -> Tensor:
    """Return each map (B, H, W) scaled to [0, 1]."""
    low, high = maps.amin(dim=(1, 2), keepdim=True), maps.amax(dim=(1, 2), keepdim=True)
    return (maps - low) / (high - low)


def affinity_refinement(maps: Tensor, images: Tensor, steps: int) -> Tensor:
    """Return the maps (B, H, W) after ARM, with all neighbours in one tensor in each step."""
    around = unfolded(images)
    spread = around.std(dim=2, keepdim=True) + 1e-8
    colour = -(((around - images[:, :, None]) / spread / SCALE) ** 2).mean(dim=1)
    lengths = torch.tensor(
        [d * ((i // 3 - 1) ** 2 + (i % 3 - 1) ** 2) ** 0.5 for d in DISTANCES for i in _AROUND]
    )
    position = -((lengths / (lengths.std() + 1e-8) / SCALE) ** 2)
    weights = colour.softmax(dim=1) + 0.01 * position.softmax(dim=0).view(1, -1, 1, 1)
    maps = scaled(maps) - 0.5
    for _ in range(steps):
        maps = 0.1 * maps + 0.9 * (weights * unfolded(maps[:, None])[:, 0]).sum(dim=1)
    return scaled(maps)


def network() -> nn.Sequential:
    """Return SGRM's network of 22,822 parameters."""
    return nn.Sequential(
        *(nn.Conv2d(3, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU()),
        *(nn.Conv2d(64, 32, 1), nn.BatchNorm2d(32), nn.ReLU()),
        *(nn.Conv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU()),
        *(nn.Conv2d(64, 2, 1), nn.BatchNorm2d(2)),
    )


def reprediction(
    net: nn.Sequential, values: Tensor, image: Tensor, superpixels: np.ndarray, steps: int
) -> Tensor:
    """Return SGRM's mask (H, W) of one image after `steps` steps, or once it errs below 10 %."""
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    parts = [np.flatnonzero(superpixels == number) for number in np.unique(superpixels)]
    means = [float(values.flatten()[part].mean()) for part in parts]
    pixels = torch.full(values.shape, 255)
    pixels[values < 0.1], pixels[values > 0.6] = 0, 1
    for step in range(steps + 1):
        logits = net(image[None])
        mask = logits[0].argmax(dim=0)
        error = (mask != pixels)[pixels != 255].float().mean()
        if error < 0.1 or step == steps:
            break
        target = mask.flatten().numpy().copy()
        for part, mean in zip(parts, means, strict=True):
            sure = 0 if mean < 0.1 else 1 if mean > 0.4 else None
            target[part] = np.bincount(target[part]).argmax() if sure is None else sure
        wanted = torch.from_numpy(target).view(1, *values.shape)
        loss = 0.1 * F.cross_entropy(logits, wanted)
        for label, weight in ((1, 2.0), (0, 0.1)):
            of_class = torch.where(pixels == label, label, -100)[None]
            loss = loss + weight * F.cross_entropy(logits, of_class)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return mask > 0


def predictor(maps: Callable[[], Iterable[Tensor]]) -> Tensor:
    """Return the representer points' predictor: the sum of importances times directions, (C,).

    The first pass gives the threshold of the norm, and the second one the sum.

    Args: maps: starts a pass over the maps (B, C, h, w) of the data set.
    """
    v, u = 0, 0
    for data in maps():
        features = data.flatten(2).transpose(1, 2).flatten(0, 1).double()
        v = v + features.sum(dim=0)
        u = u + F.normalize(features, dim=1).sum(dim=0)
    threshold = v.norm() / u.norm()
    total = 0
    for data in maps():
        features = data.flatten(2).transpose(1, 2).flatten(0, 1).double()
        norms = features.norm(dim=1, keepdim=True)
        total = total + ((norms - threshold) * features / norms).sum(dim=0)
    return total
