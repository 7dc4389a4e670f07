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

from ..image_cache import CachedReader
from ..images import read_image
from ..region_masks import crop_masks
from .colour_jitter import NO_JITTER, ColourJitter
from .draws import torch_draws
from .whole_image import image_tensor


class SquareMapper:
    """Training input: a random crop resized to a square, perhaps mirrored and in other colours.

    The released code draws areas from 0.9 to 1 and aspects from 3/4 to 4/3. The draws depend only
    on the seed and the position in the stream, never on workers or ranks.
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
        mask_cells: int = 0,
        jitter: ColourJitter = NO_JITTER,
        interpolation: InterpolationMode = InterpolationMode.BICUBIC,
    ):
        """Create the mapper.

        Args:   size: side of the square in pixels.
                crop_area: smallest and largest share of the image that a crop covers; empty: the
                whole image is resized.
                crop_aspect: smallest and largest aspect (width / height) of a crop.
                flip: mirror half of the images.
                seed: seed of all draws.
                cache_bytes: largest total size of the cached images in bytes.
                with_boxes: add the record's annotations as "target_boxes".
                mask_cells: cells along a side of the grid on which the record's "region_masks" are
                added as "target_masks"; 0 adds none.
                jitter: change of the colours.
                interpolation: filter of the resizing.
        """
        # Without crops, the cache holds resized images: resizing takes most of the time, and they
        # take the fewest bytes.
        self._read = CachedReader(cache_bytes, read_image if crop_area else self._read_resized)
        self.size = size
        self.crop_area = crop_area
        self.crop_aspect = crop_aspect
        self.flip = flip
        self.seed = seed
        self.with_boxes = with_boxes
        self.mask_cells = mask_cells
        self.jitter = jitter
        self.interpolation = interpolation

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Return the arguments of `__init__` from the settings under INPUT."""
        return {
            "size": cfg.INPUT.SQUARE_SIZE,
            "crop_area": tuple(cfg.INPUT.CROP_AREA),
            "crop_aspect": tuple(cfg.INPUT.CROP_ASPECT),
            "flip": cfg.INPUT.RANDOM_FLIP == "horizontal",
            "seed": cfg.SEED,
            "cache_bytes": cfg.INPUT.CACHE_GIB * 2**30,
            "with_boxes": cfg.REFINE.TARGETS == "annotations",
            "jitter": ColourJitter.from_config(cfg),
        }

    def __call__(self, record: dict[str, Any], position: int) -> dict[str, Any]:
        """Return {"image", "file_name", "image_id"[, "input_key"][, "target_boxes" ...]}.

        "image" is (3, S, S) uint8 RGB. "input_key" identifies an input that recurs; it is absent
        for random crops and colours. "target_boxes" are (M, 4) normalised (cx, cy, w, h), clipped
        to the crop. "target_masks" are (M', g, g) float32, the share of each cell that a mask
        fills.

        Raises: ImageReadError for a file that cannot be read.
        """
        image = Image.fromarray(self._read(record["file_name"]))
        sample = {"file_name": record["file_name"], "image_id": record["image_id"]}
        with torch_draws(np.random.SeedSequence([self.seed, position])):
            if self.crop_area:
                box = RandomResizedCrop.get_params(image, self.crop_area, self.crop_aspect)
                image = self._resized(image, box)
            else:
                box = (0, 0, record["height"], record["width"])
            mirrored = self.flip and bool(torch.rand(()) < 0.5)
            image = self.jitter(image)
        if mirrored:
            image = TF.hflip(image)
        if self.with_boxes:
            sample["target_boxes"] = visible_boxes(record["annotations"], box, mirrored)
        if self.mask_cells:
            sample["target_masks"] = self._masks(record, box, mirrored)
        if not (self.crop_area or self.jitter.is_on):
            sample["input_key"] = (record["file_name"], mirrored)
        return sample | {"image": image_tensor(np.array(image))}

    def _masks(
        self, record: dict[str, Any], crop: tuple[int, int, int, int], mirrored: bool
    ) -> torch.Tensor:
        """Return the shares of the crop's cells that the masks fill, (M, g, g)."""
        size = (record["height"], record["width"])
        shares = torch.from_numpy(crop_masks(record["region_masks"], crop, size, self.mask_cells))
        return shares.flip(2) if mirrored else shares

    def _read_resized(self, path: str) -> np.ndarray:
        image = Image.fromarray(read_image(path))
        return np.array(self._resized(image, (0, 0, image.height, image.width)))

    def _resized(self, image: Image.Image, box: tuple[int, int, int, int]) -> Image.Image:
        resized: Image.Image = TF.resized_crop(
            image, *box, [self.size, self.size], self.interpolation
        )
        return resized


def visible_boxes(
    annotations: list[dict[str, Any]], crop: tuple[int, int, int, int], mirrored: bool
) -> torch.Tensor:
    """Return the normalised boxes (M, 4) in a crop (top, left, height, width).

    Crowds and boxes outside the crop are left out.
    """
    top, left, height, width = crop
    corners = [a["bbox"] for a in annotations if not a.get("iscrowd", 0)]
    boxes = torch.tensor(corners, dtype=torch.float32).reshape(-1, 4)
    boxes = clip_boxes_to_image(boxes - boxes.new_tensor([left, top, left, top]), (height, width))
    boxes = normalise(boxes[remove_small_boxes(boxes, 1.0)], (height, width))
    if mirrored:
        boxes[:, 0] = 1 - boxes[:, 0]
    return boxes
