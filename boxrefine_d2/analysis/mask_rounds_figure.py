"""Figure of MaskCut's masks after 1, 2, ... rounds, and of a detector's detections beside them."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from boxrefine_d2.data import PseudoLabels
from boxrefine_d2.data.images import without_base
from boxrefine_d2.errors import UserError
from boxrefine_d2.files.image_names import DIFFERENT, compare_names
from boxrefine_d2.masks.coding import decode_mask

from .figures import COLOURS, INK, draw_box, encode

SHOWN_SIDE = 800  # longest side of an image in its panel, pixels; finer detail is left out
_TINT = 0.45  # opacity of a mask
_DPI = 120

Annotation = dict[str, Any]


def detections_of(
    labels: PseudoLabels, image: str, file: str | os.PathLike[str]
) -> list[Annotation]:
    """Return the annotations of one image in a pseudo-label file, the best first.

    Args:
        labels: content of the file.
        image: path of the image, or a scene; the file may list the end of it.
        file: path of the file, for messages.
    Raises: UserError if the file does not list the image.
    """
    image_path = Path(os.path.abspath(without_base(image))).as_posix()
    listed = [
        entry
        for entry in labels.images
        if compare_names(entry["file_name"], image_path) != DIFFERENT
    ]
    if not listed:
        known = ", ".join(entry["file_name"] for entry in labels.images[:3])
        raise UserError(
            f"{os.fspath(file)!r} does not list {image!r}; "
            f"its {len(labels.images)} images begin with {known}"
        )
    # of "a.jpg" and "cats/a.jpg" the longer name is more specific
    image_id = max(listed, key=lambda entry: len(entry["file_name"]))["id"]
    entries = [entry for entry in labels.annotations if entry["image_id"] == image_id]
    return sorted(entries, key=lambda entry: -entry.get("score", 1.0))


def draw_mask_rounds(
    image: np.ndarray,
    rounds: Sequence[np.ndarray],
    detections: Sequence[Annotation] | None = None,
    title: str = "",
    suffix: str = ".png",
) -> bytes:
    """Return a figure with one panel per number of rounds as the bytes of a file; see `encode`.

    A last panel shows the detections, if they are given. Equal masks have equal colours.

    Args:
        image: (H, W, 3) uint8.
        rounds: (N, H, W) bool for every number of rounds, from 1.
        detections: entries of a pseudo-label file.
        title: title of the panel of the detections.
        suffix: format of the file, one of `FIGURE_SUFFIXES`.
    Raises: UserError for a detection whose mask does not fit the image.
    """
    height, width = image.shape[:2]
    panels = len(rounds) + (detections is not None)
    figure = Figure(
        figsize=(3.4 * panels, 3.4 * height / width + 0.3), dpi=_DPI, layout="constrained"
    )
    axes = figure.subplots(1, panels, squeeze=False)[0]
    for number, masks in enumerate(rounds, start=1):
        _panel(axes[number - 1], image, list(masks), f"N = {number}, masks: {len(masks)}")
    if detections is not None:
        masks_found = [_mask(entry, (height, width)) for entry in detections]
        _panel(axes[-1], image, masks_found, title or f"detector: {len(detections)}")
        for number, entry in enumerate(detections):
            draw_box(axes[-1], entry["bbox"], COLOURS[number % len(COLOURS)])
    return encode(figure, suffix)


def _mask(entry: Annotation, size: tuple[int, int]) -> np.ndarray | None:
    """Return the mask (H, W) bool of a detection; None for a detection without a mask."""
    if not entry.get("segmentation"):
        return None
    try:
        return decode_mask(entry["segmentation"], size)
    except ValueError as error:
        raise UserError(f"annotation {entry.get('id')!r} of the detections: {error}") from error


def _panel(axes: Axes, image: np.ndarray, masks: Sequence[np.ndarray | None], title: str) -> None:
    """Draw the image with tinted, outlined masks; later masks lie on top."""
    height, width = image.shape[:2]
    step = -(-max(height, width) // SHOWN_SIDE)
    shown = image[::step, ::step] / 255
    rows, columns = (step * (np.arange(side) + 0.5) for side in shown.shape[:2])
    for number, mask in enumerate(masks):
        if mask is None or not mask[::step, ::step].any():
            continue
        colour, covered = COLOURS[number % len(COLOURS)], mask[::step, ::step]
        shown[covered] = (1 - _TINT) * shown[covered] + _TINT * np.array(to_rgb(colour))
        # the frame closes an outline at the border of the image
        framed = np.pad(covered, 1).astype(float)
        places = (np.pad(side, 1, mode="edge") for side in (columns, rows))
        axes.contour(*places, framed, levels=[0.5], colors=[colour], linewidths=1.5)
    axes.imshow(shown, extent=(0, width, height, 0))
    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.set_axis_off()
    axes.set_title(title, fontsize=11, color=INK, loc="left")
