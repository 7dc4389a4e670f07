"""Figure of matched points: both images side by side, one row for every K."""

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from .figures import INK, encode
from .matched_points import MatchedPoints, Points

_GAP = 0.04  # between the images, in units of their height
_ROW = 4.2  # height of a row, inches
_DPI = 120
_VEIL = 0.6  # opacity of the white over cells that are not matched


def draw_matched_points(matches: MatchedPoints, suffix: str = ".png") -> bytes:
    """Return a figure of matched points as the bytes of a file; see `encode`.

    The colour of a pair shows its place in the first image. Equal matches give equal bytes.
    """
    left, right = (points.image_size[1] / points.image_size[0] for points in (matches.a, matches.b))
    width, rows = left + _GAP + right, len(matches.buddies)
    figure = Figure(figsize=(_ROW * width, (_ROW + 0.35) * rows), dpi=_DPI, layout="constrained")
    panels = figure.subplots(rows, 1, squeeze=False)[:, 0]
    colours = _colours(matches.a)
    for axes, (k, buddies) in zip(panels, matches.buddies.items(), strict=True):
        starts = _draw_image(axes, matches.a, 0.0)
        ends = _draw_image(axes, matches.b, left + _GAP)
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


def _draw_image(axes: Axes, points: Points, x: float) -> np.ndarray:
    """Draw an image of height 1 from `x` to the right; return the places (n, 2) of its points."""
    height, width = points.image_size
    image = points.image / 255
    image = np.where(points.foreground[..., None], image, _VEIL + (1 - _VEIL) * image)
    axes.imshow(image, extent=(x, x + width / height, 1, 0))
    return points.centres / height + (x, 0)


def _colours(points: Points) -> np.ndarray:
    """Return (n, 4) RGBA: the hue is the direction of a point from the middle of all points."""
    x, y = (points.centres - points.centres.mean(axis=0)).T
    colours: np.ndarray = colormaps["hsv"](np.arctan2(y, x) / (2 * np.pi) % 1)
    return colours
