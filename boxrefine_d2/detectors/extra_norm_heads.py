"""The box head of LOST's class-agnostic detector (arXiv:2109.14279, repository): C4's, with one more norm after res5."""

from detectron2.config import CfgNode
from detectron2.layers import get_norm
from detectron2.modeling.roi_heads import ROI_HEADS_REGISTRY, Res5ROIHeads
from torch import nn

from boxrefine_d2.errors import UserError


@ROI_HEADS_REGISTRY.register()
class Res5ROIHeadsExtraNorm(Res5ROIHeads):
    """Res5 as pre-trained without labels has no norm behind it that ImageNet's classifier had learnt to bear with.

    The norm is of the kind that MODEL.RESNETS.NORM names; its parameters are `roi_heads.res5.norm.*`, as in the
    released weights. Raises: UserError if none is named.
    """

    @classmethod
    def _build_res5_block(cls, cfg: CfgNode) -> tuple[nn.Sequential, int]:
        if not cfg.MODEL.RESNETS.NORM:
            raise UserError(
                "MODEL.RESNETS.NORM is empty: Res5ROIHeadsExtraNorm has one more norm of that kind; name one, such as BN, "
                "or set MODEL.ROI_HEADS.NAME Res5ROIHeads"
            )
        res5, channels = super()._build_res5_block(cfg)
        res5.add_module("norm", get_norm(cfg.MODEL.RESNETS.NORM, channels))
        return res5, channels
