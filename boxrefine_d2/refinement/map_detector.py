"""Map detector h: it reads a map instead of an image (ICCV 2023 paper).

Shapes: B images, k boxes per image.
"""

from typing import Any

import torch
from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY
from detectron2.structures import Boxes, Instances
from torch import Tensor, nn

from boxrefine_d2.errors import UserError
from boxrefine_d2.structures import normalise, to_xyxy

from .criterion import OBJECT, SetCriterion
from .trunks import build_trunk

OUTPUTS_PER_BOX = 6  # cx, cy, w, h and the logits of object and no object


@META_ARCH_REGISTRY.register()
class MapDetector(nn.Module):
    """A classification network whose last layer holds k boxes and their objectness logits.

    Alone, it trains on Detectron2's inputs: "image" is the map as an image of 3 channels, and
    "instances" has gt_boxes. `BoxRefiner` uses only `predict` and the criterion.

    Attributes: learns: False for an h whose boxes mean nothing.
    """

    learns: bool = True

    @configurable
    def __init__(self, *, trunk: nn.Module, num_boxes: int, criterion: SetCriterion):
        """Take the parts.

        Args: trunk: network from images (B, 3, H, W) of any size to (B, 6 * num_boxes).
        """
        super().__init__()
        # on a CPU, convolutions are faster with the channels last; weights in another format would
        # be copied at every call of `predict`
        to: Any = trunk.to  # the type of `to` omits this argument
        self.trunk: nn.Module = to(memory_format=torch.channels_last)
        self.num_boxes = num_boxes
        self.criterion = criterion

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Return the parts that MODEL.MAP_DETECTOR and MODEL.CRITERION name."""
        node = cfg.MODEL.MAP_DETECTOR
        return {
            "trunk": build_trunk(
                node.TRUNK,
                outputs=OUTPUTS_PER_BOX * node.NUM_BOXES,
                norm=node.NORM,
                weights=node.WEIGHTS,
            ),
            "num_boxes": node.NUM_BOXES,
            "criterion": SetCriterion(
                class_weight=cfg.MODEL.CRITERION.CLASS_WEIGHT,
                l1_weight=cfg.MODEL.CRITERION.L1_WEIGHT,
                giou_weight=cfg.MODEL.CRITERION.GIOU_WEIGHT,
                no_object_weight=cfg.MODEL.CRITERION.NO_OBJECT_WEIGHT,
            ),
        }

    @property
    def device(self) -> torch.device:
        """Device of the parameters."""
        return next(self.parameters()).device

    def predict(self, map_images: Tensor) -> dict[str, Tensor]:
        """Return the boxes that h predicts from maps.

        Args: map_images: maps as images of 3 channels, (B, 3, H, W).
        Returns: "pred_logits" (B, k, 2), object first; "pred_boxes" (B, k, 4), (cx, cy, w, h) in
            [0, 1].
        """
        if map_images.device.type == "cpu":  # convolutions are faster there with the channels last
            map_images = map_images.contiguous(memory_format=torch.channels_last)
        raw = self.trunk(map_images).unflatten(1, (self.num_boxes, OUTPUTS_PER_BOX))
        return {"pred_logits": raw[..., 4:], "pred_boxes": raw[..., :4].sigmoid()}

    def forward(self, batched_inputs: list[dict[str, Any]]) -> Any:
        """Return losses in training, and boxes in eval (Detectron2's contract).

        Returns: in eval [{"instances": Instances}] in the frame of the image.
        """
        if self.training:
            map_images = torch.stack([x["image"].to(self.device).float() for x in batched_inputs])
            targets = [
                normalise(x["instances"].gt_boxes.tensor.to(self.device), x["instances"].image_size)
                for x in batched_inputs
            ]
            return self.criterion(self.predict(map_images), targets)
        results = []
        for x in batched_inputs:
            map_image = x["image"].to(self.device).float()
            size = (x.get("height", map_image.shape[1]), x.get("width", map_image.shape[2]))
            results.append({"instances": to_instances(self.predict(map_image[None]), [size])[0]})
        return results


class AbsentDetector(MapDetector):
    """An h of a run in which it never learns: it has no parameter and predicts nothing."""

    learns = False

    def __init__(self) -> None:
        criterion = SetCriterion(class_weight=1, l1_weight=1, giou_weight=1, no_object_weight=1)
        super().__init__(trunk=nn.Identity(), num_boxes=0, criterion=criterion)

    def predict(self, map_images: Tensor) -> dict[str, Tensor]:
        """Refuse to predict. Raises: ValueError."""
        raise ValueError("h never learns in this run, so it predicts no boxes")


def to_instances(outputs: dict[str, Tensor], image_sizes: list[tuple[int, int]]) -> list[Instances]:
    """Return all k boxes of each image by falling probability of an object.

    Boxes of equal probability keep their order.

    Args:
        outputs: outputs of `MapDetector.predict`.
        image_sizes: (H, W) of the frame of the returned boxes.
    Returns: Instances with pred_boxes (XYXY, clipped), scores and pred_classes (all 0).
    Raises: UserError for numbers that are not finite.
    """
    if not all(bool(values.isfinite().all()) for values in outputs.values()):
        raise UserError(
            "h's boxes are not finite: its training diverged, or its weights are damaged; lower "
            "SOLVER.BASE_LR or SOLVER.MAP_NETWORK_LR, or continue from an earlier checkpoint"
        )
    results = []
    p_object = outputs["pred_logits"].softmax(dim=2)[..., OBJECT]
    for boxes, scores, size in zip(outputs["pred_boxes"], p_object, image_sizes, strict=True):
        order = scores.argsort(descending=True, stable=True)
        result = Instances(size)
        result.pred_boxes = Boxes(to_xyxy(boxes, size)[order])
        result.pred_boxes.clip(size)
        result.scores = scores[order]
        result.pred_classes = torch.zeros_like(order)
        results.append(result)
    return results
