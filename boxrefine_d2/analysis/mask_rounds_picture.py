"""MaskCut's masks after 1, 2, ... rounds, and beside them what a detector found on the same picture."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from pycocotools import mask as mask_codec

from boxrefine_d2.data import PseudoLabels
from boxrefine_d2.data.images import SCENES_PREFIX
from boxrefine_d2.errors import UserError
from boxrefine_d2.files.image_names import DIFFERENT, compare_names
from boxrefine_d2.structures.segmentation import checked_rle

from .figures import COLOURS, INK, draw_box, encode

SHOWN_SIDE = 800  # longest side of a picture in its panel, pixels; finer detail is left out
_TINT = 0.45  # opacity of a mask
_DPI = 120

Annotation = dict[str, Any]


def detections_of(
    labels: PseudoLabels, image: str, file: str | os.PathLike[str]
) -> list[Annotation]:
    """The annotations of one picture in a pseudo-label file, the best first.

    Args: image: the path of the picture, or a scene; the file knows the end of it.  file: for the error.
    Raises: UserError if the file does not list it.
    """
    place = Path(os.path.abspath(image.removeprefix(SCENES_PREFIX))).as_posix()
    listed = [
        entry for entry in labels.images if compare_names(entry["file_name"], place) != DIFFERENT
    ]
    if not listed:
        known = ", ".join(entry["file_name"] for entry in labels.images[:3])
        raise UserError(
            f"{os.fspath(file)!r} does not list {image!r}; its {len(labels.images)} images begin with {known}"
        )
    # of "a.jpg" and "cats/a.jpg" the longer name says more
    image_id = max(listed, key=lambda entry: len(entry["file_name"]))["id"]
    found = [entry for entry in labels.annotations if entry["image_id"] == image_id]
    return sorted(found, key=lambda entry: -entry.get("score", 1.0))


def draw_mask_rounds(
    picture: np.ndarray,
    rounds: Sequence[np.ndarray],
    detections: Sequence[Annotation] | None = None,
    title: str = "",
    suffix: str = ".png",
) -> bytes:
    """A figure, as `encode` gives it, of one panel a round, and one of the detections if they are given; equal masks have equal colours.

    Args:
        picture: (H, W, 3) uint8.
        rounds: (N, H, W) bool for every number of rounds, from 1.
        detections: entries of a pseudo-label file.  title: of their panel.
    Raises: UserError for a detection whose mask does not fit the picture.
    """
    height, width = picture.shape[:2]
    panels = len(rounds) + (detections is not None)
    figure = Figure(
        figsize=(3.4 * panels, 3.4 * height / width + 0.3), dpi=_DPI, layout="constrained"
    )
    axes = figure.subplots(1, panels, squeeze=False)[0]
    for number, masks in enumerate(rounds, start=1):
        _panel(axes[number - 1], picture, list(masks), f"N = {number}, masks: {len(masks)}")
    if detections is not None:
        found = [_mask(entry, (height, width)) for entry in detections]
        _panel(axes[-1], picture, found, title or f"detector: {len(detections)}")
        for number, entry in enumerate(detections):
            draw_box(axes[-1], entry["bbox"], COLOURS[number % len(COLOURS)])
    return encode(figure, suffix)


def _mask(entry: Annotation, size: tuple[int, int]) -> np.ndarray | None:
    """(H, W) bool; None of a detection that is a box alone."""
    if not entry.get("segmentation"):
        return None
    try:
        mask: np.ndarray = mask_codec.decode(checked_rle(entry["segmentation"], size)).astype(bool)
        return mask
    except ValueError as error:
        raise UserError(f"annotation {entry.get('id')!r} of the detections: {error}") from error


def _panel(axes: Axes, picture: np.ndarray, masks: Sequence[np.ndarray | None], title: str) -> None:
    """The picture with tinted, outlined masks; later ones lie on top."""
    height, width = picture.shape[:2]
    step = -(-max(height, width) // SHOWN_SIDE)
    shown = picture[::step, ::step] / 255
    rows, columns = (step * (np.arange(side) + 0.5) for side in shown.shape[:2])
    for number, mask in enumerate(masks):
        if mask is None or not mask[::step, ::step].any():
            continue
        colour, covered = COLOURS[number % len(COLOURS)], mask[::step, ::step]
        shown[covered] = (1 - _TINT) * shown[covered] + _TINT * np.array(to_rgb(colour))
        # framed, so that an outline at the border is closed
        framed = np.pad(covered, 1).astype(float)
        places = (np.pad(side, 1, mode="edge") for side in (columns, rows))
        axes.contour(*places, framed, levels=[0.5], colors=[colour], linewidths=1.5)
    axes.imshow(shown, extent=(0, width, height, 0))
    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.set_axis_off()
    axes.set_title(title, fontsize=11, color=INK, loc="left")
