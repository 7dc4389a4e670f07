"""One-to-one assignment of predictions to target boxes (DETR, arXiv:2005.12872)."""

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torchvision.ops import generalized_box_iou

from boxrefine_d2.structures import to_xyxy


class HungarianMatcher:
    """Matcher that finds the assignment of least cost in each image.

    cost = l1 * |box - target|_1 - class * p(object) - giou * GIoU

    The costs are the loss weights, as in the release.
    """

    def __init__(self, *, class_cost: float, l1_cost: float, giou_cost: float):
        self.class_cost = class_cost
        self.l1_cost = l1_cost
        self.giou_cost = giou_cost

    @torch.no_grad()
    def __call__(
        self, outputs: dict[str, Tensor], targets: list[Tensor]
    ) -> list[tuple[Tensor, Tensor]]:
        """Match k predictions with the targets of each image; an image has min(k, targets) pairs.

        Args:
            outputs: outputs of `MapDetector.predict`.
            targets: boxes of each image, (M, 4) normalised (cx, cy, w, h).
        Returns: per image (prediction indices, target indices), int64, equally long, on the CPU.
        Raises: FloatingPointError if a cost is not finite.
        """
        sizes = [len(target) for target in targets]
        costs = self.cost(outputs, torch.cat(targets)).cpu()
        if not bool(torch.isfinite(costs).all()):
            raise FloatingPointError("a matching cost is infinite or NaN")
        pairs = [
            linear_sum_assignment(cost[image])
            for image, cost in enumerate(costs.split(sizes, dim=2))
        ]
        return [(torch.as_tensor(rows), torch.as_tensor(columns)) for rows, columns in pairs]

    def cost(self, outputs: dict[str, Tensor], targets: Tensor) -> Tensor:
        """Return the cost of every prediction for each of the M targets of the batch, (B, k, M)."""
        boxes = outputs["pred_boxes"]
        p_object = outputs["pred_logits"].softmax(dim=2)[:, :, :1]
        l1 = torch.cdist(boxes.flatten(0, 1), targets, p=1).unflatten(0, boxes.shape[:2])
        giou = generalized_box_iou(to_xyxy(boxes).flatten(0, 1), to_xyxy(targets))
        giou = giou.unflatten(0, boxes.shape[:2])
        costs: Tensor = self.l1_cost * l1 - self.class_cost * p_object - self.giou_cost * giou
        return costs
