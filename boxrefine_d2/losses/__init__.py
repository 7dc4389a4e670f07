"""Losses that more than one training uses."""

from .pair_loss import BACKGROUND, IGNORED, PairLoss
from .ranks import mean_over_ranks

__all__ = ["BACKGROUND", "IGNORED", "PairLoss", "mean_over_ranks"]
