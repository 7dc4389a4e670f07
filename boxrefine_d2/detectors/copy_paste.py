"""Copy-paste between the images of a batch (CutLER, arXiv:2301.11320).

Numbers and details are those of CutLER's code.

Objects come from the source and are pasted on the target, an image of H x W pixels. Boxes are
XYXY, half-open, in pixels of the detector's input.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from detectron2.config import CfgNode, configurable
from detectron2.structures import BitMasks, Boxes, Instances
from torch import Tensor

from boxrefine_d2.errors import UserError
from boxrefine_d2.structures import mask_to_box

Sample = dict[str, Any]
BEHAVIOURS = ("fixed", "release")


class CopyPaste:
    """Pasting of objects from image B - 1 - i of a batch on image i.

    The middle image of an odd batch receives its own objects. A single object is always pasted; of
    n > 1 objects a uniform number in [1, n - 1] is pasted. Random numbers come from torch's global
    generator.
    """

    @configurable
    def __init__(
        self,
        *,
        rate: float,
        ratio: tuple[float, float],
        discard_share: float,
        behaviour: str,
    ):
        """Check and keep the settings.

        Args:
            rate: probability that an image receives objects.
            ratio: range of the size to which the whole source is squeezed, as a share of the
                target's height and width.
            discard_share: an object that covers at least this share of the area of a target object
                is not pasted.
            behaviour: "fixed", or "release". With "release", on a target without objects, boxes are
                computed from the source's boxes instead of the masks. They are moved right by the
                window's top and down by its left (a defect of CutLER's code).
        Raises: UserError for a setting outside its range.
        """
        if not 0 <= rate <= 1:
            raise UserError(f"INPUT.COPY_PASTE.RATE {rate} is not in [0, 1]")
        if len(ratio) != 2 or not 0 < ratio[0] <= ratio[1] <= 1:
            raise UserError(f"INPUT.COPY_PASTE.RATIO {ratio} is no range (MIN, MAX) in (0, 1]")
        if not 0 < discard_share <= 1:
            raise UserError(f"INPUT.COPY_PASTE.DISCARD_SHARE {discard_share} is not in (0, 1]")
        if behaviour not in BEHAVIOURS:
            known = ", ".join(BEHAVIOURS)
            raise UserError(f"INPUT.COPY_PASTE.BEHAVIOUR {behaviour!r} is unknown; known: {known}")
        self.rate = rate
        self.ratio = ratio
        self.discard_share = discard_share
        self.behaviour = behaviour

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Return the settings under INPUT.COPY_PASTE."""
        settings = cfg.INPUT.COPY_PASTE
        return {
            "rate": settings.RATE,
            "ratio": tuple(settings.RATIO),
            "discard_share": settings.DISCARD_SHARE,
            "behaviour": settings.BEHAVIOUR,
        }

    def __call__(self, batch: list[Sample]) -> list[Sample]:
        """Return a new batch; the given batch, the source of all objects, does not change.

        An object is not pasted if none of its pixels remain. A target object is removed if none of
        its pixels remain.

        Args: batch: dicts with "image" (3, H, W) uint8, "instances" with gt_boxes, gt_classes and
            gt_masks, ...
        Raises: UserError if objects have no masks, or have polygons.
        """
        for sample in batch:
            _check_masks(sample["instances"])
        return [
            self._with_objects_of(source, target)
            for target, source in zip(batch, reversed(batch), strict=True)
        ]

    def _with_objects_of(self, source: Sample, target: Sample) -> Sample:
        objects, own = source["instances"], target["instances"]
        if not len(objects) or float(torch.rand(())) >= self.rate:
            return target
        objects = objects[_some(len(objects))]
        window = self._window(*target["image"].shape[-2:])
        masks = window.placed(objects.gt_masks.tensor)
        pastable = masks.flatten(1).any(dim=1)
        if len(own):
            pastable &= ~_covering(masks, own.gt_masks.tensor, self.discard_share)
        if not pastable.any():
            return target
        masks, objects = masks[pastable], objects[pastable]
        region = masks.any(dim=0)
        pasted = _with_masks(objects, masks)
        if self.behaviour == "release" and not len(own):
            pasted.gt_boxes = window.exchanged(objects.gt_boxes, source["image"].shape[-2:])
        return target | {
            "image": window.overwritten(target["image"], source["image"], region),
            "instances": Instances.cat([_uncovered(own, region), pasted]) if len(own) else pasted,
        }

    def _window(self, height: int, width: int) -> "_Window":
        """Return a window of random size within the ratios, at a random place in the target."""
        low, high = self.ratio
        ratio = low + (high - low) * float(torch.rand((), dtype=torch.float64))
        size = max(1, int(ratio * height)), max(1, int(ratio * width))
        top = int(torch.randint(height - size[0] + 1, ()))
        left = int(torch.randint(width - size[1] + 1, ()))
        return _Window(top, left, *size, (height, width))


@dataclass(frozen=True)
class _Window:
    """Part of a target of `target_size` (H, W) that the squeezed source covers."""

    top: int
    left: int
    height: int
    width: int
    target_size: tuple[int, int]

    def squeezed(self, layers: Tensor) -> Tensor:
        """Squeeze layers (C, H_s, W_s) of any type to (C, height, width) float32."""
        size = (self.height, self.width)
        return F.interpolate(layers[None].float(), size, mode="bilinear", align_corners=False)[0]

    def part(self, layers: Tensor) -> Tensor:
        """Return the view (..., height, width) of (..., H, W)."""
        rows = slice(self.top, self.top + self.height)
        return layers[..., rows, self.left : self.left + self.width]

    def placed(self, masks: Tensor) -> Tensor:
        """Turn bool masks of the source, (k, H_s, W_s), into masks of the target, (k, H, W).

        A pixel belongs to a mask if any part of the mask falls on it.
        """
        placed = masks.new_zeros(len(masks), *self.target_size)
        self.part(placed)[:] = self.squeezed(masks) > 0
        return placed

    def overwritten(self, target: Tensor, source: Tensor, region: Tensor) -> Tensor:
        """Return a copy of the target (3, H, W), with the source in the region, (H, W) bool."""
        image = target.clone()
        squeezed = self.squeezed(source).round().to(target.dtype)
        part = self.part(image)
        part[:] = torch.where(self.part(region), squeezed, part)
        return image

    def exchanged(self, boxes: Boxes, source_size: tuple[int, int]) -> Boxes:
        """Squeeze the source's boxes; move them right by the top and down by the left.

        Some boxes may leave the image.
        """
        height, width = source_size
        scale = boxes.tensor.new_tensor([self.width / width, self.height / height]).repeat(2)
        return Boxes(
            boxes.tensor * scale + boxes.tensor.new_tensor([self.top, self.left]).repeat(2)
        )


def _some(count: int) -> Tensor:
    """Return the indices of the objects to paste: one, or a uniform number below `count`."""
    chosen = 1 if count == 1 else int(torch.randint(1, count, ()))
    return torch.randperm(count)[:chosen]


def _covering(masks: Tensor, targets: Tensor, share: float) -> Tensor:
    """Find the masks (k, H, W) that cover at least `share` of any target (M, H, W) with pixels.

    Returns: (k,) bool.
    """
    flat = targets.flatten(1).float()
    covered = masks.flatten(1).float() @ flat.T  # (k, M) pixels, exact below 2^24
    area = flat.sum(dim=1)
    return ((covered >= share * area) & (area > 0)).any(dim=1)


def _uncovered(own: Instances, region: Tensor) -> Instances:
    """Return the target's objects without the pixels of the region, (H, W) bool."""
    masks = own.gt_masks.tensor & ~region
    left = masks.flatten(1).any(dim=1)
    return _with_masks(own[left], masks[left])


def _with_masks(objects: Instances, masks: Tensor) -> Instances:
    """Return the objects with the given masks (k, H, W), none empty, and their tight boxes."""
    fields = {"gt_masks": BitMasks(masks), "gt_boxes": Boxes(mask_to_box(masks).float())}
    return Instances(tuple(masks.shape[-2:]), **objects.get_fields() | fields)


def _check_masks(objects: Instances) -> None:
    if not len(objects):
        return  # Detectron2 gives an image without objects no masks
    if not objects.has("gt_masks"):
        raise UserError(
            "INPUT.COPY_PASTE: objects have no masks to cut them out by; set MODEL.MASK_ON True "
            "and train on labels with masks, or set INPUT.COPY_PASTE.RATE 0"
        )
    if not isinstance(objects.gt_masks, BitMasks):
        raise UserError("INPUT.COPY_PASTE: masks are polygons; set INPUT.MASK_FORMAT bitmask")
