"""Overlap of two masks, and the rejection of a refined mask that differs too much."""

import numpy as np


def mask_iou(mask: np.ndarray, other: np.ndarray) -> float:
    """Return the IoU of two bool masks of one shape; 0 if both are empty."""
    union = int((mask | other).sum())
    return int((mask & other).sum()) / union if union else 0.0


def unless_changed(refined: np.ndarray, mask: np.ndarray, min_iou: float) -> np.ndarray:
    """Return `refined`, or an empty mask if its IoU with the original `mask` is below `min_iou`."""
    return refined if mask_iou(refined, mask) >= min_iou else np.zeros_like(refined)
