"""Phrases asked of one image, their heatmaps one by one, and what is read off a heatmap.

Shapes: S x S pixels of the input, H x W of the original image, P phrases, Q queries.
"""

from collections.abc import Callable, Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from boxrefine_d2.discovery.rule import DiscoveryRule
from boxrefine_d2.errors import UserError
from boxrefine_d2.structures import FeatureMap, PhraseLocalisation, PseudoBoxes, union_box

# (P, 1, S, S) of the number of an image in the batch and P phrases of it
Drawer = Callable[[int, list[str]], Tensor]

PAIRS_AT_ONCE = 32  # heatmaps asked of a drawer in one call
# of the largest value: pixels nearer to it are as bright. At a border resizing repeats a value but for its rounding
_TIE = 1e-6


def averaged_heatmaps(queries: Sequence[Sequence[Sequence[str]]], draw: Drawer) -> list[Tensor]:
    """(Q, S, S) an image: of each query the mean over its phrasings.

    Args:
        queries: of each image the queries, each one or more phrasings.
        draw: it is asked image by image, for at most `PAIRS_AT_ONCE` phrases.
    """
    return [
        _averaged(of, draw, number) if of else torch.zeros(0, 0, 0)
        for number, of in enumerate(queries)
    ]


def _averaged(queries: Sequence[Sequence[str]], draw: Drawer, number: int) -> Tensor:
    """(Q, S, S) of one image, Q >= 1."""
    phrases = [text for texts in queries for text in texts]
    maps = torch.cat([draw(number, part) for part in _parts(phrases)])[:, 0]
    of_queries = maps.split([len(texts) for texts in queries])
    return torch.stack([of.mean(dim=0) for of in of_queries])


def _parts(phrases: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(phrases), PAIRS_AT_ONCE):
        yield phrases[start : start + PAIRS_AT_ONCE]


def found_in_heatmaps(
    heatmaps: Tensor, rule: DiscoveryRule, size: tuple[int, int]
) -> list[PhraseLocalisation]:
    """Points and boxes of (Q, S, S) heatmaps of one image of (H, W).

    Raises: UserError for a heatmap that is not finite: its brightest pixel would be the first one.
    """
    if not len(heatmaps):
        return []
    if not heatmaps.isfinite().all():
        raise UserError(
            "a heatmap holds numbers that are not finite: the weights of MODEL.HEATMAP or MODEL.CLIP are damaged"
        )
    side = (heatmaps.shape[1], heatmaps.shape[2])
    maps = FeatureMap(heatmaps[:, None], 1, [side] * len(heatmaps), "heatmap")
    points = brightest_pixels(heatmaps, size)
    return [
        PhraseLocalisation(point, *_boxes(boxes.resized(size)))
        for point, boxes in zip(points, rule(maps), strict=True)
    ]


def found_by_detector(boxes: PseudoBoxes, size: tuple[int, int]) -> PhraseLocalisation:
    """The union of a detector's boxes; it points nowhere."""
    return PhraseLocalisation(None, *_boxes(boxes.resized(size)))


def brightest_pixels(heatmaps: Tensor, size: tuple[int, int]) -> list[tuple[int, int]]:
    """(x, y) of the first maximum in raster order of each (S, S) heatmap, in [0, 1], resized to (H, W), bilinear as
    OpenCV's."""
    resized = F.interpolate(
        heatmaps[:, None].float(), size=size, mode="bilinear", align_corners=False
    )
    pixels = resized.flatten(1)
    ties = pixels >= pixels.amax(dim=1, keepdim=True) - _TIE
    places = ties.byte().argmax(dim=1).tolist()
    return [(place % size[1], place // size[1]) for place in places]


def _boxes(found: PseudoBoxes) -> tuple[tuple[float, ...] | None, list[list[float]], float]:
    """Their union, each of them, and the best score."""
    if not len(found):
        return None, [], 0.0
    union = union_box(found.boxes)
    return tuple(union.tolist()), found.boxes.tolist(), float(found.scores.max())
