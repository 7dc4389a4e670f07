"""From a record to what Detectron2's detectors read: images by their shorter edge, boxes and masks as instances."""

from typing import Any

import numpy as np
from detectron2.config import CfgNode, configurable
from detectron2.data import detection_utils
from detectron2.data import transforms as T
from PIL import Image

from boxrefine_d2.errors import UserError, check_choice
from boxrefine_d2.masks.segmentation import compressed_rle

from ..images import CachedReader, ImageReadError
from .draws import numpy_draws
from .whole_image import image_tensor, resized_sample

SAMPLINGS = ("choice", "range")  # of lengths of the shorter edge


class DetectorMapper:
    """Training input: the shorter edge takes one of several lengths, perhaps mirrored.

    What is drawn depends on the seed and the position in the stream of samples alone, never on workers or ranks.
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
        """Args: short_edges: pixels.  sampling: "choice" of them or "range".  max_side: limit of the longer edge, pixels.

        Raises: UserError for a sampling that is neither, or a range that is not two lengths.
        """
        check_choice("INPUT.MIN_SIZE_TRAIN_SAMPLING", sampling, SAMPLINGS)
        if sampling == "range" and len(short_edges) != 2:
            raise UserError(
                f"INPUT.MIN_SIZE_TRAIN {short_edges}: MIN_SIZE_TRAIN_SAMPLING range needs two lengths, (MIN, MAX)"
            )
        self._read = CachedReader(cache_bytes)
        self._transforms = [T.ResizeShortestEdge(short_edges, max_side, sampling)]
        if flip:
            self._transforms.append(T.RandomFlip())
        self.masks = masks
        self.seed = seed

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Detectron2's settings under INPUT."""
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
        """{"image" (3, H, W) uint8 RGB, "instances", "file_name", "image_id"}; crowds are left out.

        Instances have gt_boxes, gt_classes and perhaps gt_masks (bitmaps).

        Raises: ImageReadError for a bad file, or one that is not of the size that its labels are of.
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
            if (
                "segmentation" in annotation
            ):  # mirrored, it runs backwards, which torch refuses if it is one pixel wide
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
    """Args: size: (H, W) of the picture."""
    expected = record["height"], record["width"]
    if all(expected) and expected != size:
        name, [height, width] = record["file_name"], expected
        reason = f"it is {size[1]} x {size[0]} pixels, and its labels are of {width} x {height}"
        raise ImageReadError(f"cannot learn from {name!r}: {reason}", path=name, reason=reason)


class ShortEdgeMapper:
    """Test input: the shorter edge is brought to one length, unless the longer one would exceed its limit."""

    def __init__(self, short_edge: int, max_side: int):
        """Args: pixels. Short edge 0: images stay as they are."""
        self.short_edge, self.max_side = short_edge, max_side

    def input_size(self, height: int, width: int) -> tuple[int, int]:
        """(H, W) of the input made from an image of that size."""
        if not self.short_edge:
            return height, width
        shape = T.ResizeShortestEdge.get_output_shape
        size: tuple[int, int] = shape(height, width, self.short_edge, self.max_side)
        return size

    def __call__(self, record: dict[str, Any]) -> dict[str, Any]:
        """See `ImageMapper`; resized bilinearly, as Detectron2 does."""
        return resized_sample(record, self.input_size, Image.Resampling.BILINEAR)
