"""SelfDistillation: a student learns from crops, masked patches, composites and regions.

The product is the teacher, a moving average of the student.
"""

from typing import Any

import torch
from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY
from detectron2.utils.events import get_event_storage
from timm.layers.drop import DropPath
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from boxrefine_d2.discovery import build_rule
from boxrefine_d2.discovery.rule import DiscoveryRule
from boxrefine_d2.errors import UserError
from boxrefine_d2.losses import PairLoss
from boxrefine_d2.networks import build_backbone
from boxrefine_d2.networks.map_network import require_kind
from boxrefine_d2.networks.padding import normalise_and_pad
from boxrefine_d2.networks.vit import VisionTransformer
from boxrefine_d2.training.product_model import ProductModel

from .distillation import Distillation, TeacherOutputs
from .grouping import composite, regions_of_cells
from .teacher_regions import RegionInputs, TeacherRegions

# keys under PRETRAIN that are sides of the network's input
_SIZES = (
    ("DINO", "GLOBAL_SIZE"),
    ("DINO", "LOCAL_SIZE"),
    ("GROUPING", "SIZE"),
    ("REGIONS", "SIZE"),
    ("REGIONS", "WHOLE_SIZE"),
)


@META_ARCH_REGISTRY.register()
class SelfDistillation(ProductModel):
    """DINO's student and teacher (arXiv:2104.14294), with three optional terms.

    The options are iBOT's patch term, grouping on composites, and regions of the teacher.

    Attributes:
        map_network: teacher, a moving average of the student; it is evaluated, stored and shipped.
        student: network that gradients train.
        distillation: heads and losses of crops and masked patches; None if both weights are 0.
    """

    product_file = "map_network.safetensors"
    map_network: VisionTransformer

    @configurable
    def __init__(
        self,
        *,
        student: VisionTransformer,
        map_network: VisionTransformer,
        distillation: Distillation | None,
        grouping: PairLoss | None,
        grouping_weight: float,
        regions: TeacherRegions | None,
        regions_weight: float,
        drop_path: float,
        discovery: DiscoveryRule,
        discovery_name: str,
        autocast: bool,
    ):
        super().__init__()
        if distillation is None and grouping is None and regions is None:
            raise UserError(
                "nothing to learn from: PRETRAIN.DINO.WEIGHT, .PATCH.WEIGHT, .GROUPING.WEIGHT and "
                ".REGIONS.WEIGHT are all 0; raise one of them"
            )
        self.map_network = map_network.requires_grad_(False)
        self.student = student
        rates = torch.linspace(0, drop_path, len(student.blocks)).tolist()
        for block, rate in zip(student.blocks, rates, strict=True):
            block.drop_path1, block.drop_path2 = DropPath(rate), DropPath(rate)
        self.distillation = distillation
        self.grouping = grouping
        self.grouping_weight = grouping_weight
        self.regions = regions
        self.regions_weight = regions_weight
        self.discovery = discovery
        self.discovery_name = discovery_name
        self.autocast = autocast
        self.teacher_outputs: TeacherOutputs | None = None

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Return the parts that the configuration names."""
        network, node = cfg.MODEL.MAP_NETWORK, cfg.PRETRAIN
        # an explicit seed: an empty name would load the file that ships under the network's name
        weights = network.WEIGHTS or f"random:{cfg.SEED}"
        refusal = f"MODEL.MAP_NETWORK.NAME {network.NAME}: self-distillation needs a transformer"
        teacher, student = (
            require_kind(build_backbone(network.NAME, weights), VisionTransformer, refusal)
            for _ in range(2)
        )
        for part, key in _SIZES:
            if node[part][key] % teacher.stride:
                raise UserError(
                    f"PRETRAIN.{part}.{key} {node[part][key]} is no multiple of the patch, "
                    f"{teacher.stride} pixels"
                )
        rule = build_rule(cfg.DISCOVERY.NAME, cfg)
        distillation, grouping, regions = None, None, None
        if node.DINO.WEIGHT or node.PATCH.WEIGHT:
            distillation = Distillation(cfg, teacher.cls_token.shape[-1])
        if node.GROUPING.WEIGHT:
            if cfg.SOLVER.IMS_PER_BATCH < 3:
                raise UserError(
                    f"SOLVER.IMS_PER_BATCH {cfg.SOLVER.IMS_PER_BATCH}: "
                    "composites need 3 images or more"
                )
            grouping = PairLoss.from_config(node.GROUPING, regions_apart=True)
        if node.REGIONS.WEIGHT:
            regions = TeacherRegions(
                build_rule(node.REGIONS.RULE, cfg),
                PairLoss.from_config(node.REGIONS, regions_apart=False),
                node.REGIONS.START_ITERS,
            )
        return {
            "student": student,
            "map_network": teacher,
            "distillation": distillation,
            "grouping": grouping,
            "grouping_weight": node.GROUPING.WEIGHT,
            "regions": regions,
            "regions_weight": node.REGIONS.WEIGHT,
            "drop_path": node.DROP_PATH,
            "discovery": rule,
            "discovery_name": cfg.DISCOVERY.NAME,
            "autocast": cfg.SOLVER.AMP.ENABLED,
        }

    @property
    def device(self) -> torch.device:
        """Device of the parameters."""
        return self.map_network.cls_token.device

    def train(self, mode: bool = True) -> "SelfDistillation":
        """Set train mode for the student; the teacher never drops a path."""
        super().train(mode)
        self.map_network.eval()
        return self

    def forward(
        self, batched_inputs: list[dict[str, Any]]
    ) -> dict[str, Tensor] | list[dict[str, Any]]:
        """Return losses in training, and boxes in eval (Detectron2's contract).

        Args: batched_inputs: in training the results of `ViewsMapper`; in eval dicts with "image"
            (3, H, W) of one padded size, "height" and "width".
        Returns: in training the weighted losses that are enabled, of "loss_dino", "loss_patch",
            "loss_grouping" and "loss_regions"; in eval the results of `inference`.
        """
        if not self.training:
            return self.inference(batched_inputs)
        losses: dict[str, Tensor] = {}
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.autocast):
            if self.distillation is not None:
                losses |= self._distil(self.distillation, batched_inputs)
            if self.grouping is not None:
                losses["loss_grouping"] = self._group(self.grouping, batched_inputs)
            if self.regions is not None and get_event_storage().iter >= self.regions.start_iter:
                losses["loss_regions"] = self._find_regions(self.regions, batched_inputs)
        return losses

    def _distil(
        self, distillation: Distillation, batched_inputs: list[dict[str, Any]]
    ) -> dict[str, Tensor]:
        crops = {
            key: [self._batch(views) for views in zip(*(x[key] for x in batched_inputs))]
            for key in ("global_crops", "local_crops")
        }
        losses: dict[str, Tensor]
        losses, self.teacher_outputs = distillation(self.student, self.map_network, **crops)
        storage = get_event_storage()
        storage.put_scalar("teacher_entropy", self.teacher_outputs.entropy)
        storage.put_scalar("teacher_information", self.teacher_outputs.information)
        return losses

    def _group(self, grouping: PairLoss, batched_inputs: list[dict[str, Any]]) -> Tensor:
        views = self._batch([x["view"] for x in batched_inputs])
        masks = torch.stack([x["paste_masks"] for x in batched_inputs]).to(self.device) / 255
        composites, sources = composite(views, masks)
        keys = self.student(composites, "key").tokens()
        loss, correct = grouping(keys, regions_of_cells(sources, self.student.stride))
        get_event_storage().put_scalar("grouping_right_signs", correct.item())
        return self.grouping_weight * loss

    def _find_regions(
        self, regions: TeacherRegions, batched_inputs: list[dict[str, Any]]
    ) -> Tensor:
        inputs = RegionInputs(
            self._batch([x["whole"] for x in batched_inputs]),
            self._batch([x["region_view"] for x in batched_inputs]),
            torch.stack([x["region_crop"] for x in batched_inputs]).to(self.device),
        )
        loss, correct = regions(self.map_network, self.student, inputs)
        get_event_storage().put_scalar("regions_right_signs", correct.item())
        return self.regions_weight * loss

    @torch.no_grad()
    def update_teacher(self, momentum: float) -> None:
        """Set the teacher to momentum * teacher + (1 - momentum) * student, backbone and head."""
        average = get_ema_multi_avg_fn(momentum)
        pairs: list[tuple[nn.Module, nn.Module]] = [(self.map_network, self.student)]
        if self.distillation is not None:
            pairs.append((self.distillation.teacher_head, self.distillation.student_head))
        for teacher, student in pairs:
            average(list(teacher.parameters()), list(student.parameters()), 0)

    @torch.no_grad()
    def inference(self, batched_inputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the rule's boxes on the teacher's keys.

        The input is zero-padded and at full resolution, as in `BoxRefiner`.

        Returns: {"pseudo_boxes": {name of the rule: boxes}} per image, in the frame of the original
            image.
        """
        images = self._batch([x["image"] for x in batched_inputs])
        sizes = [tuple(x["image"].shape[-2:]) for x in batched_inputs]
        boxes_of_images = self.discovery(self.map_network(images, "key", sizes))
        return [
            {"pseudo_boxes": {self.discovery_name: boxes.resized((x["height"], x["width"]))}}
            for boxes, x in zip(boxes_of_images, batched_inputs, strict=True)
        ]

    def _batch(self, images: Any) -> Tensor:
        return normalise_and_pad(images, self.map_network.stride, device=self.device)
