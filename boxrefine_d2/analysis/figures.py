"""Pictures of matplotlib's as files."""

import io

from matplotlib.figure import Figure


def png_of(figure: Figure) -> bytes:
    """A PNG without matplotlib's version in it: equal figures give equal bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
