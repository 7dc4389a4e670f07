"""Training inputs of self-distillation: views of an image, and masks for pasting other images."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode
from PIL import Image
from torchvision.transforms import InterpolationMode
from torchvision.transforms import v2 as T

from ..image_cache import CachedReader
from .draws import torch_draws
from .paste_masks import paste_masks
from .whole_image import image_tensor

_ASPECTS = (3 / 4, 4 / 3)  # narrowest and widest crop of a `RegionSettings`


@dataclass(frozen=True)
class PasteSettings:
    """Settings of a view and of the regions pasted on it.

    Attributes:
        size: side of the view in pixels.
        view_area: smallest and largest share of the image that the view shows.
        region_area: smallest and largest share of the view that a region covers.
    """

    size: int
    view_area: tuple[float, float]
    region_area: tuple[float, float]


@dataclass(frozen=True)
class MultiCropSettings:
    """Settings of DINO's global and local crops.

    Attributes:
        global_size, local_size: side of a crop in pixels.
        global_area, local_area: smallest and largest share of the image that a crop shows.
        local_crops: number of local crops.
    """

    global_size: int
    global_area: tuple[float, float]
    local_size: int
    local_area: tuple[float, float]
    local_crops: int


@dataclass(frozen=True)
class RegionSettings:
    """Settings of a whole image and of a crop of it.

    Attributes:
        whole_size: side in pixels of the square that the whole image is squeezed to.
        size: side of the crop in pixels.
        view_area: smallest and largest share of the image that the crop shows.
    """

    whole_size: int
    size: int
    view_area: tuple[float, float]


class ViewsMapper:
    """Training input: the views of one image that the terms of the pre-training loss need.

    The draws depend only on the seed and the position in the stream, never on workers or ranks.
    """

    def __init__(
        self,
        *,
        crops: MultiCropSettings | None,
        paste: PasteSettings | None,
        regions: RegionSettings | None,
        seed: int,
        cache_bytes: float = 0.0,
    ):
        """Create the mapper.

        Args:   crops: settings of DINO's multi-crop; None: no crops.
                paste: settings of composites; None: no composites.
                regions: settings of whole images and their crops; None: neither.
                seed: seed of all draws.
                cache_bytes: largest total size of the cached images in bytes.
        """
        self.seed = seed
        self._read = CachedReader(cache_bytes)
        self.crops = crops
        self.paste = paste
        self.regions = regions
        if crops:
            size, area, count = crops.global_size, crops.global_area, crops.local_crops
            self._global = [
                _dino_view(size, area, blur=1.0, solarize=0.0),
                _dino_view(size, area, blur=0.1, solarize=0.2),
            ]
            local = _dino_view(crops.local_size, crops.local_area, blur=0.5, solarize=0.0)
            self._local = [local] * count
        jitter = T.ColorJitter(brightness=0.2, contrast=0.3, saturation=0.2)
        if paste:
            crop = _resized_crop(paste.size, paste.view_area)
            self._plain = T.Compose([crop, T.RandomHorizontalFlip(), jitter])
        if regions:
            self._jitter = jitter

    @classmethod
    def from_config(cls, cfg: CfgNode) -> "ViewsMapper":
        """Return a mapper of the views that the terms under PRETRAIN with a weight need."""
        node = cfg.PRETRAIN
        crops, paste, regions = None, None, None
        if node.DINO.WEIGHT or node.PATCH.WEIGHT:
            crops = MultiCropSettings(
                global_size=node.DINO.GLOBAL_SIZE,
                global_area=tuple(node.DINO.GLOBAL_AREA),
                local_size=node.DINO.LOCAL_SIZE,
                local_area=tuple(node.DINO.LOCAL_AREA),
                local_crops=node.DINO.LOCAL_CROPS,
            )
        if node.GROUPING.WEIGHT:
            paste = PasteSettings(
                size=node.GROUPING.SIZE,
                view_area=tuple(node.GROUPING.VIEW_AREA),
                region_area=tuple(node.GROUPING.REGION_AREA),
            )
        if node.REGIONS.WEIGHT:
            regions = RegionSettings(
                whole_size=node.REGIONS.WHOLE_SIZE,
                size=node.REGIONS.SIZE,
                view_area=tuple(node.REGIONS.VIEW_AREA),
            )
        cache_bytes = cfg.INPUT.CACHE_GIB * 2**30
        return cls(
            crops=crops, paste=paste, regions=regions, seed=cfg.SEED, cache_bytes=cache_bytes
        )

    def __call__(self, record: dict[str, Any], position: int) -> dict[str, Any]:
        """Return {"file_name", "image_id"} and the requested views.

        With `crops`, the sample has "global_crops" and "local_crops", lists of (3, S, S) uint8.
        With `paste`, it has "view" (3, S, S) uint8 and "paste_masks" (M, S, S) uint8. With
        `regions`, it has "whole" (3, W, W) and "region_view" (3, S, S) uint8, and "region_crop",
        (4,): left, top, right and bottom of the view as shares of the image, left and right
        exchanged if the view is mirrored.

        Raises: ImageReadError for a file that cannot be read.
        """
        image = Image.fromarray(self._read(record["file_name"]))
        sample = {"file_name": record["file_name"], "image_id": record["image_id"]}
        entropy = np.random.SeedSequence([self.seed, position])
        with torch_draws(entropy):
            if self.crops:
                sample["global_crops"] = _tensors(self._global, image)
                sample["local_crops"] = _tensors(self._local, image)
            if self.paste:
                sample["view"] = _tensors([self._plain], image)[0]
            if self.regions:
                sample |= self._region_views(self.regions, image)
        if self.paste:
            rng = np.random.default_rng(entropy.spawn(1)[0])
            masks = paste_masks(self.paste.size, self.paste.region_area, rng)
            sample["paste_masks"] = torch.from_numpy(masks)
        return sample

    def _region_views(
        self, settings: RegionSettings, image: Image.Image
    ) -> dict[str, torch.Tensor]:
        """Return the whole image, a crop, and the place of the crop; see `__call__`."""
        top, left, height, width = T.RandomResizedCrop.get_params(
            image, settings.view_area, _ASPECTS
        )
        box = (left, top, left + width, top + height)
        view = image.resize((settings.size,) * 2, Image.Resampling.BICUBIC, box)
        crop = [edge / side for edge, side in zip(box, image.size * 2)]
        if torch.rand(()) < 0.5:
            view = view.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
            crop[0], crop[2] = crop[2], crop[0]
        whole = image.resize((settings.whole_size,) * 2, Image.Resampling.BICUBIC)
        return {
            "whole": image_tensor(np.array(whole)),
            "region_view": _tensors([self._jitter], view)[0],
            "region_crop": torch.tensor(crop),
        }


def _tensors(transforms: Sequence[T.Transform], image: Image.Image) -> list[torch.Tensor]:
    return [image_tensor(np.array(transform(image))) for transform in transforms]


def _resized_crop(size: int, area: tuple[float, float]) -> T.RandomResizedCrop:
    return T.RandomResizedCrop(size, scale=area, interpolation=InterpolationMode.BICUBIC)


def _dino_view(
    size: int, area: tuple[float, float], *, blur: float, solarize: float
) -> T.Transform:
    """Return DINO's augmentation (arXiv:2104.14294, appendix, and its code).

    Args: size: side in pixels.  area: range of shares of the image.  blur, solarize: probabilities.
    """
    jitter = T.ColorJitter(brightness=0.4, contrast=0.4, saturation=0.2, hue=0.1)
    return T.Compose(
        [
            _resized_crop(size, area),
            T.RandomHorizontalFlip(),
            T.RandomApply([jitter], p=0.8),
            T.RandomGrayscale(p=0.2),
            T.RandomApply([T.GaussianBlur(kernel_size=9, sigma=(0.1, 2.0))], p=blur),
            T.RandomSolarize(threshold=128, p=solarize),
        ]
    )
