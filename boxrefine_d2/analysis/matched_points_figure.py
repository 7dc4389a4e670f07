"""The picture of matched points: both photographs side by side, one row for every K."""

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from .figures import INK, encode
from .matched_points import MatchedPoints, Points

_GAP = 0.04  # between the photographs, in units of their height
_ROW = 4.2  # height of a row, inches
_DPI = 120
_VEIL = 0.6  # opacity of the white over what is not matched


def draw_matched_points(found: MatchedPoints, suffix: str = ".png") -> bytes:
    """A figure, as `encode` gives it; equal matches give equal bytes.

    A pair has the colour of its place in the first photograph.
    """
    left, right = (points.image_size[1] / points.image_size[0] for points in (found.a, found.b))
    width, rows = left + _GAP + right, len(found.buddies)
    figure = Figure(figsize=(_ROW * width, (_ROW + 0.35) * rows), dpi=_DPI, layout="constrained")
    panels = figure.subplots(rows, 1, squeeze=False)[:, 0]
    colours = _colours(found.a)
    for axes, (k, buddies) in zip(panels, found.buddies.items(), strict=True):
        starts = _photograph(axes, found.a, 0.0)
        ends = _photograph(axes, found.b, left + _GAP)
        one, other = buddies.pairs.T.numpy()
        lines = list(np.stack([starts[one], ends[other]], axis=1))
        axes.add_collection(LineCollection(lines, colors=colours[one], linewidths=0.8, alpha=0.45))
        for places in (starts[one], ends[other]):
            axes.scatter(
                *places.T, s=22, c=colours[one], edgecolors="white", linewidths=0.7, zorder=3
            )
        axes.set(xlim=(0, width), ylim=(1, 0), aspect="equal")
        axes.set_axis_off()
        axes.set_title(f"K = {k}: {len(buddies)} pairs", fontsize=12, color=INK, loc="left")
    return encode(figure, suffix)


def _photograph(axes: Axes, points: Points, x: float) -> np.ndarray:
    """Draws one, 1 high, from `x` to the right; (n, 2) where its points are."""
    height, width = points.image_size
    picture = points.picture / 255
    picture = np.where(points.foreground[..., None], picture, _VEIL + (1 - _VEIL) * picture)
    axes.imshow(picture, extent=(x, x + width / height, 1, 0))
    return points.centres / height + (x, 0)


def _colours(points: Points) -> np.ndarray:
    """(n, 4) RGBA, around the middle of the points: their direction is the hue."""
    x, y = (points.centres - points.centres.mean(axis=0)).T
    colours: np.ndarray = colormaps["hsv"](np.arctan2(y, x) / (2 * np.pi) % 1)
    return colours
