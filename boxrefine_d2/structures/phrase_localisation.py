"""What a phrase names in a picture: where it was found, and the heatmap that says so.

Shapes: S x S pixels of the network's input.
"""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class PhraseLocalisation:
    """What a heatmap or a detector says of one query, in pixels of the original image.

    Attributes:
        point: (x, y) of the brightest pixel, or None without a heatmap.
        box: XYXY, the union of the boxes, or None.
        boxes: each of them, best first.
        score: of the best box, 0 without one.
    """

    point: tuple[int, int] | None
    box: tuple[float, ...] | None
    boxes: list[list[float]]
    score: float


@dataclass(frozen=True)
class DescribedObject:
    """What is where.

    Attributes:
        phrase: what.
        heatmap: (S, S) in [0, 1], of the squeezed picture.
        found: where.
        regions: how many regions of the picture were described so; 0 for a phrase that was given.
    """

    phrase: str
    heatmap: Tensor
    found: PhraseLocalisation
    regions: int = 0
