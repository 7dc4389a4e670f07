"""Criterion of h: the loss L_h that trains h, and refines f through h.

Sources: ICCV 2023 paper; DETR, arXiv:2005.12872.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import generalized_box_iou_loss

from boxrefine_d2.losses import mean_over_ranks
from boxrefine_d2.structures import to_xyxy

from .matcher import HungarianMatcher

OBJECT, NO_OBJECT = 0, 1  # order of the logits


class SetCriterion(nn.Module):
    """Weighted losses of a set of predicted boxes against the boxes matched to them.

    Args (keyword):
        class_weight, l1_weight, giou_weight: factors of the three terms; also the matching costs.
        no_object_weight: weight of unmatched predictions in the cross-entropy (DETR's eos_coef).
    """

    logit_weights: Tensor

    def __init__(
        self,
        *,
        class_weight: float,
        l1_weight: float,
        giou_weight: float,
        no_object_weight: float,
    ):
        super().__init__()
        self.matcher = HungarianMatcher(
            class_cost=class_weight, l1_cost=l1_weight, giou_cost=giou_weight
        )
        self.class_weight = class_weight
        self.l1_weight = l1_weight
        self.giou_weight = giou_weight
        self.register_buffer("logit_weights", torch.tensor([1.0, no_object_weight]), False)

    def forward(self, outputs: dict[str, Tensor], targets: list[Tensor]) -> dict[str, Tensor]:
        """Return the three weighted terms; their sum is the loss.

        Box terms are summed over matched pairs and divided by the number of matched boxes. The
        cross-entropy is a weighted mean over all B * k predictions. Both denominators are averaged
        over ranks. All ranks together therefore have the loss of one process with the whole batch.

        Args:
            outputs: outputs of `MapDetector.predict`.
            targets: boxes of each image, (M, 4) normalised (cx, cy, w, h).
        Returns: {"loss_class", "loss_l1", "loss_giou"}, scalars.
        """
        matches = self.matcher(outputs, targets)
        logits, boxes = outputs["pred_logits"], outputs["pred_boxes"]
        labels = torch.full(logits.shape[:2], NO_OBJECT, device=logits.device)
        for label, (predicted, _) in zip(labels, matches, strict=True):
            label[predicted.to(label.device)] = OBJECT
        matched = torch.cat(
            [
                box[predicted.to(box.device)]
                for box, (predicted, _) in zip(boxes, matches, strict=True)
            ]
        )
        target = torch.cat(
            [box[chosen.to(box.device)] for box, (_, chosen) in zip(targets, matches, strict=True)]
        )
        weights = self.logit_weights[labels]
        entropy = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none")
        pairs, total_weight = mean_over_ranks(
            torch.stack([weights.new_tensor(float(len(matched))), weights.sum()])
        )
        giou = generalized_box_iou_loss(to_xyxy(matched), to_xyxy(target), reduction="sum")
        return {
            "loss_class": self.class_weight * (weights.flatten() * entropy).sum() / total_weight,
            "loss_l1": self.l1_weight * (matched - target).abs().sum() / pairs.clamp(min=1),
            "loss_giou": self.giou_weight * giou / pairs.clamp(min=1),
        }
