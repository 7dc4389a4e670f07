"""Optimizer groups of a network that learns as a whole."""

from typing import Any

from torch import nn


def decay_of_matrices(module: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Return two groups of the parameters that learn, with and without weight decay.

    Single numbers and vectors, such as biases and norms, have no decay, as in DINO's code.
    """
    learning = [p for p in module.parameters() if p.requires_grad]
    return [
        {"params": [p for p in learning if p.dim() > 1], "weight_decay": weight_decay},
        {"params": [p for p in learning if p.dim() <= 1], "weight_decay": 0.0},
    ]
