"""Predictor layers of a detector, which depend on its classes."""

import torch
from torch import nn


def is_predictor(name: str) -> bool:
    """Return True for a parameter that gets new random weights if other classes are learnt.

    >>> is_predictor("roi_heads.box_predictor.0.cls_score.weight")
    True
    >>> is_predictor("roi_heads.box_head.0.fc1.weight")
    False
    """
    return any(f".{part}." in name for part in ("cls_score", "bbox_pred", "predictor"))


def speed_up_predictors(
    optimizer: torch.optim.Optimizer, model: nn.Module, factor: float
) -> torch.optim.Optimizer:
    """Return the same optimizer, with `factor` times the learning rate for predictors.

    Source: CutLER, arXiv:2301.11320. The optimizer must not have made a step yet.
    """
    if factor == 1:
        return optimizer
    own = {id(p) for name, p in model.named_parameters() if is_predictor(name)}
    for group in list(optimizer.param_groups):
        faster = [p for p in group["params"] if id(p) in own]
        if not faster:
            continue
        group["params"] = [p for p in group["params"] if id(p) not in own]
        optimizer.add_param_group({**group, "params": faster, "lr": factor * group["lr"]})
    optimizer.param_groups[:] = [group for group in optimizer.param_groups if group["params"]]
    return optimizer
