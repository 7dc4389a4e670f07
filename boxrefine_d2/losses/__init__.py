"""Losses that more than one training uses."""

from .pair_loss import IGNORED, PairLoss

__all__ = ["IGNORED", "PairLoss"]
