"""Changes of frame: cell -> input -> image, and pixels <-> normalised centre and size.

The frame `cell` counts grid cells, `input` counts pixels of the network's input, and `image` counts
pixels of the original file. Boxes are XYXY and half-open everywhere; (cx, cy, w, h) in [0, 1]
exists only between h and its criterion.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision.ops import box_convert


def mask_to_box(mask: Tensor) -> Tensor:
    """Return the tight half-open box of each mask.

    Args: mask: (N, h, w) bool; every mask has at least one cell.
    Returns: (N, 4) int64, XYXY, in cells of the mask.
    Raises: ValueError if a mask is empty.
    """
    height, width = mask.shape[-2:]
    rows, columns = mask.any(dim=2), mask.any(dim=1)
    if not bool(rows.any(dim=1).all()):
        raise ValueError("an empty mask has no box")
    y1, x1 = rows.int().argmax(dim=1), columns.int().argmax(dim=1)
    y2 = height - rows.flip(1).int().argmax(dim=1)
    x2 = width - columns.flip(1).int().argmax(dim=1)
    return torch.stack([x1, y1, x2, y2], dim=1)


def mirrored_back(boxes: Tensor, width: float) -> Tensor:
    """Return (N, 4) XYXY boxes of a mirrored image in the frame of the image itself.

    Args: width: width of the image, in the unit of the boxes.
    """
    turned = boxes[:, [2, 1, 0, 3]] * boxes.new_tensor([-1, 1, -1, 1])
    return turned + boxes.new_tensor([width, 0, width, 0])


def cell_box_to_input(
    boxes_cell: Tensor, strides: tuple[float, float], image_sizes: Tensor
) -> Tensor:
    """Return boxes in input pixels; x2 and y2 are clipped to the unpadded image.

    Source: LOST (arXiv:2109.14279, code).

    Args:
        boxes_cell: (N, 4) XYXY in cells.
        strides: (sy, sx), input pixels per cell.
        image_sizes: (N, 2) as (H, W), one per box.
    Returns: (N, 4) float32 XYXY in input pixels.
    """
    sy, sx = strides
    boxes = boxes_cell.to(torch.float32) * boxes_cell.new_tensor(
        [sx, sy, sx, sy], dtype=torch.float32
    )
    limits = image_sizes.to(boxes).flip(1)
    return torch.cat([boxes[:, :2], torch.minimum(boxes[:, 2:], limits)], dim=1)


def boxes_input_to_image(
    boxes_input: Tensor, input_size: tuple[int, int], image_size: tuple[int, int]
) -> Tensor:
    """Return (N, 4) XYXY boxes in pixels of the image, clipped to it.

    Args:
        boxes_input: (N, 4) XYXY in pixels of the input.
        input_size: (H, W) of the input.
        image_size: (H, W) of the image.
    """
    scale = boxes_input.new_tensor(
        [image_size[1] / input_size[1], image_size[0] / input_size[0]]
    ).repeat(2)
    limit = boxes_input.new_tensor([image_size[1], image_size[0]]).repeat(2)
    return torch.minimum((boxes_input * scale).clamp(min=0), limit)


def union_box(boxes: Tensor) -> Tensor:
    """Return the smallest box (4,) around (N, 4) XYXY boxes, N >= 1."""
    return torch.cat([boxes[:, :2].amin(dim=0), boxes[:, 2:].amax(dim=0)])


def to_xywh(box: Sequence[float]) -> list[float]:
    """Return one XYXY box as [x, y, width, height], as COCO's files hold it, in the same frame.

    This function is for plain numbers. `torchvision.ops.box_convert`, which is used for tensors,
    gives the same numbers in float64.

    >>> to_xywh((10.0, 20.0, 30.5, 25.0))
    [10.0, 20.0, 20.5, 5.0]
    """
    x1, y1, x2, y2 = box
    return [x1, y1, x2 - x1, y2 - y1]


def normalise(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Return (..., 4) normalised (cx, cy, w, h) in [0, 1] of XYXY boxes.

    Args:
        boxes: (..., 4) XYXY in pixels of the image.
        size: (H, W) of the image.
    """
    scaled = boxes / boxes.new_tensor([size[1], size[0], size[1], size[0]])
    converted: Tensor = box_convert(scaled, "xyxy", "cxcywh")
    return converted


def to_xyxy(boxes: Tensor, size: tuple[int, int] = (1, 1)) -> Tensor:
    """Return (..., 4) XYXY boxes in pixels of normalised (cx, cy, w, h).

    Args:
        boxes: (..., 4) normalised (cx, cy, w, h).
        size: (H, W) of the image; the default keeps the boxes in [0, 1].
    """
    corners: Tensor = box_convert(boxes, "cxcywh", "xyxy")
    return corners * boxes.new_tensor([size[1], size[0], size[1], size[0]])
