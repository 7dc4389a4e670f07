"""Ensemble of rules on one map: the box that most rules agree with (ours, not published)."""

from dataclasses import replace

import torch
from torch import Tensor
from torchvision.ops import box_iou

from boxrefine_d2.errors import UserError
from boxrefine_d2.structures import FeatureMap, PseudoBoxes

from .build import DISCOVERY_REGISTRY, build_rule
from .mask_boxes import check_max_objects
from .rule import DiscoveryRule, ObservingRule


@DISCOVERY_REGISTRY.register_as("ensemble")
class Ensemble(DiscoveryRule):
    """Rule that ranks the boxes of several rules by their agreement.

    The agreement of a box is the mean, over the other rules, of the IoU with their nearest box.

    Args (keyword):
        rules: names, comma-separated; all of them read the same facet of one network.
        min_agreement: boxes with less agreement are dropped, except the best one of each image.
        max_objects: most boxes per image.
        max_iou: if two boxes have a larger IoU, only the better one is kept.
    """

    def __init__(self, *, rules: str, min_agreement: float, max_objects: int, max_iou: float):
        names = [name.strip() for name in rules.split(",") if name.strip()]
        if len(names) < 2 or "ensemble" in names:
            raise UserError(f"ensemble: rules is {rules!r}, but two other rules or more are needed")
        self.rules = [build_rule(name) for name in names]
        if observing := [n for n, r in zip(names, self.rules) if isinstance(r, ObservingRule)]:
            raise UserError(
                f"ensemble: {observing[0]} reads the whole data set first; leave it out"
            )
        facets = {name: rule.facets for name, rule in zip(names, self.rules)}
        if len(set(facets.values())) > 1:
            listed = ", ".join(f"{name} {' or '.join(read)}" for name, read in facets.items())
            raise UserError(f"ensemble: its rules must read the same facet, not {listed}")
        self.facets = self.rules[0].facets
        self.min_agreement = min_agreement
        check_max_objects("ensemble", max_objects)
        self.max_objects, self.max_iou = max_objects, max_iou

    def __call__(self, features: FeatureMap) -> list[PseudoBoxes]:
        """Return one PseudoBoxes per image, the highest agreement first; score = agreement."""
        results = [rule(features) for rule in self.rules]
        self.dense_solves = sum(rule.dense_solves for rule in self.rules)
        return [self._merge([result[i] for result in results]) for i in range(len(features))]

    def _merge(self, results: list[PseudoBoxes]) -> PseudoBoxes:
        boxes = torch.cat([one.boxes for one in results])
        rule_of = torch.cat([torch.full((len(one),), i) for i, one in enumerate(results)])
        scores = agreement(boxes, rule_of.to(boxes.device), len(results))
        order = scores.argsort(descending=True, stable=True)
        kept: list[int] = []
        for index in order.tolist():
            if len(kept) == self.max_objects or (kept and scores[index] < self.min_agreement):
                break
            overlaps = box_iou(boxes[index : index + 1], boxes[kept])
            if not (overlaps > self.max_iou).any():
                kept.append(index)
        masks = [one.masks for one in results]
        stacked = (
            None
            if any(m is None for m in masks)
            else torch.cat([m for m in masks if m is not None])
        )
        return replace(
            results[0],
            boxes=boxes[kept],
            scores=scores[kept],
            masks=None if stacked is None else stacked[kept],
        )


def agreement(boxes: Tensor, rule_of: Tensor, rules: int) -> Tensor:
    """Return the mean, over the other rules, of the IoU with their nearest box, (N,) in [0, 1].

    A rule without a box counts as 0.

    Args:
        boxes: (N, 4) XYXY.
        rule_of: (N,) index of the rule that found each box.
        rules: number of rules.
    """
    overlaps = box_iou(boxes, boxes)
    nearest = [
        overlaps[:, rule_of == rule].amax(dim=1)
        if bool((rule_of == rule).any())
        else overlaps.new_zeros(len(boxes))
        for rule in range(rules)
    ]
    overlap_by_rule = torch.stack(nearest, dim=1)
    own = torch.nn.functional.one_hot(rule_of, rules).bool()
    return overlap_by_rule.masked_fill(own, 0).sum(dim=1) / (rules - 1)
