"""Random changes of an image's brightness, contrast and saturation."""

from dataclasses import dataclass

import torch
from detectron2.config import CfgNode
from PIL import Image
from torchvision.transforms import functional as TF

Range = tuple[float, float]
OFF: Range = (1.0, 1.0)


@dataclass(frozen=True)
class ColourJitter:
    """Three factors, each drawn evenly from its range; a factor of 1 changes nothing.

    Attributes:
        brightness: range of the factor of all values.
        contrast: range of the factor of differences to the mean grey.
        saturation: range of the factor of differences to the grey of the pixel.
    """

    brightness: Range = OFF
    contrast: Range = OFF
    saturation: Range = OFF

    @classmethod
    def from_config(cls, cfg: CfgNode) -> "ColourJitter":
        """Return the jitter of INPUT.COLOUR_JITTER."""
        node = cfg.INPUT.COLOUR_JITTER
        return cls(tuple(node.BRIGHTNESS), tuple(node.CONTRAST), tuple(node.SATURATION))

    @property
    def is_on(self) -> bool:
        """True if any image can change."""
        return (self.brightness, self.contrast, self.saturation) != (OFF, OFF, OFF)

    def __call__(self, image: Image.Image) -> Image.Image:
        """Return the changed image. The three draws are torch's; there are none if it is off."""
        if not self.is_on:
            return image
        for change, (least, most) in (
            (TF.adjust_contrast, self.contrast),
            (TF.adjust_brightness, self.brightness),
            (TF.adjust_saturation, self.saturation),
        ):
            image = change(image, least + (most - least) * float(torch.rand(())))
        return image


NO_JITTER = ColourJitter()
