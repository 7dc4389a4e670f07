"""Localisations of phrases in an image, and their heatmaps.

Shapes: S x S pixels of the network's input.
"""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class PhraseLocalisation:
    """Localisation of one phrase by a heatmap or a detector, in pixels of the original image.

    Attributes:
        point: (x, y) of the brightest pixel, or None without a heatmap.
        box: XYXY union of the boxes, or None without a box.
        boxes: XYXY boxes, best first.
        score: score of the best box; 0 without a box.
    """

    point: tuple[int, int] | None
    box: tuple[float, ...] | None
    boxes: list[list[float]]
    score: float


@dataclass(frozen=True)
class DescribedObject:
    """A phrase together with its localisation in an image.

    Attributes:
        phrase: the phrase.
        heatmap: (S, S) in [0, 1], over the image squeezed to a square.
        found: localisation of the phrase.
        regions: number of image regions that the captioner described by this phrase; 0 for a phrase
            that the user gave.
    """

    phrase: str
    heatmap: Tensor
    found: PhraseLocalisation
    regions: int = 0
