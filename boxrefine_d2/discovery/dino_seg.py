"""DINO-seg: an object from the strongest attention of one head (DINO, arXiv:2104.14294).

The rule follows the code of LOST (arXiv:2109.14279), where it is a baseline.
"""

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from boxrefine_d2.errors import UserError, check_choice
from boxrefine_d2.masks.components import largest_component
from boxrefine_d2.structures import FeatureMap, PseudoBoxes

from .build import DISCOVERY_REGISTRY
from .mask_boxes import check_max_objects, further_objects, pseudo_boxes_of, shared_score
from .rule import DiscoveryRule

COMPONENTS = ("largest", "release")


@DISCOVERY_REGISTRY.register_as("dino_seg")
class DinoSeg(DiscoveryRule):
    """Rule with one box per image, around a component of the patches with most attention of CLS.

    The published box is not clipped to the image. Here it is clipped, like every box.

    Args (keyword):
        head: head of the attention, counted from 0.
        mass: share of the attention that the foreground holds; it takes the strongest patches.
        component: "largest" is the largest component. "release" follows LOST's code, which never
            considers the last component. It returns the background if there is one component, and
            the first component if there are two.
        max_objects, min_area: see `TokenCut`.
    """

    facets = ("attention",)

    def __init__(
        self, *, head: int, mass: float, component: str, max_objects: int, min_area: float
    ):
        check_choice("dino_seg: component", component, COMPONENTS)
        if not 0 < mass < 1:
            raise UserError(f"dino_seg: mass is {mass}, but a share above 0 and below 1 is needed")
        self.head, self.mass = head, mass
        self.component = component
        check_max_objects("dino_seg", max_objects)
        self.max_objects, self.min_area = max_objects, min_area

    @torch.no_grad()
    def __call__(self, features: FeatureMap) -> list[PseudoBoxes]:
        """Return one PseudoBoxes per image; score = share of the attention inside the component.

        Raises: UserError if the network has no such head.
        """
        heads = features.data.shape[1]
        if not 0 <= self.head < heads:
            raise UserError(
                f"dino_seg: head is {self.head}, and the network has heads 0 to {heads - 1}; "
                "set one of these, such as --set head=0 (DISCOVERY.DINO_SEG.HEAD in a config)"
            )
        attention = features.data[:, self.head].flatten(1).double().cpu()
        shares = attention / attention.sum(dim=1, keepdim=True)
        foreground = strongest(shares, self.mass).numpy().reshape(-1, *features.grid_size)
        masks, scores = [], []
        for kept, share in zip(foreground, shares.numpy(), strict=True):
            first = self._component(kept)
            masks.append(further_objects(kept, first, self.max_objects, self.min_area))
            scores.append(shared_score(float(share[first.ravel()].sum()), masks[-1]))
        return pseudo_boxes_of(masks, scores, features)

    def _component(self, foreground: np.ndarray) -> np.ndarray:
        if self.component == "largest":
            return largest_component(foreground)
        component_ids, count = ndimage.label(foreground)
        areas = np.bincount(component_ids.ravel())
        chosen = 1 + int(areas[1:count].argmax()) if count > 1 else 0
        component: np.ndarray = component_ids == chosen
        return component


def strongest(shares: Tensor, mass: float) -> Tensor:
    """Return the cells that are left after the weakest cells are removed, (B, N) bool.

    The removed cells hold a share of at most 1 - mass together.

    Args: shares: (B, N); each row sums to 1.
    """
    values, order = shares.sort(dim=1, stable=True)
    kept = values.cumsum(dim=1) > 1 - mass
    return torch.zeros_like(kept).scatter(1, order, kept)
