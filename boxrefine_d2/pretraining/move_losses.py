"""Losses of MOVE (arXiv:2210.07920, code): adversarial losses and losses on the mask."""

from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F
from torch import Tensor


def discriminator_hinge(fake: Tensor, real: Tensor) -> Tensor:
    """Return the discriminator's loss: means over logits of any shape."""
    return F.relu(1 + fake).mean() + F.relu(1 - real).mean()


def adversarial(fake: Tensor) -> Tensor:
    """Return the segmenter's loss: it falls if composed images are judged real."""
    return -fake.mean()


@dataclass(frozen=True)
class MaskLosses:
    """Losses that make a mask binary, and neither empty nor full.

    Each loss is summed over three scales: the mask, its means over tiles and its maxima over tiles.

    Attributes:
        pool: side of a tile, pixels.
        binarise_weight: weight of the mean of min(m, 1 - m); it grows from 0 over
            `binarise_steps` steps of the segmenter.
        min_area, max_area: bounds of the mask's area, as shares of the image. The loss of an image
            is the area that is missing or too much.
    """

    pool: int
    binarise_weight: float
    binarise_steps: int
    min_area: float
    min_area_weight: float
    max_area: float
    max_area_weight: float

    def __call__(self, mask: Tensor, step: int) -> dict[str, Tensor]:
        """Return the weighted losses; losses of weight 0 are left out.

        Args:
            mask: (B, 1, H, W) in [0, 1].
            step: step of the segmenter, from 0.
        """
        scales = (mask, F.avg_pool2d(mask, self.pool), F.max_pool2d(mask, self.pool))
        areas = [scale.mean(dim=(1, 2, 3)) for scale in scales]
        warm = min(1.0, step / self.binarise_steps) if self.binarise_steps else 1.0
        soft = sum(scale.minimum(1 - scale).mean() for scale in scales)
        missing = sum(F.relu(self.min_area - area).mean() for area in areas)
        beyond = sum(F.relu(area - self.max_area).mean() for area in areas)
        weighted: dict[str, tuple[float, Any]] = {  # Any: `sum` of nothing is an int
            "loss_binarise": (self.binarise_weight, warm * soft),
            "loss_min_area": (self.min_area_weight, missing),
            "loss_max_area": (self.max_area_weight, beyond),
        }
        return {name: weight * loss for name, (weight, loss) in weighted.items() if weight}
