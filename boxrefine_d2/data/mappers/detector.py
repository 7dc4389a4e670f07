"""Inputs of Detectron2's detectors: images resized by the shorter edge, with boxes and masks."""

from typing import Any

import numpy as np
from detectron2.config import CfgNode, configurable
from detectron2.data import detection_utils
from detectron2.data import transforms as T
from PIL import Image

from boxrefine_d2.errors import UserError, check_choice
from boxrefine_d2.masks.segmentation import compressed_rle

from ..image_cache import CachedReader
from ..images import ImageReadError
from .draws import numpy_draws
from .whole_image import image_tensor, resized_sample

SAMPLINGS = ("choice", "range")  # ways to draw the length of the shorter edge


class DetectorMapper:
    """Training input: an image with a drawn length of the shorter edge, perhaps mirrored.

    The draws depend only on the seed and the position in the stream, never on workers or ranks.
    """

    @configurable
    def __init__(
        self,
        *,
        short_edges: tuple[int, ...],
        sampling: str,
        max_side: int,
        flip: bool,
        masks: bool,
        seed: int,
        cache_bytes: float = 0.0,
    ):
        """Create the mapper.

        Args:   short_edges: lengths of the shorter edge in pixels.
                sampling: "choice" among these lengths, or "range" from the first to the second.
                max_side: limit of the longer edge in pixels.
                flip: mirror half of the images.
                masks: keep the masks of the annotations.
                seed: seed of all draws.
                cache_bytes: largest total size of the cached images in bytes.
        Raises: UserError for an unknown sampling, or a range that does not have two lengths.
        """
        check_choice("INPUT.MIN_SIZE_TRAIN_SAMPLING", sampling, SAMPLINGS)
        if sampling == "range" and len(short_edges) != 2:
            raise UserError(
                f"INPUT.MIN_SIZE_TRAIN {short_edges}: "
                "MIN_SIZE_TRAIN_SAMPLING range needs two lengths, (MIN, MAX)"
            )
        self._read = CachedReader(cache_bytes)
        self._transforms = [T.ResizeShortestEdge(short_edges, max_side, sampling)]
        if flip:
            self._transforms.append(T.RandomFlip())
        self.masks = masks
        self.seed = seed

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Return the arguments of `__init__` from Detectron2's settings under INPUT."""
        return {
            "short_edges": tuple(cfg.INPUT.MIN_SIZE_TRAIN),
            "sampling": cfg.INPUT.MIN_SIZE_TRAIN_SAMPLING,
            "max_side": cfg.INPUT.MAX_SIZE_TRAIN,
            "flip": cfg.INPUT.RANDOM_FLIP == "horizontal",
            "masks": cfg.MODEL.MASK_ON,
            "seed": cfg.SEED,
            "cache_bytes": cfg.INPUT.CACHE_GIB * 2**30,
        }

    def __call__(self, record: dict[str, Any], position: int) -> dict[str, Any]:
        """Return {"image" (3, H, W) uint8 RGB, "instances", "file_name", "image_id"}.

        Instances have gt_boxes, gt_classes and, with `masks`, gt_masks (bitmaps). Crowds are left
        out.

        Raises: ImageReadError for a file that cannot be read, or whose size differs from the size
                that its labels state.
        """
        view = T.AugInput(self._read(record["file_name"]))
        whole = view.image.shape[:2]
        _check_size(record, whole)
        with numpy_draws(np.random.SeedSequence([self.seed, position])):
            transforms = T.AugmentationList(self._transforms)(view)
        size = view.image.shape[:2]
        annotations = [
            detection_utils.transform_instance_annotations(
                self._plain(annotation, whole), transforms, size
            )
            for annotation in record["annotations"]
            if not annotation.get("iscrowd", 0)
        ]
        for annotation in annotations:
            # A mirrored mask has negative strides. Torch refuses them for a mask one pixel wide.
            if "segmentation" in annotation:
                annotation["segmentation"] = annotation["segmentation"].copy()
        instances = detection_utils.annotations_to_instances(annotations, size, "bitmask")
        return {
            "image": image_tensor(np.array(view.image)),
            "instances": detection_utils.filter_empty_instances(instances),
            "file_name": record["file_name"],
            "image_id": record["image_id"],
        }

    def _plain(self, annotation: dict[str, Any], size: tuple[int, int]) -> dict[str, Any]:
        kept = {key: annotation[key] for key in ("bbox", "bbox_mode", "category_id")}
        if self.masks:
            kept["segmentation"] = compressed_rle(annotation["segmentation"], size)
        return kept


def _check_size(record: dict[str, Any], size: tuple[int, int]) -> None:
    """Refuse an image whose size differs from the size that its labels state.

    Args: size: (H, W) of the image.
    """
    expected = record["height"], record["width"]
    if all(expected) and expected != size:
        name, [height, width] = record["file_name"], expected
        reason = f"it is {size[1]} x {size[0]} pixels, and its labels are of {width} x {height}"
        raise ImageReadError(f"cannot learn from {name!r}: {reason}", path=name, reason=reason)


class ShortEdgeMapper:
    """Test input: an image with one length of the shorter edge.

    If the longer edge would exceed its limit, the limit decides the size.
    """

    def __init__(self, short_edge: int, max_side: int):
        """Create the mapper.

        Args:   short_edge: length of the shorter edge in pixels; 0 keeps the size of the images.
                max_side: limit of the longer edge in pixels.
        """
        self.short_edge, self.max_side = short_edge, max_side

    def input_size(self, height: int, width: int) -> tuple[int, int]:
        """Return (H, W) of the input for an image of this size in pixels."""
        if not self.short_edge:
            return height, width
        shape = T.ResizeShortestEdge.get_output_shape
        size: tuple[int, int] = shape(height, width, self.short_edge, self.max_side)
        return size

    def __call__(self, record: dict[str, Any]) -> dict[str, Any]:
        """Return the input that `ImageMapper` documents, resized bilinearly as in Detectron2."""
        return resized_sample(record, self.input_size, Image.Resampling.BILINEAR)
