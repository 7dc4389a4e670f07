"""DINO's loss on CLS tokens and iBOT's loss on masked patches.

Losses and projection head are from `lightly`.

Shapes: B images, V crops, N patches, T = 1 + N tokens, C channels, K outputs of the head.
"""

from dataclasses import dataclass
from typing import Any

import torch
from detectron2.config import CfgNode
from torch import Tensor, nn

from boxrefine_d2.errors import UserError
from boxrefine_d2.networks.vit import VisionTransformer


def _lightly() -> Any:
    """Return the parts of `lightly` that are used here.

    Raises: UserError with the install command if `lightly` is missing.
    """
    try:
        from lightly.loss import DINOLoss, IBOTPatchLoss
        from lightly.models.modules import DINOProjectionHead
        from lightly.models.utils import random_block_mask
    except ImportError as error:
        raise UserError(
            f"PRETRAIN.DINO and PRETRAIN.PATCH need lightly ({error}): pip install "
            "'boxrefine_d2[pretrain]', or set both weights to 0"
        ) from error
    return DINOLoss, IBOTPatchLoss, DINOProjectionHead, random_block_mask


@dataclass(frozen=True)
class TeacherOutputs:
    """Statistics of the teacher's outputs for a batch of crops, in nats.

    They are logged and serve the check for collapse.

    Attributes:
        entropy: mean entropy of the outputs. At log K the outputs carry no information.
        information: entropy of the mean output minus `entropy`: how well an output identifies its
            crop. Zero means collapse, either to one output or to the uniform one.
    """

    entropy: float
    information: float

    @classmethod
    def of(cls, logits: Tensor, centre: Tensor, temperature: float) -> "TeacherOutputs":
        """Return the statistics. Args: logits: (V * B, K).  centre: (K,)."""
        shares = ((logits.float() - centre) / temperature).softmax(dim=1)
        entropy = torch.special.entr(shares).sum(dim=1).mean()
        entropy_of_mean = torch.special.entr(shares.mean(dim=0)).sum()
        return cls(entropy.item(), (entropy_of_mean - entropy).item())


class Distillation(nn.Module):
    """Heads of student and teacher, the mask token, and both losses.

    The caller owns the backbones.
    """

    def __init__(self, cfg: CfgNode, dim: int):
        """Build the heads and the losses.

        Args:
            cfg: whole configuration; PRETRAIN is read.
            dim: channels of the backbones.
        """
        super().__init__()
        dino_loss, patch_loss, head, self._random_block_mask = _lightly()
        node = cfg.PRETRAIN.DINO
        shape = {
            "input_dim": dim,
            "hidden_dim": node.HIDDEN_DIM,
            "bottleneck_dim": node.BOTTLENECK_DIM,
            "output_dim": node.OUT_DIM,
            "norm_last_layer": node.NORM_LAST_LAYER,
        }
        self.student_head = head(**shape)
        # weight_norm forbids copy.deepcopy, so the teacher's head is built separately and loaded
        self.teacher_head = head(**shape).requires_grad_(False)
        self.teacher_head.load_state_dict(self.student_head.state_dict())
        temperatures = {"student_temp": node.STUDENT_TEMPERATURE}
        self.dino_loss = dino_loss(
            node.OUT_DIM, center_momentum=node.CENTRE_MOMENTUM, **temperatures
        )
        self.dino_weight = node.WEIGHT
        patch = cfg.PRETRAIN.PATCH
        self.patch_weight = patch.WEIGHT
        self.masked_images, self.mask_ratio = patch.MASKED_IMAGES, tuple(patch.MASK_RATIO)
        if self.patch_weight:
            self.patch_loss = patch_loss(
                node.OUT_DIM, center_momentum=node.CENTRE_MOMENTUM, **temperatures
            )
            self.mask_token = nn.Parameter(torch.zeros(dim))
        self.teacher_temperature = float(node.TEACHER_TEMPERATURE[0])

    def forward(
        self,
        student: VisionTransformer,
        teacher: VisionTransformer,
        global_crops: list[Tensor],
        local_crops: list[Tensor],
    ) -> tuple[dict[str, Tensor], TeacherOutputs]:
        """Return the weighted losses of one batch.

        Args:
            global_crops: two tensors (B, 3, S, S), normalised.
            local_crops: any number of tensors (B, 3, s, s), normalised.
        Returns: {"loss_dino"[, "loss_patch"]}, and the statistics of the teacher's outputs.
        """
        crops = torch.cat(global_crops)
        with torch.no_grad():
            teacher_tokens = teacher.forward_tokens(crops)
            targets = self.teacher_head(teacher_tokens[:, 0]).float()
        masks = self._masks(len(crops), crops.shape[-1] // student.stride, crops.device)
        if masks is None:
            student_tokens = student.forward_tokens(crops)
        else:
            student_tokens = student.forward_tokens(crops, masks.flatten(1), self.mask_token)
        outputs = [*self.student_head(student_tokens[:, 0]).float().chunk(len(global_crops))]
        if local_crops:
            local = student.forward_tokens(torch.cat(local_crops))[:, 0]
            outputs += self.student_head(local).float().chunk(len(local_crops))
        summary = TeacherOutputs.of(
            targets, self.dino_loss.center.flatten(), self.teacher_temperature
        )
        losses = {}
        if self.dino_weight:
            loss = self.dino_loss(
                list(targets.chunk(len(global_crops))), outputs, self.teacher_temperature
            )
            losses["loss_dino"] = self.dino_weight * loss
        if masks is not None:
            losses["loss_patch"] = self._patch_loss(teacher_tokens, student_tokens, masks)
        return losses, summary

    def _masks(self, crops: int, side: int, device: torch.device) -> Tensor | None:
        """Return the patches hidden from the student, (crops, side, side) bool.

        Returns: None without the patch term.
        """
        if not self.patch_weight:
            return None
        low, high = self.mask_ratio
        # lightly's blocks have at least 4 patches; small crops may have fewer to hide
        low = max(low, 1 / side**2)
        smallest = min(4, int(low * side**2))
        masks: Tensor = self._random_block_mask(
            (crops, side, side),
            batch_mask_ratio=self.masked_images,
            min_image_mask_ratio=low,
            max_image_mask_ratio=max(low, high),
            min_num_masks_per_block=smallest,
        ).to(device)
        return masks

    def _patch_loss(self, teacher_tokens: Tensor, student_tokens: Tensor, masks: Tensor) -> Tensor:
        hidden = masks.flatten(1)
        if not hidden.any():
            return student_tokens.sum() * 0.0
        with torch.no_grad():
            targets = self.teacher_head(teacher_tokens[:, 1:][hidden]).float()
        outputs = self.student_head(student_tokens[:, 1:][hidden]).float()
        loss = self.patch_loss(targets, outputs, masks, self.teacher_temperature)
        weighted: Tensor = self.patch_weight * loss
        return weighted

    def freeze_last_layer(self) -> None:
        """Drop the gradients of the student's last layer, between backward and optimizer step."""
        for parameter in self.student_head.last_layer.parameters():
            parameter.grad = None
