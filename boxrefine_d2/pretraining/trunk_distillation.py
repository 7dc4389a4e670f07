"""TrunkDistillation: a small ResNet learns the keys of a self-supervised transformer.

A detector can then start from it. It is ours; the papers start from ResNet-50s that were trained
on ImageNet for weeks.
"""

from typing import Any

import torch
import torch.nn.functional as F
from detectron2.config import CfgNode, configurable
from detectron2.layers import ShapeSpec
from detectron2.modeling import META_ARCH_REGISTRY, build_resnet_backbone
from detectron2.modeling.backbone import Backbone
from torch import Tensor, nn

from boxrefine_d2.errors import UserError
from boxrefine_d2.networks import build_backbone
from boxrefine_d2.networks.build_network import build_untrained
from boxrefine_d2.networks.map_network import require_kind
from boxrefine_d2.networks.padding import normalise_and_pad
from boxrefine_d2.networks.vit import VisionTransformer
from boxrefine_d2.training.product_model import ProductModel

from .parameter_groups import decay_of_matrices

_NO_BOXES = "a trunk draws no boxes, so it cannot be evaluated; DATASETS.TEST must be ()"


@META_ARCH_REGISTRY.register()
class TrunkDistillation(ProductModel):
    """Cosine distance of the trunk's projected last map to the teacher's keys.

    It is taken on the features as they are, and on the features minus their mean. Trunk and
    detectors have the same input: RGB, ImageNet's mean and deviation.

    Attributes: map_network: the trunk, under the attribute name by which a run stores its product.
    """

    product_file = "trunk.safetensors"

    @configurable
    def __init__(
        self,
        *,
        trunk: Backbone,
        name: str,
        teacher: VisionTransformer,
        weight_decay: float,
        autocast: bool = False,
    ):
        """Take the parts.

        Args:
            trunk: network with one output, of the teacher's stride.
            name: name of the trunk.
            teacher: frozen transformer.
            weight_decay: weight decay of AdamW.
            autocast: True to compute products in bfloat16.
        Raises: UserError if the trunk's outputs do not fit the teacher.
        """
        super().__init__()
        outputs = trunk.output_shape()
        if len(outputs) != 1:
            raise UserError(
                f"MODEL.RESNETS.OUT_FEATURES {', '.join(outputs)}: name the one map that learns "
                "the keys"
            )
        [(self._output, shape)] = outputs.items()
        if shape.stride != teacher.stride:
            raise UserError(
                f"MODEL.RESNETS.OUT_FEATURES {self._output}: its stride is {shape.stride}, and a "
                f"patch of the teacher {teacher.stride} pixels; name a map of that stride"
            )
        self.map_network = trunk
        self.product_name = name
        self.teacher = teacher.eval().requires_grad_(False)
        self.projection = nn.Conv2d(shape.channels, teacher.cls_token.shape[-1], 1)
        self.weight_decay = weight_decay
        self.autocast = autocast

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Return the parts: a trunk of MODEL.RESNETS, with MODEL.MAP_NETWORK as its teacher."""
        if cfg.DATASETS.TEST:
            raise UserError(f"DATASETS.TEST {cfg.DATASETS.TEST}: {_NO_BOXES}")
        teacher = require_kind(
            build_backbone(cfg.MODEL.MAP_NETWORK.NAME, cfg.MODEL.MAP_NETWORK.WEIGHTS),
            VisionTransformer,
            f"MODEL.MAP_NETWORK.NAME {cfg.MODEL.MAP_NETWORK.NAME} is no transformer",
        )
        trunk = build_untrained(lambda: build_resnet_backbone(cfg, ShapeSpec(channels=3)), cfg.SEED)
        return {
            "trunk": trunk,
            "name": f"resnet{cfg.MODEL.RESNETS.DEPTH}",
            "teacher": teacher,
            "weight_decay": cfg.SOLVER.WEIGHT_DECAY,
            "autocast": cfg.SOLVER.AMP.ENABLED,
        }

    @property
    def device(self) -> torch.device:
        """Device of the parameters."""
        return self.projection.weight.device

    def train(self, mode: bool = True) -> "TrunkDistillation":
        """Set the mode of the trunk; the teacher stays in eval mode."""
        super().train(mode)
        self.teacher.eval()
        return self

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return AdamW's groups; biases and norms have no weight decay."""
        return decay_of_matrices(self, self.weight_decay)

    def forward(self, batched_inputs: list[dict[str, Any]]) -> dict[str, Tensor]:
        """Return the losses (Detectron2's contract).

        Args: batched_inputs: dicts with "image" (3, S, S) RGB in [0, 255].
        Returns: {"loss_keys", "loss_centred_keys"}, means of 1 - cosine over the patches.
        Raises: UserError in eval.
        """
        if not self.training:
            raise UserError(_NO_BOXES)
        images = normalise_and_pad(
            [x["image"] for x in batched_inputs], self.teacher.stride, device=self.device
        )
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.autocast):
            with torch.no_grad():
                keys = self.teacher(images).data
            projected = self.projection(self.map_network(images)[self._output]).float()
        return {
            "loss_keys": _distance(projected, keys),
            "loss_centred_keys": _distance(_centred(projected), _centred(keys)),
        }


def _distance(one: Tensor, other: Tensor) -> Tensor:
    return (1 - F.cosine_similarity(one, other, dim=1)).mean()


def _centred(features: Tensor) -> Tensor:
    """Subtract each image's mean from (B, C, h, w)."""
    return features - features.mean(dim=(2, 3), keepdim=True)
