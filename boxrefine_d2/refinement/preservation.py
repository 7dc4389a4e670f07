"""The term that keeps f near its frozen copy: ||f(I) - f^h(I)||^2 (ICCV 2023 paper)."""

from collections.abc import Callable

from torch import Tensor, nn

from boxrefine_d2.errors import check_choice
from boxrefine_d2.networks.map_network import Reading

# what is held -> (B, ..., channels) of a reading
HELD: dict[str, Callable[[Reading], Tensor]] = {
    "cls": lambda reading: reading.tokens.cls,
    "keys": lambda reading: reading.tokens.qkv[:, 1, 1:],
    "mask": lambda reading: reading.map.data.movedim(1, -1),
    "map": lambda reading: reading.map.data.movedim(1, -1),
}


class PreservationLoss(nn.Module):
    """Squared distance of features to the frozen copy's, averaged over images (and over patches, or a mask's pixels).

    Args (keyword):
        weight: factor of the term; 0 switches it and its forward off (`BoxRefiner` asks).
        on: of a transformer "cls" (after the final norm, the release) or "keys" (what the rule reads), of a segmenter
            "mask", of any other network "map".
        reduction: over channels, "sum" (the paper's formula) or "mean" (the release); a mask has one.
    """

    def __init__(self, *, weight: float, on: str, reduction: str):
        super().__init__()
        check_choice("REFINE.REG_ON", on, HELD)
        check_choice("REFINE.REG_REDUCTION", reduction, ("sum", "mean"))
        self.weight = weight
        self.on = on
        self.reduction = reduction

    def held(self, reading: Reading) -> Tensor:
        """What of a reading is held: (B, C) of CLS, (B, N, C) of N keys, (B, h, w, C) of a mask or map."""
        return HELD[self.on](reading)

    def forward(self, reading: Reading, reference: Tensor) -> Tensor:
        """The weighted term, from f's reading and what is held of the frozen copy's."""
        squared = (self.held(reading) - reference).square()
        over_channels = squared.sum(-1) if self.reduction == "sum" else squared.mean(-1)
        return self.weight * over_channels.mean()
