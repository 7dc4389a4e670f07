"""Answers to phrases: heatmaps of one image, and the points and boxes on them.

Shapes: S x S pixels of the input, H x W of the original image, P phrases, Q queries.
"""

from collections.abc import Callable, Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from boxrefine_d2.discovery.rule import DiscoveryRule
from boxrefine_d2.errors import UserError
from boxrefine_d2.structures import FeatureMap, PhraseLocalisation, PseudoBoxes, union_box

# (index of an image in the batch, P phrases) -> heatmaps (P, 1, S, S)
Drawer = Callable[[int, list[str]], Tensor]

PAIRS_AT_ONCE = 32  # heatmaps that a drawer makes in one call
# difference to the largest value below which a pixel counts as equally bright. At a border,
# resizing repeats a value with a rounding error
_TIE = 1e-6


def averaged_heatmaps(queries: Sequence[Sequence[Sequence[str]]], draw: Drawer) -> list[Tensor]:
    """Return the heatmap of each query, (Q, S, S) per image: the mean over its phrasings.

    Args:
        queries: queries of each image, each one or more phrasings.
        draw: drawer. Each call is for one image, with at most `PAIRS_AT_ONCE` phrases.
    """
    return [
        _averaged(phrasings, draw, number) if phrasings else torch.zeros(0, 0, 0)
        for number, phrasings in enumerate(queries)
    ]


def _averaged(queries: Sequence[Sequence[str]], draw: Drawer, number: int) -> Tensor:
    """Return the averaged heatmaps of one image, (Q, S, S), Q >= 1."""
    phrases = [text for texts in queries for text in texts]
    maps = torch.cat([draw(number, part) for part in _parts(phrases)])[:, 0]
    maps_of_queries = maps.split([len(texts) for texts in queries])
    return torch.stack([each.mean(dim=0) for each in maps_of_queries])


def _parts(phrases: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(phrases), PAIRS_AT_ONCE):
        yield phrases[start : start + PAIRS_AT_ONCE]


def found_in_heatmaps(
    heatmaps: Tensor, rule: DiscoveryRule, size: tuple[int, int]
) -> list[PhraseLocalisation]:
    """Return points and boxes of the heatmaps (Q, S, S) of one image of (H, W).

    Raises: UserError for a heatmap that is not finite; its brightest pixel would always be the
        first one.
    """
    if not len(heatmaps):
        return []
    if not heatmaps.isfinite().all():
        raise UserError(
            "a heatmap holds numbers that are not finite: the weights of MODEL.HEATMAP or "
            "MODEL.CLIP are damaged; use other files"
        )
    side = (heatmaps.shape[1], heatmaps.shape[2])
    maps = FeatureMap(heatmaps[:, None], 1, [side] * len(heatmaps), "heatmap")
    points = brightest_pixels(heatmaps, size)
    return [
        PhraseLocalisation(point, *_boxes(boxes.resized(size)))
        for point, boxes in zip(points, rule(maps), strict=True)
    ]


def found_by_detector(boxes: PseudoBoxes, size: tuple[int, int]) -> PhraseLocalisation:
    """Return the union of a detector's boxes, without a point."""
    return PhraseLocalisation(None, *_boxes(boxes.resized(size)))


def brightest_pixels(heatmaps: Tensor, size: tuple[int, int]) -> list[tuple[int, int]]:
    """Return the brightest pixel (x, y) of each heatmap, (S, S) in [0, 1].

    It is the first maximum in raster order after bilinear resizing to (H, W), as OpenCV does it.
    """
    resized = F.interpolate(
        heatmaps[:, None].float(), size=size, mode="bilinear", align_corners=False
    )
    pixels = resized.flatten(1)
    ties = pixels >= pixels.amax(dim=1, keepdim=True) - _TIE
    places = ties.byte().argmax(dim=1).tolist()
    return [(place % size[1], place // size[1]) for place in places]


def _boxes(pseudo_boxes: PseudoBoxes) -> tuple[tuple[float, ...] | None, list[list[float]], float]:
    """Return the union of the boxes, each box, and the best score."""
    if not len(pseudo_boxes):
        return None, [], 0.0
    union = union_box(pseudo_boxes.boxes)
    return tuple(union.tolist()), pseudo_boxes.boxes.tolist(), float(pseudo_boxes.scores.max())
