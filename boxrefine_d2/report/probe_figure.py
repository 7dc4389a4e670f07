"""Figure of a probe: the boxes, first principal components and norms of each image.

Boxes are XYXY, half-open, in pixels of the network's input.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib import colormaps
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from boxrefine_d2.structures import FeatureMap, PseudoBoxes

PANEL = (280, 210)  # largest width and height of a panel, pixels
CAPTION, GAP, LETTERS = 18, 6, 12  # pixels
TITLES = ("boxes of the rule", "components 1, 2, 3 as colours", "component 1", "norm of the cells")
_BACKGROUND, _INK = (255, 255, 255), (30, 30, 30)
_CASING, _STROKE = (
    (255, 255, 255),
    (213, 94, 0),
)  # the colours of boxes in the report: readable on any image
_TAILS = (0.01, 0.99)  # quantiles; values beyond are clipped, so single cells do not set the scale


@dataclass(frozen=True)
class ProbedImage:
    """An image with the map that the rule read and the boxes that it drew.

    Attributes:
        image: (3, H, W) in [0, 255].
        features: map of this image alone.
    """

    name: str
    image: Tensor
    features: FeatureMap
    boxes: PseudoBoxes


def draw(images: Sequence[ProbedImage]) -> Image.Image:
    """Draw one row per image with four panels, the image and three maps, and boxes on each."""
    width = len(TITLES) * (PANEL[0] + GAP) + GAP
    height = CAPTION + len(images) * (PANEL[1] + CAPTION + GAP)
    sheet = Image.new("RGB", (width, height), _BACKGROUND)
    writer = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(LETTERS)
    for column, title in enumerate(TITLES):
        writer.text((GAP + column * (PANEL[0] + GAP), 2), title, fill=_INK, font=font)
    for row, probed in enumerate(images):
        top = CAPTION + row * (PANEL[1] + CAPTION + GAP)
        for column, panel in enumerate(_panels(probed)):
            sheet.paste(panel, (GAP + column * (PANEL[0] + GAP), top))
        writer.text((GAP, top + PANEL[1] + 2), probed.name, fill=_INK, font=font)
    return sheet


def principal_components(features: FeatureMap, count: int = 3) -> np.ndarray:
    """Return the first principal components of the cells of one image, (count, h, w).

    The sign is such that the value furthest from 0 is positive. A component is 0 if the map has too
    few channels for it.
    """
    cells = features.tokens()[0].double().cpu()
    cells = cells - cells.mean(dim=0)
    _, directions = torch.linalg.eigh(cells.T @ cells)
    projected = cells @ directions.flip(1)[:, :count]
    furthest = projected.gather(0, projected.abs().argmax(dim=0, keepdim=True))
    projected = torch.nn.functional.pad(
        projected * furthest.sign(), (0, count - projected.shape[1])
    )
    return projected.T.reshape(count, *features.grid_size).numpy()


def scaled(values: np.ndarray) -> np.ndarray:
    """Scale (h, w) to [0, 1] with clipped tails; all 0 if the values are constant."""
    low, high = np.quantile(values, _TAILS)
    return np.clip((values - low) / (high - low), 0, 1) if high > low else np.zeros_like(values)


def _panels(probed: ProbedImage) -> list[Image.Image]:
    photo = Image.fromarray(probed.image.permute(1, 2, 0).to(torch.uint8).cpu().numpy())
    photo.thumbnail(PANEL, Image.Resampling.LANCZOS)
    components = principal_components(probed.features)
    norms = probed.features.data[0].float().norm(dim=0).cpu().numpy()
    maps = [
        np.stack([scaled(component) for component in components], axis=2),
        colormaps["viridis"](scaled(components[0]))[..., :3],
        colormaps["viridis"](scaled(norms))[..., :3],
    ]
    panels = [photo, *(_as_image(cells, probed, photo.size) for cells in maps)]
    for panel in panels:
        _draw_boxes(panel, probed)
    return panels


def _as_image(cells: np.ndarray, probed: ProbedImage, size: tuple[int, int]) -> Image.Image:
    """Return (h, w, 3) in [0, 1] at the size of the photo, without the cells of the padding."""
    height, width = probed.image.shape[1:]
    (h, w), (sy, sx) = probed.features.grid_size, probed.features.strides
    image = Image.fromarray((255 * cells).round().astype(np.uint8))
    visible = (0, 0, width / (w * sx) * w, height / (h * sy) * h)
    return image.resize(size, Image.Resampling.NEAREST, box=visible)


def _draw_boxes(panel: Image.Image, probed: ProbedImage) -> None:
    height, width = probed.boxes.input_size
    scale = torch.tensor([panel.width / width, panel.height / height] * 2)
    pen = ImageDraw.Draw(panel)
    for x1, y1, x2, y2 in (probed.boxes.boxes * scale).tolist():
        # a half-open box ends before its second corner
        corners = (x1, y1, max(x1, x2 - 1), max(y1, y2 - 1))
        pen.rectangle(corners, outline=_CASING, width=4)
        pen.rectangle(corners, outline=_STROKE, width=2)
