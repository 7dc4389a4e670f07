"""Phrases asked of one image, their heatmaps one by one, and what is read off a heatmap.

Shapes: S x S pixels of the input, H x W of the original image, P pairs of an image and a phrase.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from boxrefine_d2.discovery.build import Rule
from boxrefine_d2.structures import FeatureMap, Found, PseudoBoxes, union_box

PAIRS_AT_ONCE = 32  # heatmaps drawn in one forward
# of the largest value: pixels nearer to it are as bright. At a border resizing repeats a value but for its rounding
_TIE = 1e-6


def averaged_heatmaps(
    queries: Sequence[Sequence[Sequence[str]]],
    draw: Callable[[list[int], list[str]], Tensor],
) -> list[Tensor]:
    """(Q, S, S) an image: of each query the mean over its phrasings.

    Args:
        queries: of each image the queries, each one or more phrasings.
        draw: (P, 1, S, S) of P images by number and as many phrases; it is given at most `PAIRS_AT_ONCE`.
    """
    pairs = [(i, text) for i, of in enumerate(queries) for texts in of for text in texts]
    drawn = [draw([i for i, _ in part], [text for _, text in part]) for part in _parts(pairs)]
    maps = iter(torch.cat(drawn)[:, 0] if drawn else ())
    return [
        torch.stack([torch.stack([next(maps) for _ in texts]).mean(dim=0) for texts in of])
        if of
        else torch.zeros(0, 0, 0)
        for of in queries
    ]


def _parts(pairs: list[Any]) -> Iterator[list[Any]]:
    for start in range(0, len(pairs), PAIRS_AT_ONCE):
        yield pairs[start : start + PAIRS_AT_ONCE]


def found_in_heatmaps(heatmaps: Tensor, rule: Rule, size: tuple[int, int]) -> list[Found]:
    """Points and boxes of (Q, S, S) heatmaps of one image of (H, W)."""
    if not len(heatmaps):
        return []
    side = tuple(heatmaps.shape[1:])
    maps = FeatureMap(heatmaps[:, None], 1, [side] * len(heatmaps), "heatmap")
    points = brightest_pixels(heatmaps, size)
    return [
        Found(point, *_boxes(boxes.resized(size)))
        for point, boxes in zip(points, rule(maps), strict=True)
    ]


def found_by_detector(boxes: PseudoBoxes, size: tuple[int, int]) -> Found:
    """The union of a detector's boxes; it points nowhere."""
    return Found(None, *_boxes(boxes.resized(size)))


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
