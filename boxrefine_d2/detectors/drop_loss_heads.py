"""Detectron2's ROI heads with DropLoss on the classification loss (CutLER, arXiv:2301.11320)."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from detectron2.config import CfgNode, configurable
from detectron2.layers import ShapeSpec
from detectron2.modeling import ROI_HEADS_REGISTRY
from detectron2.modeling.roi_heads import (
    CascadeROIHeads,
    FastRCNNOutputLayers,
    StandardROIHeads,
)
from detectron2.structures import ImageList, Instances
from detectron2.utils.events import get_event_storage
from torch import Tensor

from boxrefine_d2.errors import UserError, check_choice

from .drop_loss import drop_loss, drop_weights, release_targets

TARGETS = ("paper", "release")
Predictions = tuple[Tensor, Tensor]


class DropLossOutputLayers(FastRCNNOutputLayers):
    """Box predictor whose classification loss ignores regions without a matching target.

    Everything else is the parent's.

    Args (keyword, besides the parent's):
        iou_thresh: a region is kept if the IoU of its predicted box with a target is greater.
        targets: "paper" for all boxes of the image, or "release" for `release_targets`. With
            "release", the plain loss is used if an image of the batch has no matched boxes. The
            first stage gives none to an image without objects.
    """

    @configurable
    def __init__(
        self, input_shape: ShapeSpec, *, iou_thresh: float, targets: str, **parent_settings: Any
    ):
        super().__init__(input_shape, **parent_settings)
        if not 0 <= iou_thresh < 1:
            raise UserError(f"MODEL.ROI_HEADS.DROP_LOSS.IOU_THRESH {iou_thresh} is not in [0, 1)")
        check_choice("MODEL.ROI_HEADS.DROP_LOSS.TARGETS", targets, TARGETS)
        if self.bbox_pred.out_features != 4:
            raise UserError(
                "MODEL.ROI_HEADS.DROP_LOSS.ENABLED: a region has a box of each class, and DropLoss "
                "needs one; set MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG True"
            )
        self.iou_thresh = iou_thresh
        self.targets = targets
        self._image_boxes: list[Tensor] | None = None

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: ShapeSpec) -> dict[str, Any]:
        """Return the parent's settings, and those of MODEL.ROI_HEADS.DROP_LOSS."""
        settings = cfg.MODEL.ROI_HEADS.DROP_LOSS
        parts: dict[str, Any] = super().from_config(cfg, input_shape) | {
            "iou_thresh": settings.IOU_THRESH,
            "targets": settings.TARGETS,
        }
        return parts

    @contextmanager
    def given_targets(self, targets: Sequence[Instances]) -> Iterator[None]:
        """Give the losses all boxes of each image while the context is open.

        Sampled proposals carry only the boxes that are matched to them.
        """
        self._image_boxes = [image.gt_boxes.tensor for image in targets]
        try:
            yield
        finally:
            self._image_boxes = None

    def losses(self, predictions: Predictions, proposals: list[Instances]) -> dict[str, Tensor]:
        """Return the parent's losses, with "loss_cls" weighted; log the share of kept regions.

        Raises: RuntimeError outside `given_targets`, if all boxes of an image are needed.
        """
        losses: dict[str, Tensor] = super().losses(predictions, proposals)
        target_boxes = self._target_boxes(proposals)
        if target_boxes is None:
            return losses
        logits, deltas = predictions
        pred_boxes = self.predict_boxes((logits, deltas.detach()), proposals)
        weights = drop_weights(pred_boxes, target_boxes, iou_thresh=self.iou_thresh)
        if len(weights):
            get_event_storage().put_scalar("drop_loss/kept_share", weights.mean().item())
        labels = torch.cat([image.gt_classes for image in proposals])
        factor = self.loss_weight.get("loss_cls", 1.0)
        return losses | {"loss_cls": factor * drop_loss(logits, labels, weights)}

    def _target_boxes(self, proposals: list[Instances]) -> list[Tensor] | None:
        """Return the targets of each image, (M, 4), or None for the plain loss."""
        if self.targets == "release":
            if not all(image.has("gt_boxes") for image in proposals):
                return None
            return [release_targets(image.gt_boxes.tensor) for image in proposals]
        if self._image_boxes is None:
            raise RuntimeError("the boxes of the images are not known here: see given_targets")
        return self._image_boxes


def _with_drop_loss(cfg: CfgNode, stock: FastRCNNOutputLayers) -> FastRCNNOutputLayers:
    """Return the same layers with the same weights, with DropLoss if it is enabled."""
    if not cfg.MODEL.ROI_HEADS.DROP_LOSS.ENABLED:
        return stock
    with torch.random.fork_rng(devices=[]):  # later layers get the random numbers of stock heads
        layers = DropLossOutputLayers(
            cfg,
            ShapeSpec(channels=stock.cls_score.in_features),
            box2box_transform=stock.box2box_transform,
        )
    layers.load_state_dict(stock.state_dict())
    return layers


class _GivesTargets(StandardROIHeads):
    """Heads that give their box predictors the targets of the batch in training."""

    def forward(
        self,
        images: ImageList,
        features: dict[str, Tensor],
        proposals: list[Instances],
        targets: list[Instances] | None = None,
    ) -> tuple[list[Instances], dict[str, Tensor]]:
        """Run the heads; see Detectron2's `ROIHeads.forward`."""
        with ExitStack() as stack:
            for layers in self.box_predictor.modules():
                if isinstance(layers, DropLossOutputLayers) and targets is not None:
                    stack.enter_context(layers.given_targets(targets))
            outputs: tuple[list[Instances], dict[str, Tensor]] = super().forward(
                images, features, proposals, targets
            )
            return outputs


@ROI_HEADS_REGISTRY.register()
class DropLossROIHeads(_GivesTargets):
    """`StandardROIHeads`, with DropLoss if MODEL.ROI_HEADS.DROP_LOSS.ENABLED."""

    @classmethod
    def _init_box_head(cls, cfg: CfgNode, input_shape: dict[str, ShapeSpec]) -> dict[str, Any]:
        parts = super()._init_box_head(cfg, input_shape)
        heads: dict[str, Any] = parts | {
            "box_predictor": _with_drop_loss(cfg, parts["box_predictor"])
        }
        return heads


@ROI_HEADS_REGISTRY.register()
class DropLossCascadeROIHeads(_GivesTargets, CascadeROIHeads):
    """`CascadeROIHeads`, with DropLoss in every stage if MODEL.ROI_HEADS.DROP_LOSS.ENABLED."""

    @classmethod
    def _init_box_head(cls, cfg: CfgNode, input_shape: dict[str, ShapeSpec]) -> dict[str, Any]:
        parts = super()._init_box_head(cfg, input_shape)
        layers = [_with_drop_loss(cfg, stock) for stock in parts["box_predictors"]]
        heads: dict[str, Any] = parts | {"box_predictors": layers}
        return heads
