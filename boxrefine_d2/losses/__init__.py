"""Losses that more than one training uses."""

from .box_supervision import BoxSupervision
from .pair_loss import BACKGROUND, IGNORED, PairLoss
from .ranks import mean_over_ranks

__all__ = ["BACKGROUND", "IGNORED", "BoxSupervision", "PairLoss", "mean_over_ranks"]
