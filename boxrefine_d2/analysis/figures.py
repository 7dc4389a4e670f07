"""What the pictures that matplotlib draws share: colours, boxes, files."""

import io
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

# of Okabe and Ito: distinct for all readers
COLOURS = ("#d55e00", "#0072b2", "#f0e442", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
INK, CASING = "#1b1f24", "white"


def draw_box(axes: Axes, bbox: Sequence[float], colour: str) -> None:
    """[x, y, w, h], readable on any picture."""
    x, y, w, h = bbox
    for line, stroke in ((CASING, 3.5), (colour, 1.8)):
        axes.add_patch(Rectangle((x, y), w, h, fill=False, edgecolor=line, linewidth=stroke))


def png_of(figure: Figure) -> bytes:
    """A PNG without matplotlib's version in it: equal figures give equal bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
