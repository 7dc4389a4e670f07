"""Corresponding points of two images: relaxed best buddies among their foreground cells.

Shapes: N = h * w cells of a map, n of them that may be matched, C channels. Points are in pixels of
the original image.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

import boxrefine_d2
from boxrefine_d2.data.mappers import WholeImageMapper
from boxrefine_d2.discovery import build_rule
from boxrefine_d2.discovery.rule import DiscoveryRule
from boxrefine_d2.errors import UserError
from boxrefine_d2.masks.resizing import grid_mask_to_input
from boxrefine_d2.networks import MapNetwork, build_backbone, read_map
from boxrefine_d2.structures import FeatureMap

from .best_buddies import Buddies, best_buddies
from .cells import cell_centres, cells_in_image


@dataclass(frozen=True)
class Points:
    """Cells of one image that may be matched.

    Attributes:
        name: path of the image, or a scene.
        image: (H', W', 3) uint8, as the network read it.
        image_size: (H, W) of the original image.
        foreground: (H', W') bool, the pixels of these cells.
        centres: (n, 2) XY centres, in row-major order.
        features: (n, C).
    """

    name: str
    image: np.ndarray
    image_size: tuple[int, int]
    foreground: np.ndarray
    centres: np.ndarray
    features: Tensor


@dataclass(frozen=True)
class MatchedPoints:
    """Two images and the pairs of their points for every K.

    Attributes:
        info: everything that the pairs depend on.
        a: cells of the first image.
        b: cells of the second image.
        buddies: K -> pairs (row of `a`, row of `b`).
    """

    info: dict[str, Any]
    a: Points
    b: Points
    buddies: dict[int, Buddies]

    def to_json(self) -> dict[str, Any]:
        """Return the images with the numbers of their points, and the pairs for every K."""
        images = [
            {
                "file_name": points.name,
                "width": points.image_size[1],
                "height": points.image_size[0],
                "points": len(points.centres),
            }
            for points in (self.a, self.b)
        ]
        matches = {}
        for k, buddies in self.buddies.items():
            one, other = buddies.pairs.T.numpy()
            ends = zip(self.a.centres[one].tolist(), self.b.centres[other].tolist(), strict=True)
            matches[str(k)] = [
                {"a": a, "b": b, "similarity": similarity}
                for (a, b), similarity in zip(ends, buddies.similarity.tolist(), strict=True)
            ]
        return {"info": self.info, "images": images, "matches": matches}

    def to_text(self) -> str:
        """Return one line for each image and each K."""
        lines = [f"{p.name}: {len(p.centres)} cells" for p in (self.a, self.b)]
        return "\n".join(
            lines + [f"K = {k}: {len(buddies)} pairs" for k, buddies in self.buddies.items()]
        )


@torch.no_grad()
def match_points(
    images: Sequence[str],
    *,
    ks: Sequence[int],
    backbone: str,
    weights: str | None,
    facet: str,
    foreground: str | None,
    max_side: int,
    device: str,
) -> MatchedPoints:
    """Return the best buddies of two images.

    Args:
        images: two files or scenes.
        ks: numbers of neighbours; each gives one set of pairs.
        backbone: name of the network.
        weights: weights of the network; None for its default.
        facet: facet of the features that are compared.
        foreground: rule whose masks may be matched; None matches all cells. The rule reads the map
            of the whole image (MaskCut as well, which reads a square input elsewhere).
        max_side: longest side of the network's input, pixels; 0 is no limit.
        device: device of the network.
    Raises: UserError for any wrong argument, and for an image without a foreground.
    """
    if max_side < 0:
        raise UserError(f"--max-side is {max_side}; give pixels, or 0 for no limit")
    network = build_backbone(backbone, weights).to(device)
    if facet not in network.facets:
        raise UserError(f"{backbone} has no facet {facet!r}; it gives {', '.join(network.facets)}")
    rule = build_rule(foreground) if foreground else None
    a, b = (read_points(image, network, facet, rule, max_side) for image in images)
    info = {
        "software": "boxrefine_d2",
        "version": boxrefine_d2.__version__,
        "backbone": backbone,
        "weights": asdict(network.weights_info),
        "facet": facet,
        "foreground": foreground or "everywhere",
        "max_side": max_side,
    }
    return MatchedPoints(info, a, b, {k: best_buddies(a.features, b.features, k) for k in ks})


def read_points(
    image: str, network: MapNetwork, facet: str, rule: DiscoveryRule | None, max_side: int
) -> Points:
    """Return the cells of an image that lie in the masks of a rule, or all cells without a rule.

    Raises: UserError for an image that cannot be read or has no such cell.
    """
    sample = WholeImageMapper(max_side)({"file_name": image, "image_id": image})
    features = read_map([sample["image"]], network, facet)
    size = (sample["height"], sample["width"])
    centres = cell_centres(features, size)
    kept = cells_in_image(centres, size)
    if rule is not None:
        rule_facet = rule.choose_facet(network.facets)
        rule_features = (
            features if rule_facet == facet else read_map([sample["image"]], network, rule_facet)
        )
        kept &= _foreground(rule, rule_features, features.grid_size).ravel()
    if not kept.any():
        raise UserError(f"{image} has no foreground; --everywhere matches all of its cells")
    [input_size] = features.image_sizes
    return Points(
        name=image,
        image=sample["image"].permute(1, 2, 0).numpy(),
        image_size=size,
        foreground=grid_mask_to_input(
            kept.reshape(features.grid_size), features.strides, input_size
        ),
        centres=centres[kept],
        features=features.tokens()[0][torch.from_numpy(kept).to(features.data.device)].cpu(),
    )


def _foreground(
    rule: DiscoveryRule, features: FeatureMap, grid_size: tuple[int, int]
) -> np.ndarray:
    """Return (h, w) bool: whether the masks of a rule cover the centre of each cell.

    The masks may be on the grid or on a finer one.
    """
    [boxes] = rule(features)
    if boxes.masks is None:
        raise UserError(f"{type(rule).__name__} draws no masks")
    covered = boxes.masks.any(dim=0).cpu().numpy()
    rows, columns = (
        (2 * np.arange(cells) + 1) * fine // (2 * cells)
        for cells, fine in zip(grid_size, covered.shape, strict=True)
    )
    foreground: np.ndarray = covered[rows[:, None], columns]
    return foreground
