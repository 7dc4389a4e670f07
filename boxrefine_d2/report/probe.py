"""Probe of a new network: statistics of its features, and a figure of five images.

Shapes: N cells of the h x w grid, C channels; H x W pixels of the input, before padding.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from tabulate import tabulate
from torch import Tensor

from boxrefine_d2.data import ImageReadError, load_spec
from boxrefine_d2.discovery import build_rule, rule_parameters
from boxrefine_d2.discovery.rule import DiscoveryRule, ObservingRule
from boxrefine_d2.errors import UserError
from boxrefine_d2.files.atomic import atomic_binary_file
from boxrefine_d2.files.names import shown_name
from boxrefine_d2.files.outputs import check_output_file
from boxrefine_d2.networks import build_backbone, read_map
from boxrefine_d2.networks.device import check_device, precision_of
from boxrefine_d2.pseudo_labels import DiscoverySettings
from boxrefine_d2.pseudo_labels.one_image import image_mapper
from boxrefine_d2.structures import FeatureMap

from .probe_figure import ProbedImage, draw

logger = logging.getLogger(__name__)

IMAGES = 5
MOST_CELLS = 4096  # largest number of cells of an image, evenly spread, that form pairs
# number of robust standard deviations (1.4826 x the median deviation) above the image's median
# from which a norm is an outlier
OUTLIER_DEVIATIONS = 5.0
_ROBUST = 1.4826
# facets that are probed only if the rule reads them: the former is three facets in one, the
# latter holds shares instead of features
_LEFT_OUT = ("kqv", "attention")


@dataclass(frozen=True)
class FacetStatistics:
    """Statistics of one facet over all images.

    Attributes:
        norm_mean, norm_std, norm_min, norm_max: statistics of the cells' norms.
        outliers: share of cells with an outlying norm.
        cosine: mean cosine similarity of pairs of different cells of an image.
        edges: share of these pairs whose cosine similarity is > tau.
    """

    norm_mean: float
    norm_std: float
    norm_min: float
    norm_max: float
    outliers: float
    cosine: float
    edges: float


@torch.no_grad()
def probe(data: str, output: Path, settings: DiscoverySettings, device: str = "cpu") -> str:
    """Probe the first five readable images of a dataset spec; draw them to `OUTPUT.probe.png`.

    Returns: a table with one line per facet, an explanation, and the path of the figure.
    Raises: UserError for wrong arguments, and if no image can be read.
    """
    check_device(device)
    figure = output.with_suffix(".probe.png")
    check_output_file(figure)
    rule = build_rule(settings.method, **settings.parameters)
    backbone = build_backbone(settings.backbone, settings.weights)
    facet = rule.choose_facet(backbone.facets)
    samples = _first_readable(data, settings, rule)
    backbone.to(device, precision_of(settings.precision))
    tau = edge_thresh(settings)
    facets = [name for name in backbone.facets if name not in _LEFT_OUT or name == facet]
    maps = {
        name: [read_map([sample["image"]], backbone, name) for sample in samples] for name in facets
    }
    if isinstance(rule, ObservingRule):  # it observes these five images, not the whole dataset
        for features in maps[facet]:
            rule.observe(features)
    probed = [
        ProbedImage(
            shown_name(sample["relative_name"]),
            sample["image"],
            features,
            rule(features)[0].to("cpu"),
        )
        for sample, features in zip(samples, maps[facet], strict=True)
    ]
    with atomic_binary_file(figure) as file:
        draw(probed).save(file, "PNG", optimize=True)
    rows = {name: statistics(facet_maps, tau) for name, facet_maps in maps.items()}
    return _text(rows, settings, tau, [image.name for image in probed], figure)


def edge_thresh(settings: DiscoverySettings) -> float:
    """Return the cosine similarity above which the rule has an edge.

    It is 0 for LOST, the rule's tau, or TokenCut's tau for a rule without one.
    """
    if settings.method == "lost":
        return 0.0
    parameters = rule_parameters(settings.method, **settings.parameters)
    return float(parameters.get("tau", rule_parameters("tokencut")["tau"]))


def statistics(maps: Sequence[FeatureMap], tau: float) -> FacetStatistics:
    """Return the statistics of a facet of one or more images, one map each.

    Padding counts, as it does for the rules.
    """
    tokens = [features.tokens()[0].float() for features in maps]
    norms = [cells.norm(dim=1) for cells in tokens]
    outliers = torch.cat([_is_outlier(each) for each in norms])
    pairs = [_pairs(cells) for cells in tokens]
    every = torch.cat(norms)
    return FacetStatistics(
        norm_mean=every.mean().item(),
        norm_std=every.std(unbiased=False).item(),
        norm_min=every.min().item(),
        norm_max=every.max().item(),
        outliers=outliers.float().mean().item(),
        cosine=torch.stack([cosines.mean() for cosines in pairs]).mean().item(),
        edges=torch.stack([(cosines > tau).float().mean() for cosines in pairs]).mean().item(),
    )


def _is_outlier(norms: Tensor) -> Tensor:
    """Return (N,) bool: True for an outlying norm."""
    median = norms.median()
    deviation = _ROBUST * (norms - median).abs().median()
    return norms > median + OUTLIER_DEVIATIONS * deviation


def _pairs(cells: Tensor) -> Tensor:
    """Return the cosine similarities of all pairs of different cells (N, C).

    A single cell is paired with itself.
    """
    kept = torch.linspace(0, len(cells) - 1, min(len(cells), MOST_CELLS), device=cells.device)
    unit = F.normalize(cells[kept.round().long()], dim=1)
    cosines = unit @ unit.T
    different = ~torch.eye(len(unit), dtype=torch.bool, device=unit.device)
    return cosines[different] if len(unit) > 1 else cosines.flatten()


def _first_readable(
    data: str, settings: DiscoverySettings, rule: DiscoveryRule
) -> list[dict[str, Any]]:
    mapper, samples, reasons = image_mapper(settings, rule), [], []
    records = load_spec(data).records
    for record in records:
        try:
            samples.append(mapper(record))
        except ImageReadError as error:
            logger.warning("image left out: %s", error)
            reasons.append(str(error))
        if len(samples) == IMAGES:
            break
    if not samples:
        raise UserError(f"none of the {len(records)} images can be read; first: {reasons[0]}")
    return samples


def _text(
    rows: dict[str, FacetStatistics],
    settings: DiscoverySettings,
    tau: float,
    names: Sequence[str],
    figure: Path,
) -> str:
    heads = ("facet", "norm: mean", "std", "min", "max", "outliers", "cosine", "edges")
    table = [
        (
            facet,
            *(f"{x:.4g}" for x in (row.norm_mean, row.norm_std, row.norm_min, row.norm_max)),
            f"{row.outliers:.2%}",
            f"{row.cosine:.3f}",
            f"{row.edges:.1%}",
        )
        for facet, row in rows.items()
    ]
    lines = [
        f"{settings.backbone}, {settings.method}, {len(names)} images: {', '.join(names)}",
        tabulate(table, heads, "plain", disable_numparse=True, colalign=("left", *["right"] * 7)),
        f"outliers: cells whose norm is {OUTLIER_DEVIATIONS:g} robust standard deviations above "
        "the "
        "image's median",
        f"cosine: mean over pairs of cells; edges: pairs with a cosine above {tau:g}. Near 0 % or "
        "100 % of edges",
        "a rule cannot tell object from background",
        f"figure: {figure}",
    ]
    return "\n".join(lines)
