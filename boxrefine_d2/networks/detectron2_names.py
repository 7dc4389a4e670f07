"""Conversion of a ResNet's parameter names from torchvision's to Detectron2's.

The detection code of LOST and MoCo converts them the same way.
"""

import re

from torch import Tensor

_RULES = (
    (r"^layer([1-4])\.", lambda found: f"res{int(found[1]) + 1}."),
    (r"\bbn([123])\.", r"conv\1.norm."),
    (r"\bdownsample\.0\.", "shortcut."),
    (r"\bdownsample\.1\.", "shortcut.norm."),
)


def to_detectron2_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return a state dict under Detectron2's names, without the classifier and the step counters.

    Args: state: state dict under torchvision's names.

    >>> import torch
    >>> names = ("bn1.weight", "layer4.0.conv1.weight", "layer1.0.downsample.1.bias", "fc.weight")
    >>> list(to_detectron2_names(dict.fromkeys(names, torch.zeros(1))))
    ['stem.conv1.norm.weight', 'res5.0.conv1.weight', 'res2.0.shortcut.norm.bias']
    """
    renamed = {}
    for name, value in state.items():
        if name.startswith("fc.") or name.endswith("num_batches_tracked"):
            continue
        own = name if "layer" in name else f"stem.{name}"
        for pattern, replacement in _RULES:
            own = re.sub(pattern, replacement, own)
        renamed[own] = value
    return renamed
