"""COCO's ways to write a mask, brought to one."""

from typing import Any

from pycocotools import mask as mask_codec


def compressed_rle(segmentation: Any, size: tuple[int, int]) -> dict[str, Any]:
    """Compressed RLE of RLE with counts of any kind, or of polygons.

    Args: size: (H, W) of the image that polygons are drawn on.
    Raises: whatever the codec raises on what is neither.
    """
    if isinstance(segmentation, dict):
        if isinstance(segmentation["counts"], list):
            return mask_codec.frPyObjects(segmentation, *segmentation["size"])
        return segmentation
    return mask_codec.merge(mask_codec.frPyObjects(segmentation, *size))
