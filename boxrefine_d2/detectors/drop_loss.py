"""DropLoss (CutLER, arXiv:2301.11320): a region that meets no pseudo-box may hold an object that the labels miss.

Such a region teaches the classifier nothing. Boxes are XYXY in pixels of the detector's input; R is the number of
regions of an image, M that of its target boxes.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from detectron2.structures import Boxes, pairwise_iou
from torch import Tensor

RELEASE_ROWS = 100  # matched boxes among which CutLER's code counts the distinct ones


def drop_weights(
    pred_boxes: Sequence[Tensor], target_boxes: Sequence[Tensor], *, iou_thresh: float
) -> Tensor:
    """1 for a region whose predicted box has an IoU greater than the threshold with a target of its image, else 0.

    Args:
        pred_boxes: per image (R, 4), decoded and not clipped.
        target_boxes: per image (M, 4); an image without any keeps no region.
    Returns: (all R,) float32, image after image, without gradient.
    """
    kept = [
        (pairwise_iou(Boxes(predicted), Boxes(targets)) > iou_thresh).any(dim=1)
        for predicted, targets in zip(pred_boxes, target_boxes, strict=True)
    ]
    return torch.cat(kept).float()


def drop_loss(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """Cross-entropy, weighted, and averaged over all regions, dropped ones too; 0 where there is no region.

    Args: logits: (R, K + 1).  labels: (R,) int64.  weights: (R,).
    """
    entropy = F.cross_entropy(logits, labels, reduction="none")
    return (weights * entropy).sum() / max(len(labels), 1)


def release_targets(matched_boxes: Tensor) -> Tensor:
    """What CutLER's code takes for the boxes of an image, a defect: as many first rows as there are distinct ones.

    Sampling has shuffled the rows, so that some repeat, and the boxes they push out are missing.

    Args: matched_boxes: (R, 4), the box matched to each sampled region.
    Returns: (U, 4), the first U rows, U the number of distinct boxes among the first 100.
    """
    distinct = matched_boxes[:RELEASE_ROWS].unique(dim=0)
    return matched_boxes[: len(distinct)]
