"""Representer point selection: foreground by the importance of all features of a data set.

Source: supplement, Eqs. 13-25. Let f_i be the features of all images and u_i their directions. The
importance of a point is (|f_i| - tau) / C. Up to a constant, the foreground predictor is
w = sum_i (|f_i| - tau) u_i = v - tau u, with v = sum_i f_i, u = sum_i u_i and tau = |v| / |u|. One
pass over the data gives v and u. Nothing is trained.
"""

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from boxrefine_d2.errors import UserError
from boxrefine_d2.masks.components import largest_component
from boxrefine_d2.structures import FeatureMap, PseudoBoxes

from .build import DISCOVERY_REGISTRY
from .mask_boxes import check_max_objects, further_objects, pseudo_boxes_of, shared_score
from .rule import ObservingRule, SoftMap


@DISCOVERY_REGISTRY.register_as("representer")
class Representer(ObservingRule):
    """Rule with one box per image, around the largest component of the activation map.

    The map is min-max normalised and thresholded. Call `observe` for each batch of the data set
    before the rule finds the first box.

    Args (keyword):
        threshold: threshold of the normalised map (the supplement gives no number).
        upsample: if true, the map is upsampled bilinearly to pixels of the input before the
            threshold (recommended). If false, the grid is used.
        max_objects, min_area: see `TokenCut`.
    """

    def __init__(self, *, threshold: float, upsample: bool, max_objects: int, min_area: float):
        if not 0 <= threshold < 1:
            raise UserError(
                f"representer: threshold is {threshold}, but 0 <= threshold < 1 is needed"
            )
        self.threshold = threshold
        self.upsample = upsample
        check_max_objects("representer", max_objects)
        self.max_objects, self.min_area = max_objects, min_area
        self.state = {}

    @torch.no_grad()
    def observe(self, features: FeatureMap) -> None:
        """Add a batch to v and u, in float64."""
        tokens = features.tokens().flatten(0, 1).double()
        sums = {"v": tokens.sum(dim=0), "u": F.normalize(tokens, dim=1).sum(dim=0)}
        for name, value in sums.items():
            self.state[name] = self.state.get(name, 0) + value.cpu()

    @property
    def threshold_norm(self) -> float:
        """Tau = |v| / |u|, the norm of a feature with importance 0."""
        return float(self.state["v"].norm() / self.state["u"].norm())

    @property
    def predictor(self) -> Tensor:
        """Vector v - tau u, (C,) float64.

        Raises: UserError before any image was observed, or if all features are equally long.
        """
        if not self.state:
            raise UserError(
                "representer: no image was observed; it needs a pass over the data set first"
            )
        predictor = self.state["v"] - self.threshold_norm * self.state["u"]
        if predictor.norm() <= 1e-6 * self.state["v"].norm():
            raise UserError(
                "representer: all features are equally long, and none is more important than "
                "another; choose another facet or backbone"
            )
        return predictor

    @property
    def soft_maps(self) -> Mapping[str, SoftMap]:
        """Map of the soft foreground, "heatmap"."""
        return {"heatmap": self.heatmap}

    def heatmap(self, features: FeatureMap) -> Tensor:
        """Return the activation w . f, min-max normalised per image, (B, h, w), differentiable."""
        return torch.stack([_min_max(one) for one in self._activation(features)])

    def _activation(self, features: FeatureMap) -> Tensor:
        predictor = self.predictor.to(features.data.device, torch.float32)
        return torch.einsum("bchw,c->bhw", features.data.float(), predictor / predictor.norm())

    @torch.no_grad()
    def __call__(self, features: FeatureMap) -> list[PseudoBoxes]:
        """Return one PseudoBoxes per image; score = mean of the normalised map in the component.

        With upsampling, the masks are in pixels of the padded input.
        """
        activation = self._activation(features)
        if self.upsample:
            size = list(features.padded_size)
            activation = F.interpolate(activation[:, None], size=size, mode="bilinear")[:, 0]
        masks: list[list[np.ndarray]] = []
        scores: list[list[float]] = []
        for image_map, (height, width) in zip(activation, features.image_sizes, strict=True):
            values = np.zeros(image_map.shape, np.float32)
            if self.upsample:  # without the padding
                values[:height, :width] = _min_max(image_map[:height, :width]).cpu()
            else:
                values[:] = _min_max(image_map).cpu()
            foreground = values > self.threshold
            first = largest_component(foreground)
            if not first.any():  # a constant map
                masks.append([])
                scores.append([])
                continue
            masks.append(further_objects(foreground, first, self.max_objects, self.min_area))
            scores.append(shared_score(float(values[first].mean()), masks[-1]))
        return pseudo_boxes_of(masks, scores, features)


def _min_max(values: Tensor) -> Tensor:
    """Return the values scaled to [0, 1]; constant values become 0."""
    low, high = values.min(), values.max()
    constant = high - low <= 1e-6 * values.abs().max()
    return (values - low) / torch.where(constant, torch.inf, high - low)
