"""MOVE's losses (arXiv:2210.07920, code): what the discriminator says, and what a mask must be like."""

from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F
from torch import Tensor


def discriminator_hinge(fake: Tensor, real: Tensor) -> Tensor:
    """The discriminator's loss; logits of any shape, averaged each."""
    return F.relu(1 + fake).mean() + F.relu(1 - real).mean()


def adversarial(fake: Tensor) -> Tensor:
    """The segmenter's loss: the images composed by its mask are to be taken for real ones."""
    return -fake.mean()


@dataclass(frozen=True)
class MaskLosses:
    """A mask is to be of zeros and ones, and of neither no nor all pixels; summed over three scales.

    The scales are the mask, its means over tiles and its maxima over tiles.

    Attributes:
        pool: side of a tile, pixels.
        binarise_weight: of the mean of min(m, 1 - m), reached over `binarise_steps` steps of the segmenter from 0.
        min_area, max_area: shares of the image; an image's mask pays for what is missing or too much.
    """

    pool: int
    binarise_weight: float
    binarise_steps: int
    min_area: float
    min_area_weight: float
    max_area: float
    max_area_weight: float

    def __call__(self, mask: Tensor, step: int) -> dict[str, Tensor]:
        """Weighted losses; those of weight 0 are left out.

        Args: mask: (B, 1, H, W) in [0, 1].  step: of the segmenter, from 0.
        """
        scales = (mask, F.avg_pool2d(mask, self.pool), F.max_pool2d(mask, self.pool))
        areas = [scale.mean(dim=(1, 2, 3)) for scale in scales]
        warm = min(1.0, step / self.binarise_steps) if self.binarise_steps else 1.0
        soft = sum(scale.minimum(1 - scale).mean() for scale in scales)
        missing = sum(F.relu(self.min_area - area).mean() for area in areas)
        beyond = sum(F.relu(area - self.max_area).mean() for area in areas)
        weighted: dict[str, tuple[float, Any]] = {  # sums of tensors, which could be of none
            "loss_binarise": (self.binarise_weight, warm * soft),
            "loss_min_area": (self.min_area_weight, missing),
            "loss_max_area": (self.max_area_weight, beyond),
        }
        return {name: weight * loss for name, (weight, loss) in weighted.items() if weight}
