"""DropLoss (CutLER, arXiv:2301.11320).

A region without a matching pseudo-box may hold an object that the labels miss. The classifier
learns nothing from such a region.

Boxes are XYXY in pixels of the detector's input. R is the number of regions of an image, M the
number of its target boxes.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from detectron2.structures import Boxes, pairwise_iou
from torch import Tensor

RELEASE_ROWS = 100  # number of matched boxes that CutLER's code searches for distinct ones


def drop_weights(
    pred_boxes: Sequence[Tensor], target_boxes: Sequence[Tensor], *, iou_thresh: float
) -> Tensor:
    """Return the weight of each region: 1 if it matches a target of its image, else 0.

    A region matches if the IoU of its predicted box with a target exceeds `iou_thresh`.

    Args:
        pred_boxes: boxes of each image, (R, 4), decoded and not clipped.
        target_boxes: target boxes of each image, (M, 4). An image without targets keeps no region.
    Returns: (all R,) float32, image after image, without gradient.
    """
    kept = [
        (pairwise_iou(Boxes(predicted), Boxes(targets)) > iou_thresh).any(dim=1)
        for predicted, targets in zip(pred_boxes, target_boxes, strict=True)
    ]
    return torch.cat(kept).float()


def drop_loss(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted cross-entropy, averaged over all regions including dropped ones.

    It is 0 if there is no region.

    Args: logits: (R, K + 1).  labels: (R,) int64.  weights: (R,).
    """
    entropy = F.cross_entropy(logits, labels, reduction="none")
    return (weights * entropy).sum() / max(len(labels), 1)


def release_targets(matched_boxes: Tensor) -> Tensor:
    """Return the rows that CutLER's code uses as the boxes of an image.

    It takes as many first rows as there are distinct boxes (a defect). Sampling has shuffled the
    rows, so some boxes are repeated and others are missing.

    Args: matched_boxes: (R, 4), the box matched to each sampled region.
    Returns: (U, 4), the first U rows; U is the number of distinct boxes among the first 100.
    """
    distinct = matched_boxes[:RELEASE_ROWS].unique(dim=0)
    return matched_boxes[: len(distinct)]
