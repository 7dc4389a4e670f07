"""Representer point selection: foreground by the importance of all features of a data set.

Source: supplement, Eqs. 13-25. Let f_i be the features of all images and u_i their directions. The
importance of a point is (|f_i| - tau) / C. Up to a constant, the foreground predictor is
w = sum_i (|f_i| - tau) u_i = v - tau u, with v = sum_i f_i, u = sum_i u_i and tau = |v| / |u|. One
pass over the data gives v and u. Nothing is trained.

The activation of a feature in the direction d is w . d, a sum over all points: point i adds its
representer value, its importance |f_i| - tau times its similarity u_i . d.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from boxrefine_d2.errors import UserError, check_choice
from boxrefine_d2.masks.components import largest_component
from boxrefine_d2.structures import FeatureMap, PseudoBoxes

from .build import DISCOVERY_REGISTRY
from .mask_boxes import check_max_objects, further_objects, pseudo_boxes_of, shared_score
from .rule import ObservingRule, SoftMap

IMPORTANCES = ("ratio", "mean_norm", "norm_only")


@dataclass(frozen=True)
class PointValues:
    """Part of each point in the activation of one feature; tensors of one shape, float64.

    Attributes:
        similarity: u_i . d, in [-1, 1].
        importance: |f_i| - tau.
    """

    similarity: Tensor
    importance: Tensor

    @property
    def value(self) -> Tensor:
        """Representer value, the product of both; their sum over all points is w . d."""
        return self.similarity * self.importance


@DISCOVERY_REGISTRY.register_as("representer")
class Representer(ObservingRule):
    """Rule with one box per image, around the largest component of the activation map.

    The map is min-max normalised and thresholded. Call `observe` for each batch of the data set
    before the rule finds the first box.

    Args (keyword):
        threshold: threshold of the normalised map (the supplement gives no number).
        upsample: if true, the map is upsampled bilinearly to pixels of the input before the
            threshold (recommended). If false, the grid is used.
        align_corners: whether the values of the outer cells lie on the border of the input, as in
            the release, or in the middle of their cells.
        minmax_before_upsampling: whether the grid is normalised (release), or the pixels.
        importance: "ratio" is the supplement's tau. "mean_norm" puts the mean norm of all features
            in its place, and "norm_only" reads the norm of each feature alone; both are controls.
        rectify: whether negative numbers of a feature count as 0, as in the release, whose
            features follow a ReLU.
        normalise_features: whether the map reads directions (release) or features.
        clamp: whether negative values of the map become 0 (release).
        sampling_ratio: share of the images that `observe` reads, evenly spread.
        max_objects, min_area: see `TokenCut`.
    """

    def __init__(
        self,
        *,
        threshold: float,
        upsample: bool,
        align_corners: bool,
        minmax_before_upsampling: bool,
        importance: str,
        rectify: bool,
        normalise_features: bool,
        clamp: bool,
        sampling_ratio: float,
        max_objects: int,
        min_area: float,
    ):
        check_choice("representer: importance", importance, IMPORTANCES)
        if not 0 < sampling_ratio <= 1:
            raise UserError(
                f"representer: sampling_ratio is {sampling_ratio}, but 0 < sampling_ratio <= 1 is "
                "needed"
            )
        if not 0 <= threshold < 1:
            raise UserError(
                f"representer: threshold is {threshold}, but 0 <= threshold < 1 is needed"
            )
        self.threshold = threshold
        self.upsample, self.align_corners = upsample, align_corners
        self.minmax_before_upsampling = minmax_before_upsampling
        self.importance, self.rectify = importance, rectify
        self.normalise_features, self.clamp = normalise_features, clamp
        self.sampling_ratio = sampling_ratio
        check_max_objects("representer", max_objects)
        self.max_objects, self.min_area = max_objects, min_area
        self.state = {}

    @torch.no_grad()
    def observe(self, features: FeatureMap) -> None:
        """Add the sampled images of a batch to v, u and the sum of norms, in float64."""
        first = int(self.state.get("images", torch.tensor(0)))
        parts = [int((first + i) * self.sampling_ratio) for i in range(len(features) + 1)]
        taken = [i for i in range(len(features)) if parts[i + 1] > parts[i]]
        tokens = self._points(features)[taken].flatten(0, 1).double()
        norms = tokens.norm(dim=1, keepdim=True)
        sums = {
            "v": tokens.sum(dim=0),
            "u": (tokens / norms.clamp(min=1e-12)).sum(dim=0),
            "norms": norms.sum(),
            "points": torch.tensor(len(tokens)),
            "images": torch.tensor(len(features)),
        }
        for name, value in sums.items():
            self.state[name] = self.state.get(name, 0) + value.cpu()

    @property
    def threshold_norm(self) -> float:
        """Tau = |v| / |u|, or the mean norm: the norm of a feature with importance 0."""
        if self.importance == "mean_norm":
            return float(self.state["norms"] / self.state["points"])
        return float(self.state["v"].norm() / self.state["u"].norm())

    @property
    def predictor(self) -> Tensor:
        """Vector v - tau u, (C,) float64.

        Raises: UserError before any image was observed, or if all features are equally long.
        """
        if not self.state.get("points"):
            raise UserError(
                "representer: no image was observed; it needs a pass over the data set first, and "
                "a sampling_ratio that takes an image"
            )
        predictor = self.state["v"] - self.threshold_norm * self.state["u"]
        if predictor.norm() <= 1e-6 * self.state["v"].norm():
            raise UserError(
                "representer: all features are equally long, and none is more important than "
                "another; choose another facet or backbone"
            )
        return predictor

    @torch.no_grad()
    def point_values(self, features: FeatureMap, direction: Tensor) -> PointValues:
        """Return the parts of the cells of a batch in the activation of a feature, (B, h * w).

        Args: direction: (C,) that feature; its length does not matter.
        Raises: UserError before any image was observed, and for the control without a tau.
        """
        if self.importance == "norm_only":
            raise UserError(
                "representer: importance norm_only reads no other point, and points have no "
                "values; choose ratio or mean_norm"
            )
        points = self._points(features).double()
        unit = F.normalize(direction.to(points), dim=0)
        norms = points.norm(dim=2)
        return PointValues(points @ unit / norms.clamp(min=1e-12), norms - self.threshold_norm)

    @property
    def soft_maps(self) -> Mapping[str, SoftMap]:
        """Map of the soft foreground, "heatmap"."""
        return {"heatmap": self.heatmap}

    def heatmap(self, features: FeatureMap) -> Tensor:
        """Return the activation w . f, min-max normalised per image, (B, h, w), differentiable."""
        return torch.stack([_min_max(one) for one in self._activation(features)])

    @torch.no_grad()
    def pixel_maps(self, features: FeatureMap) -> Tensor:
        """Return the map resized to pixels of the padded input, (B, H', W').

        It is in [0, 1], and 0 in the padding.
        """
        activation = self._activation(features)
        if self.minmax_before_upsampling:
            activation = torch.stack([_min_max(one) for one in activation])
        resized = F.interpolate(
            activation[:, None],
            size=list(features.padded_size),
            mode="bilinear",
            align_corners=self.align_corners,
        )[:, 0]
        maps = torch.zeros_like(resized)
        for own, pixels, (height, width) in zip(maps, resized, features.image_sizes, strict=True):
            image = pixels[:height, :width]
            own[:height, :width] = image if self.minmax_before_upsampling else _min_max(image)
        return maps

    def read_features(self, features: FeatureMap) -> Tensor:
        """Return the features as the rule reads them, (B, C, h, w) float32."""
        data: Tensor = features.data.float()
        return data.clamp(min=0) if self.rectify else data

    def _points(self, features: FeatureMap) -> Tensor:
        return self.read_features(features).flatten(2).transpose(1, 2)

    def _activation(self, features: FeatureMap) -> Tensor:
        data = self.read_features(features)
        if self.importance == "norm_only":
            norms: Tensor = data.norm(dim=1)
            return norms
        predictor = self.predictor.to(data.device, torch.float32)
        read = F.normalize(data, dim=1) if self.normalise_features else data
        activation = torch.einsum("bchw,c->bhw", read, predictor / predictor.norm())
        return activation.clamp(min=0) if self.clamp else activation

    @torch.no_grad()
    def __call__(self, features: FeatureMap) -> list[PseudoBoxes]:
        """Return one PseudoBoxes per image; score = mean of the normalised map in the component.

        With upsampling, the masks are in pixels of the padded input.
        """
        maps = self.pixel_maps(features) if self.upsample else self.heatmap(features)
        masks: list[list[np.ndarray]] = []
        scores: list[list[float]] = []
        for values in maps.float().cpu().numpy():
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
