"""Figure of a key comparison: for each measure the histograms of both kinds of pairs."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .figures import INK, encode
from .key_pairs import MEASURES
from .key_similarity import Distribution, KeySimilarity

SAME, DIFFERENT = "#0072b2", "#d55e00"  # of Okabe and Ito: distinct for all readers
_GRID = "#e1e5ea"
_DPI = 120


def draw_key_similarity(similarity: KeySimilarity) -> bytes:
    """Return a PNG with one panel per measure; equal numbers give equal bytes."""
    figure = Figure(figsize=(3.6 * len(similarity.measures), 4.0), dpi=_DPI, layout="constrained")
    panels = figure.subplots(1, len(similarity.measures), squeeze=False)[0]
    for axes, (name, distribution) in zip(panels, similarity.measures.items(), strict=True):
        _panel(axes, MEASURES[name].title, distribution)
    panels[0].set_ylabel("pairs")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    info, counts = similarity.info, similarity.counts
    figure.suptitle(
        f"{info['backbone']}, mean key of each {info['per']}: "
        f"{counts['keys']} keys, {counts['classes']} classes",
        fontsize=12,
        color=INK,
    )
    return encode(figure)


def _panel(axes: Axes, title: str, distribution: Distribution) -> None:
    same, different = np.array(distribution.same), np.array(distribution.different)
    kinds = [(different, DIFFERENT, "different classes"), (same, SAME, "same class")]
    for pairs, colour, label in kinds:
        axes.stairs(pairs, distribution.edges, fill=True, color=colour, alpha=0.3)
        label = f"{label}, {pairs.sum()} pairs"
        axes.stairs(pairs, distribution.edges, color=colour, linewidth=1.4, label=label)
    fewer, colour, label = min(kinds, key=lambda kind: kind[0].sum())
    most = max(same.sum(), different.sum())
    if fewer.sum() < most:  # scaled to let readers compare the shapes
        label = f"{label}, scaled to {most}"
        scaled = fewer * (most / fewer.sum())
        axes.stairs(scaled, distribution.edges, color=colour, linestyle="--", label=label)
    axes.set_title(f"{title}\nAUC {distribution.auc:.3f}", fontsize=11, color=INK)
    axes.set_axisbelow(True)
    axes.grid(axis="y", color=_GRID)
    axes.set_ylim(bottom=0)
    axes.margins(x=0.02)
    axes.locator_params(axis="x", nbins=5)
    axes.tick_params(labelsize=9, colors=INK)
    axes.spines[["top", "right"]].set_visible(False)
