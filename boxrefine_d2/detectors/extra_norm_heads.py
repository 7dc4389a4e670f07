"""Box head of LOST's class-agnostic detector: C4's head with one more norm after res5.

Source: arXiv:2109.14279, repository.
"""

from detectron2.config import CfgNode
from detectron2.layers import get_norm
from detectron2.modeling.roi_heads import ROI_HEADS_REGISTRY, Res5ROIHeads
from torch import nn

from boxrefine_d2.errors import UserError


@ROI_HEADS_REGISTRY.register()
class Res5ROIHeadsExtraNorm(Res5ROIHeads):
    """`Res5ROIHeads` with a norm after res5.

    ImageNet's classifier learns to work with res5's output as it is. A res5 that was pre-trained
    without labels had no such classifier, so its output needs a norm.

    The norm is of the kind that MODEL.RESNETS.NORM names. Its parameters are
    `roi_heads.res5.norm.*`, as in the released weights.

    Raises: UserError if MODEL.RESNETS.NORM is empty.
    """

    @classmethod
    def _build_res5_block(cls, cfg: CfgNode) -> tuple[nn.Sequential, int]:
        if not cfg.MODEL.RESNETS.NORM:
            raise UserError(
                "MODEL.RESNETS.NORM is empty: Res5ROIHeadsExtraNorm has one more norm of that "
                "kind; name one, such as BN, or set MODEL.ROI_HEADS.NAME Res5ROIHeads"
            )
        res5, channels = super()._build_res5_block(cfg)
        res5.add_module("norm", get_norm(cfg.MODEL.RESNETS.NORM, channels))
        return res5, channels
