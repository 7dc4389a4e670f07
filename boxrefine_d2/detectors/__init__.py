"""Detectors that read images and learn from pseudo-labels: LOST's CAD and CutLER.

They are made of Detectron2's parts.
"""

from .class_agnostic_rcnn import ClassAgnosticRCNN
from .copy_paste import CopyPaste
from .drop_loss_heads import DropLossCascadeROIHeads, DropLossROIHeads
from .extra_norm_heads import Res5ROIHeadsExtraNorm

__all__ = [
    "ClassAgnosticRCNN",
    "CopyPaste",
    "DropLossCascadeROIHeads",
    "DropLossROIHeads",
    "Res5ROIHeadsExtraNorm",
]
