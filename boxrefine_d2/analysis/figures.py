"""Shared parts of the figures that matplotlib draws: colours, boxes, files."""

import io
import logging
import warnings
from collections.abc import Sequence
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text

# colours of Okabe and Ito: distinct for all readers
COLOURS = ("#d55e00", "#0072b2", "#f0e442", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
INK, CASING = "#1b1f24", "white"

_JPEG: dict[str, Any] = {"format": "jpeg", "pil_kwargs": {"quality": 92}}
# Suffix of a file -> format and options. Without versions and dates equal figures give equal bytes.
_FORMATS: dict[str, dict[str, Any]] = {
    ".png": {"format": "png", "metadata": {"Software": None}},
    ".jpg": _JPEG,
    ".jpeg": _JPEG,
    ".webp": {"format": "webp", "pil_kwargs": {"quality": 92}},
    ".svg": {"format": "svg", "metadata": {"Date": None, "Creator": None}},
    ".pdf": {
        "format": "pdf",
        "metadata": {"Creator": None, "Producer": None, "CreationDate": None},
    },
}
FIGURE_SUFFIXES = tuple(_FORMATS)
FIGURE_HELP = f"the suffix decides the format: {', '.join(FIGURE_SUFFIXES)}"
_MOST_INCHES, _MOST_PIXELS = 1000, 16_000  # longest side; WebP allows 16 383 pixels

logger = logging.getLogger(__name__)


def draw_box(axes: Axes, bbox: Sequence[float], colour: str) -> None:
    """Draw the box [x, y, w, h], readable on any image."""
    x, y, w, h = bbox
    for line, stroke in ((CASING, 3.5), (colour, 1.8)):
        axes.add_patch(Rectangle((x, y), w, h, fill=False, edgecolor=line, linewidth=stroke))


def encode(figure: Figure, suffix: str = ".png") -> bytes:
    """Return a figure as the bytes of a file; equal figures give equal bytes.

    A ``$`` in a text is drawn as ``$`` and starts no formula. A figure that is too large for its
    format is drawn smaller.

    Args:
        figure: the figure.
        suffix: one of `FIGURE_SUFFIXES`, in any case; it decides the format.
    """
    for text in figure.findobj(Text):
        text.set_parse_math(False)
    size = [min(side, _MOST_INCHES) for side in figure.get_size_inches()]
    figure.set_size_inches(*size)
    dpi = min(figure.dpi, _MOST_PIXELS / max(size))
    buffer = io.BytesIO()
    with (
        rc_context({"svg.hashsalt": "boxrefine_d2"}),
        warnings.catch_warnings(record=True) as caught,
    ):
        warnings.simplefilter("always")
        figure.savefig(buffer, dpi=dpi, **_FORMATS[suffix.lower()])
    if any("Glyph" in str(warning.message) for warning in caught):
        logger.warning("the font of figures lacks some characters; boxes stand for them")
    return buffer.getvalue()
