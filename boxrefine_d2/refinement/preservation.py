"""Loss that keeps f near its frozen copy: ||f(I) - f^h(I)||^2 (ICCV 2023 paper)."""

from collections.abc import Callable

from torch import Tensor, nn

from boxrefine_d2.errors import check_choice
from boxrefine_d2.networks.map_network import Reading

# name of the compared features -> those features of a reading, (B, ..., channels)
HELD: dict[str, Callable[[Reading], Tensor]] = {
    "cls": lambda reading: reading.tokens.cls,
    "keys": lambda reading: reading.tokens.qkv[:, 1, 1:],
    "mask": lambda reading: reading.map.data.movedim(1, -1),
    "map": lambda reading: reading.map.data.movedim(1, -1),
}


class PreservationLoss(nn.Module):
    """Squared distance of features to the frozen copy's, averaged over images.

    It is also averaged over patches, or over the pixels of a mask.

    Args (keyword):
        weight: factor of the term. With 0, `BoxRefiner` skips the term and its forward pass.
        on: features that are compared. Of a transformer: "cls" (after the final norm, as in the
            release) or "keys" (which the rule reads). Of a segmenter: "mask". Of any other
            network: "map".
        reduction: reduction over channels, "sum" (the paper's formula) or "mean" (the release).
            A mask has one channel.
    """

    def __init__(self, *, weight: float, on: str, reduction: str):
        super().__init__()
        check_choice("REFINE.REG_ON", on, HELD)
        check_choice("REFINE.REG_REDUCTION", reduction, ("sum", "mean"))
        self.weight = weight
        self.on = on
        self.reduction = reduction

    def held(self, reading: Reading) -> Tensor:
        """Return the compared features of a reading.

        Returns: (B, C) of CLS, (B, N, C) of N keys, or (B, h, w, C) of a mask or map.
        """
        return HELD[self.on](reading)

    def forward(self, reading: Reading, reference: Tensor) -> Tensor:
        """Return the weighted term.

        Args:
            reading: f's reading.
            reference: result of `held` for the frozen copy's reading.
        """
        squared = (self.held(reading) - reference).square()
        over_channels = squared.sum(-1) if self.reduction == "sum" else squared.mean(-1)
        return self.weight * over_channels.mean()
