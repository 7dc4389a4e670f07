"""Comparison of the keys of one class with those of two classes, by five measures over pairs.

A thesis on MaskCut asks whether keys of one class are more similar. It shows distributions in a
figure only; the averaged cells, the choice of pairs and the area under the ROC curve are our
reading.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from tabulate import tabulate

import boxrefine_d2
from boxrefine_d2.data import load_spec
from boxrefine_d2.data.frames import in_pixel_frame
from boxrefine_d2.errors import UserError
from boxrefine_d2.networks import build_backbone

from .instance_keys import MeanKeys, mean_keys
from .key_pairs import MEASURES, class_pairs, measured, roc_auc

PAIRS = 100_000  # largest number of each kind
BINS = 60


@dataclass(frozen=True)
class Distribution:
    """Distribution of one measure over both kinds of pairs.

    Attributes:
        auc: area under the ROC curve of telling the same class from different ones; 0.5 is chance.
        same_mean: mean of the measure over pairs of the same class.
        different_mean: mean of the measure over pairs of different classes.
        edges: (BINS + 1,) edges of the histograms.
        same: (BINS,) pairs of the same class in each bin.
        different: (BINS,) pairs of different classes in each bin.
    """

    auc: float
    same_mean: float
    different_mean: float
    edges: list[float]
    same: list[int]
    different: list[int]


@dataclass(frozen=True)
class KeySimilarity:
    """Result of a comparison of keys.

    Attributes:
        info: everything that the numbers depend on.
        counts: numbers of keys, classes and pairs, and of left-out items.
        measures: name in `MEASURES` -> its distribution.
    """

    info: dict[str, Any]
    counts: dict[str, int]
    measures: dict[str, Distribution]

    def to_json(self) -> dict[str, Any]:
        """Return plain values, unrounded."""
        return asdict(self)

    def to_text(self) -> str:
        """Return a table for the terminal: one line per measure, then every count."""
        rows = [
            (MEASURES[name].title, f"{x.auc:.3f}", f"{x.same_mean:.4g}", f"{x.different_mean:.4g}")
            for name, x in self.measures.items()
        ]
        heads = ("measure", "AUC", "mean, same class", "mean, different")
        measures = tabulate(
            rows, heads, "plain", disable_numparse=True, colalign=("left", *["right"] * 3)
        )
        counts = [(name.replace("_", " "), n) for name, n in self.counts.items()]
        failed = self.info["images_failed"]
        parts = [measures, tabulate(counts, tablefmt="plain", numalign="left")]
        return "\n".join(parts + [f"failed: {image['reason']}" for image in failed])


def key_similarity(
    data: str,
    *,
    backbone: str,
    weights: str | None,
    per: str,
    pairs: int,
    seed: int,
    max_side: int,
    device: str,
) -> KeySimilarity:
    """Return the measures over the keys of a dataset spec.

    Args:
        data: dataset spec.
        backbone: name of the network.
        weights: weights of the network; None for its default.
        per: "instance" or "image": the objects that have a key.
        pairs: largest number of pairs of each kind; if there are more, this many are drawn.
        seed: seed of the draws.
        max_side: longest side of the network's input, pixels; 0 is no limit.
        device: device of the network.
    Raises: UserError for any wrong argument, and if all pairs are of one kind.
    """
    if pairs < 1:
        raise UserError(f"--pairs is {pairs}, but at least 1 is needed")
    if max_side < 0:
        raise UserError(f"--max-side is {max_side}; give pixels, or 0 for no limit")
    if seed < 0:
        raise UserError(f"--seed is {seed}, but a whole number from 0 is needed")
    dataset = in_pixel_frame(load_spec(data), data)
    network = build_backbone(backbone, weights).to(device)
    keys = mean_keys(dataset, network, per=per, max_side=max_side, name=data)
    info = {
        "software": "boxrefine_d2",
        "version": boxrefine_d2.__version__,
        "data": data,
        "per": per,
        "facet": "key",
        "backbone": backbone,
        "weights": asdict(network.weights_info),
        "max_side": max_side,
        "pairs_at_most": pairs,
        "seed": seed,
        "images_failed": keys.failed,
    }
    counts = {"images": len(dataset.records), "images_failed": len(keys.failed), **keys.counts}
    return compare(keys, dataset.category_names, pairs, seed, info, counts)


def compare(
    keys: MeanKeys,
    class_names: Sequence[str],
    pairs: int,
    seed: int,
    info: dict[str, Any],
    counts: dict[str, int],
) -> KeySimilarity:
    """Return the measures over the pairs of keys; see `key_similarity`.

    Args:
        keys: the keys.
        class_names: names of the classes, for messages.
        pairs: largest number of pairs of each kind.
        seed: seed of the draws.
        info: entries of the result's `info`.
        counts: first entries of the result's `counts`.
    Raises: UserError if no pair, or every pair, is of one class.
    """
    table, classes = torch.stack(keys.keys).numpy(), np.array(keys.classes)
    rng = np.random.default_rng(seed)
    labels = np.unique(classes)
    same, all_same = class_pairs(classes, same=True, most=pairs, rng=rng)
    different, all_different = class_pairs(classes, same=False, most=pairs, rng=rng)
    if not all_different:
        raise UserError(
            f"all {len(classes)} keys are of one class, {class_names[labels[0]]!r}; "
            "keys of two classes are compared"
        )
    if not all_same:
        raise UserError(
            f"each of the {len(classes)} keys has a class of its own; "
            "pairs of one class are compared"
        )
    counts = counts | {
        "keys": len(classes),
        "classes": len(labels),
        "pairs_of_the_same_class": all_same,
        "pairs_of_different_classes": all_different,
        "compared_of_the_same_class": len(same),
        "compared_of_different_classes": len(different),
        "of_the_same_class_in_one_image": _in_one_image(same, keys.images),
        "of_different_classes_in_one_image": _in_one_image(different, keys.images),
    }
    measures = {
        name: _distribution(
            measured(table, same, measure), measured(table, different, measure), measure.grows
        )
        for name, measure in MEASURES.items()
    }
    return KeySimilarity(info, counts, measures)


def _in_one_image(pairs: np.ndarray, images: Sequence[int]) -> int:
    return int((np.array(images)[pairs[:, 0]] == np.array(images)[pairs[:, 1]]).sum())


def _distribution(same: np.ndarray, different: np.ndarray, grows: bool) -> Distribution:
    edges = np.histogram_bin_edges(np.concatenate([same, different]), bins=BINS)
    return Distribution(
        auc=roc_auc(same, different, grows=grows),
        same_mean=float(same.mean()),
        different_mean=float(different.mean()),
        edges=edges.tolist(),
        same=np.histogram(same, edges)[0].tolist(),
        different=np.histogram(different, edges)[0].tolist(),
    )
