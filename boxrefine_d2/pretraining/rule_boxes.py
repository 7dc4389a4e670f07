"""What a rule draws on a network's map while the network is being trained."""

from typing import Any

import torch

from boxrefine_d2.discovery.build import Rule, facet_of
from boxrefine_d2.features import Backbone
from boxrefine_d2.features.padding import normalise_and_pad


@torch.no_grad()
def rule_boxes(
    network: Backbone, rule: Rule, name: str, batched_inputs: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """{"pseudo_boxes": {name: boxes}} per image, in the frame of the original image.

    Args: name: of the rule.  batched_inputs: dicts with "image" (3, H, W) RGB in [0, 255] of one padded size, "height"
        and "width" of the original image.
    """
    device = next(network.parameters()).device
    pictures = [x["image"].to(device, torch.float32) for x in batched_inputs]
    images = normalise_and_pad(pictures, network.stride, network.padding)
    sizes = [tuple(picture.shape[-2:]) for picture in pictures]
    found = rule(network(images, facet_of(rule, network.facets), sizes))
    return [
        {"pseudo_boxes": {name: boxes.resized((x["height"], x["width"]))}}
        for boxes, x in zip(found, batched_inputs, strict=True)
    ]
