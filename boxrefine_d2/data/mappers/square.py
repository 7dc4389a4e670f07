"""Training input: a square crop of an image, with its boxes."""

from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode, configurable
from PIL import Image
from torchvision.ops import clip_boxes_to_image, remove_small_boxes
from torchvision.transforms import InterpolationMode, RandomResizedCrop
from torchvision.transforms import functional as TF

from boxrefine_d2.structures import normalise

from ..images import CachedReader, read_image
from .draws import torch_draws
from .whole_image import image_tensor


class SquareMapper:
    """Training input: a random crop squeezed to a square, perhaps mirrored (release: area 0.9-1, aspect 3/4-4/3).

    What is drawn depends on the seed and the position in the stream of samples alone, never on workers or ranks.
    """

    @configurable
    def __init__(
        self,
        *,
        size: int,
        crop_area: tuple[float, ...],
        crop_aspect: tuple[float, float],
        flip: bool,
        seed: int,
        cache_bytes: float = 0.0,
        with_boxes: bool = False,
        interpolation: InterpolationMode = InterpolationMode.BICUBIC,
    ):
        """Args:
        crop_area: range of shares of the image; empty: the whole image is squeezed.
        with_boxes: the record's annotations come along as "target_boxes".
        """
        # what never changes is kept squeezed, which costs most of the time and holds the fewest bytes
        self._read = CachedReader(cache_bytes, read_image if crop_area else self._squeezed)
        self.size = size
        self.crop_area = crop_area
        self.crop_aspect = crop_aspect
        self.flip = flip
        self.seed = seed
        self.with_boxes = with_boxes
        self.interpolation = interpolation

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """The settings under INPUT."""
        return {
            "size": cfg.INPUT.SQUARE_SIZE,
            "crop_area": tuple(cfg.INPUT.CROP_AREA),
            "crop_aspect": tuple(cfg.INPUT.CROP_ASPECT),
            "flip": cfg.INPUT.RANDOM_FLIP == "horizontal",
            "seed": cfg.SEED,
            "cache_bytes": cfg.INPUT.CACHE_GIB * 2**30,
            "with_boxes": cfg.REFINE.TARGETS == "annotations",
        }

    def __call__(self, record: dict[str, Any], position: int) -> dict[str, Any]:
        """{"image" (3, S, S) uint8, "file_name", "image_id"[, "input_key"][, "target_boxes"]}.

        The key names an input that recurs; the boxes are (M, 4) normalised (cx, cy, w, h) of what of them is seen.

        Raises: ImageReadError for a bad file.
        """
        picture = Image.fromarray(self._read(record["file_name"]))
        sample = {"file_name": record["file_name"], "image_id": record["image_id"]}
        with torch_draws(np.random.SeedSequence([self.seed, position])):
            if self.crop_area:
                box = RandomResizedCrop.get_params(picture, self.crop_area, self.crop_aspect)
                picture = self._squeeze(picture, box)
            else:
                box = (0, 0, record["height"], record["width"])
            mirrored = self.flip and bool(torch.rand(()) < 0.5)
        if mirrored:
            picture = TF.hflip(picture)
        if self.with_boxes:
            sample["target_boxes"] = _seen_boxes(record["annotations"], box, mirrored)
        if not self.crop_area:
            sample["input_key"] = (record["file_name"], mirrored)
        return sample | {"image": image_tensor(np.array(picture))}

    def _squeezed(self, path: str) -> np.ndarray:
        picture = Image.fromarray(read_image(path))
        return np.array(self._squeeze(picture, (0, 0, picture.height, picture.width)))

    def _squeeze(self, picture: Image.Image, box: tuple[int, int, int, int]) -> Image.Image:
        squeezed: Image.Image = TF.resized_crop(
            picture, *box, [self.size, self.size], self.interpolation
        )
        return squeezed


def _seen_boxes(
    annotations: list[dict[str, Any]], crop: tuple[int, int, int, int], mirrored: bool
) -> torch.Tensor:
    """(M, 4) normalised boxes in a crop (top, left, height, width); crowds and what lies outside are left out."""
    top, left, height, width = crop
    corners = [a["bbox"] for a in annotations if not a.get("iscrowd", 0)]
    boxes = torch.tensor(corners, dtype=torch.float32).reshape(-1, 4)
    boxes = clip_boxes_to_image(boxes - boxes.new_tensor([left, top, left, top]), (height, width))
    boxes = normalise(boxes[remove_small_boxes(boxes, 1.0)], (height, width))
    if mirrored:
        boxes[:, 0] = 1 - boxes[:, 0]
    return boxes
