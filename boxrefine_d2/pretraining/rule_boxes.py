"""Boxes that a rule draws on the map of a network in training."""

from typing import Any

import torch

from boxrefine_d2.discovery.rule import DiscoveryRule
from boxrefine_d2.networks import MapNetwork, read_map


@torch.no_grad()
def rule_boxes(
    network: MapNetwork, rule: DiscoveryRule, name: str, batched_inputs: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Return {"pseudo_boxes": {name: boxes}} per image, in the frame of the original image.

    Args:
        name: name of the rule.
        batched_inputs: dicts with "image" (3, H, W) RGB in [0, 255] of one padded size, "height"
            and "width" of the original image.
    """
    images = [x["image"] for x in batched_inputs]
    boxes_of_images = rule(read_map(images, network, rule.choose_facet(network.facets)))
    return [
        {"pseudo_boxes": {name: boxes.resized((x["height"], x["width"]))}}
        for boxes, x in zip(boxes_of_images, batched_inputs, strict=True)
    ]
