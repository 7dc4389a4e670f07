"""ClassAgnosticRCNN: Detectron2's R-CNN with one category, "object", for CAD and CutLER."""

from typing import Any

import torch
from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY, GeneralizedRCNN

from boxrefine_d2.errors import UserError

from .copy_paste import CopyPaste


@META_ARCH_REGISTRY.register()
class ClassAgnosticRCNN(GeneralizedRCNN):
    """Detectron2's R-CNN with two options: copy-paste in training batches, and bfloat16."""

    @configurable
    def __init__(self, *, copy_paste: CopyPaste | None, autocast: bool, **parts: Any):
        """Take the parts.

        Args:
            copy_paste: copy-paste between the images of a batch, or None.
            autocast: True to compute products in bfloat16.
            parts: arguments of `GeneralizedRCNN`.
        """
        super().__init__(**parts)
        # a quarter faster on CPUs, whose convolutions copy weights in another memory format
        self.to(memory_format=torch.channels_last)
        self.copy_paste = copy_paste
        self.autocast = autocast

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Return Detectron2's parts. Raises: UserError for settings that contradict each other."""
        if cfg.MODEL.ROI_HEADS.NUM_CLASSES != 1:
            raise UserError(
                f"MODEL.ROI_HEADS.NUM_CLASSES {cfg.MODEL.ROI_HEADS.NUM_CLASSES}: a "
                "ClassAgnosticRCNN has 1, object or not; for classes use MODEL.META_ARCHITECTURE "
                "GeneralizedRCNN"
            )
        node = cfg.INPUT.COPY_PASTE
        if node.ENABLED and not cfg.MODEL.MASK_ON:
            raise UserError("INPUT.COPY_PASTE.ENABLED: it pastes masks; set MODEL.MASK_ON True")
        parts: dict[str, Any] = super().from_config(cfg) | {
            "copy_paste": CopyPaste(cfg) if node.ENABLED else None,
            "autocast": cfg.SOLVER.AMP.ENABLED,
        }
        return parts

    def forward(self, batched_inputs: list[dict[str, Any]]) -> Any:
        """Return losses in training, [{"instances"}] in eval (Detectron2's contract)."""
        if self.training and self.copy_paste:
            batched_inputs = self.copy_paste(batched_inputs)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.autocast):
            return super().forward(batched_inputs)
