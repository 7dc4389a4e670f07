"""SelfDistilledCam: the heads of SD-CAM learn from class labels (LCAR, AAAI 2023).

Shapes: B images, K classes, h x w cells.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY
from torch import Tensor

from boxrefine_d2.discovery.build import build_rule
from boxrefine_d2.discovery.tokencut_refined import TokenCutRefined
from boxrefine_d2.networks.distilled_heads import DistilledHeads, HeadsForm, new_heads
from boxrefine_d2.networks.image_classifier import pixel_maps
from boxrefine_d2.networks.recurring import OncePerInput, Row, input_names

from .cam_family import CAM
from .class_model import ClassAnswer, ClassModel, check_side, drawn_classes, ranked
from .training_data import classes_of_training

TOKENCUT = "tokencut"


@META_ARCH_REGISTRY.register()
class SelfDistilledCam(ClassModel):
    """Training of both heads at once; the student also learns the teacher's probabilities.

    The transformer is frozen, so that it reads an input that comes back only once. Inputs come back
    without random crops, that is, if INPUT.CLASSIFIED.RESIZE equals CROP.

    Attributes: map_network: the transformer and the heads.
    """

    product_file = "distilled_heads.safetensors"
    product_name = "distilled_heads"
    producers = (CAM, TOKENCUT)
    map_network: DistilledHeads

    @configurable
    def __init__(
        self,
        *,
        heads: DistilledHeads,
        alpha: float,
        temperature: float,
        tokencut: TokenCutRefined,
        weight_decay: float,
        cam_of_known_class: bool,
        autocast: bool = False,
    ):
        """Take the parts.

        Args:
            alpha: weight of the class labels in the student's loss; 1 - alpha is that of the
                teacher.
            temperature: divisor of the logits that the student learns from the teacher.
            tokencut: rule whose eigenvector is the coarse map.
        """
        super().__init__()
        self.map_network = heads
        self.alpha, self.temperature = alpha, temperature
        self.tokencut = tokencut
        self.weight_decay = weight_decay
        self.cam_of_known_class = cam_of_known_class
        self.autocast = autocast
        self._pooled = OncePerInput(self._pooled_tokens)

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Return the parts; the heads have an output for each class of the training data.

        Raises: UserError for a crop that is no multiple of the patch.
        """
        node, network = cfg.SELF_DISTILLED_CAM, cfg.MODEL.MAP_NETWORK
        classes = classes_of_training(cfg)
        form = HeadsForm(network.NAME, classes, node.MLP_BLOCK, node.WITH_CLS)
        heads = new_heads(form, network.WEIGHTS, seed=cfg.SEED)
        crop = cfg.INPUT.CLASSIFIED.CROP
        check_side("INPUT.CLASSIFIED.CROP", crop, network.NAME, heads.stride)
        rule = build_rule("tokencut_refined", cfg)
        assert isinstance(rule, TokenCutRefined)
        return {
            "heads": heads,
            "alpha": node.ALPHA,
            "temperature": node.TEMPERATURE,
            "tokencut": rule,
            "weight_decay": cfg.SOLVER.WEIGHT_DECAY,
            "cam_of_known_class": cfg.LOCALIZATION.CAM_CLASS == "known",
            "autocast": cfg.SOLVER.AMP.ENABLED,
        }

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return the parameters of both heads."""
        learning = [p for p in self.map_network.parameters() if p.requires_grad]
        return [{"params": learning, "weight_decay": self.weight_decay}]

    def losses(self, batched_inputs: list[dict[str, Any]]) -> dict[str, Tensor]:
        """Return {"loss_teacher", "loss_student", "loss_distillation"}."""
        rows = self._pooled(batched_inputs, input_names(batched_inputs))
        cls, mean = torch.stack([row for (row,) in rows]).unbind(dim=1)
        teacher = self.map_network.teacher_logits(cls, mean)
        student = self.map_network.student_logits(mean)
        labels = self.labels_of(batched_inputs)
        distilled = distillation_loss(teacher, student, self.temperature)
        return {
            "loss_teacher": F.cross_entropy(teacher, labels),
            "loss_student": self.alpha * F.cross_entropy(student, labels),
            "loss_distillation": (1 - self.alpha) * distilled,
        }

    def _pooled_tokens(self, batched_inputs: Sequence[dict[str, Any]]) -> list[Row]:
        """Return CLS and the mean of the patches, (2, D), of each input; they never change."""
        with self.mixed():
            cls, patches = self.map_network.tokens(self.images_of(batched_inputs))
        pooled = torch.stack([cls.float(), patches.float().mean(dim=(2, 3))], dim=1)
        return [(row,) for row in pooled]

    def answers(self, batched_inputs: list[dict[str, Any]]) -> list[ClassAnswer]:
        """Return the teacher's classes, the student's CAM and TokenCut's eigenvector."""
        images = self.images_of(batched_inputs)
        cls, patches = self.map_network.tokens(images)
        outputs = self.map_network.teacher_logits(cls, patches.mean(dim=(2, 3)))
        drawn = drawn_classes(batched_inputs, outputs, known=self.cam_of_known_class)
        size = (images.shape[-2], images.shape[-1])
        cams = pixel_maps(self.map_network.activation(patches, drawn), size).cpu()
        keys = self.map_network.transformer(images, "key")
        cuts = self.tokencut.eigenvector_maps(keys).cpu()
        coarse = F.interpolate(cuts[:, None], size=size, mode="bilinear", align_corners=True)[:, 0]
        return [
            ClassAnswer({CAM: cam, TOKENCUT: cut}, labels, score)
            for cam, cut, (labels, score) in zip(cams, coarse, ranked(outputs), strict=True)
        ]


def distillation_loss(teacher: Tensor, student: Tensor, temperature: float) -> Tensor:
    """Return KL(softmax(teacher / T) | softmax(student / T)), without a factor T squared.

    The teacher learns nothing from it. It is a sum over classes and a mean over images.

    Args: teacher, student: (B, K) logits.
    """
    target = (teacher.detach() / temperature).softmax(dim=1)
    learnt = (student / temperature).log_softmax(dim=1)
    return F.kl_div(learnt, target, reduction="batchmean")
