"""The term that keeps f near its frozen copy: ||f(I) - f^h(I)||^2 (ICCV 2023 paper)."""

from collections.abc import Hashable, Sequence

import torch
from torch import Tensor, nn

from boxrefine_d2.errors import UserError
from boxrefine_d2.features.vit import LastBlock, VisionTransformer

from .recurring import RecurringInputs


class PreservationLoss(nn.Module):
    """Squared distance of features to the frozen copy's, averaged over images (and over patches, for keys).

    Args (keyword):
        weight: factor of the term; 0 switches it and its forward off (`BoxRefiner` asks).
        on: "cls" (after the final norm, the release) or "keys" (what the rule reads).
        reduction: over channels, "sum" (the paper's formula) or "mean" (the release).
    """

    def __init__(self, *, weight: float, on: str, reduction: str):
        super().__init__()
        if on not in ("cls", "keys"):
            raise UserError(f"REFINE.REG_ON {on!r} is unknown; known: cls, keys")
        if reduction not in ("sum", "mean"):
            raise UserError(f"REFINE.REG_REDUCTION {reduction!r} is unknown; known: sum, mean")
        self.weight = weight
        self.on = on
        self.reduction = reduction
        self._recurring = RecurringInputs()

    def forward(
        self,
        last: LastBlock,
        images: Tensor,
        reference: VisionTransformer,
        keys: Sequence[Hashable | None],
    ) -> Tensor:
        """The weighted term.

        Args:
            last: what f made of `images` (B, 3, H, W).  reference: the frozen copy.
            keys: names of inputs that come back unchanged, so that their reference is computed once; None for others.
        """
        features = self._select(last)
        squared = (features - self._reference(images, reference, keys)).square()
        over_channels = squared.sum(-1) if self.reduction == "sum" else squared.mean(-1)
        return self.weight * over_channels.mean()

    def _select(self, last: LastBlock) -> Tensor:
        return last.cls if self.on == "cls" else last.qkv[:, 1, 1:]

    @torch.no_grad()
    def _reference(
        self, images: Tensor, reference: VisionTransformer, keys: Sequence[Hashable | None]
    ) -> Tensor:
        if any(key is None for key in keys):
            return self._select(reference.forward_last_block(images))

        def compute(image: Tensor) -> tuple[Tensor]:
            # a copy, which lets go of what was not selected
            return (self._select(reference.forward_last_block(image[None]))[0].clone(),)

        return torch.stack([row[0] for row in self._recurring.rows(keys, images, compute)])
