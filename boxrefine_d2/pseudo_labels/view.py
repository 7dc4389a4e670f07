"""Views of an image for the network: mirrored, at another scale, or the centre of the image."""

import re
from dataclasses import dataclass
from typing import Any

from boxrefine_d2.data.mappers import SqueezedImageMapper, WholeImageMapper
from boxrefine_d2.data.mappers.whole_image import resized_sample
from boxrefine_d2.errors import UserError
from boxrefine_d2.structures import Window

WHOLE = "whole"
FORMS = f"{WHOLE}, mirrored, scale:F or crop:F"
MAX_SCALE = 8.0  # a larger factor is a slip; the similarities grow with its fourth power


@dataclass(frozen=True)
class View:
    """A way to show an image to the network.

    Attributes:
        mirrored: whether left and right are exchanged.
        scale: factor of the input's sides, after every limit of the input's size.
        crop: share of each side that is shown, around the centre.
    """

    mirrored: bool = False
    scale: float = 1.0
    crop: float = 1.0

    @classmethod
    def parse(cls, text: str) -> "View":
        """Return the view of a text: "whole", "mirrored", "scale:0.75" or "crop:0.8".

        Raises: UserError for another text, and for a factor outside its range.
        """
        if text in (WHOLE, "mirrored"):
            return cls(mirrored=text == "mirrored")
        match = re.fullmatch(r"(scale|crop):(\d+\.?\d*|\.\d+)", text, re.ASCII)
        if match is None:
            raise UserError(f"view {text[:200]!r} is unknown; known: {FORMS}, F a number")
        kind, factor = match[1], float(match[2])
        most = MAX_SCALE if kind == "scale" else 1.0
        if not 0 < factor <= most:
            raise UserError(f"view {text!r}: F must be above 0 and at most {most:g}")
        return cls(scale=factor) if kind == "scale" else cls(crop=factor)

    def __str__(self) -> str:
        """Return the text that `parse` reads, in one spelling per view."""
        if self.mirrored:
            return "mirrored"
        if self.scale != 1:
            return f"scale:{self.scale:g}"
        return f"crop:{self.crop:g}" if self.crop != 1 else WHOLE

    def window(self, image_size: tuple[int, int]) -> Window:
        """Return the part of an image that the view shows. Args: image_size: (H, W) in pixels."""
        height, width = (max(1, round(self.crop * side)) for side in image_size)
        top, left = (image_size[0] - height) // 2, (image_size[1] - width) // 2
        return Window(top, left, (height, width), self.mirrored)


class ViewMapper:
    """Test input: a view of an image, at the size that another mapper gives to the window."""

    def __init__(self, mapper: WholeImageMapper | SqueezedImageMapper, view: View):
        """Create the mapper. Args: mapper: mapper of whole images."""
        self.mapper, self.view = mapper, view

    def input_size(self, height: int, width: int) -> tuple[int, int]:
        """Return (H, W) of the input for an image of this size in pixels."""
        sides = self.mapper.input_size(*self.view.window((height, width)).size)
        rows, columns = (max(1, round(self.view.scale * side)) for side in sides)
        return rows, columns

    def __call__(self, record: dict[str, Any]) -> dict[str, Any]:
        """Return the input that `ImageMapper` documents, with its "window" of the image."""
        return resized_sample(record, self.input_size, self.mapper.filter, self.view.window)
