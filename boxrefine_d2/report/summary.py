"""Summary of several runs of one configuration with different seeds."""

import platform
from collections.abc import Sequence
from importlib import metadata
from typing import Any

import numpy as np
from detectron2.config import CfgNode
from tabulate import tabulate

import boxrefine_d2
from boxrefine_d2.errors import UserError
from boxrefine_d2.evaluation.bootstrap import DRAWS, mean_with_interval, paired_gain
from boxrefine_d2.evaluation.sources import DETECTOR, REFINED

from .detectors import cad_source, gain_name
from .rule_maps import rule_title
from .run_folder import ImageHits, Run

OUTCOMES = ("helped", "hurt", "hit_both", "missed_both")

_LIBRARIES = ("detectron2", "torch", "torchvision", "timm", "numpy")
# keys that may differ between runs that belong together
_OWN_KEYS = ("SEED", "OUTPUT_DIR")


def summarise(
    runs: Sequence[Run], commands: Sequence[str] = (), detectors: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Return the content of results.json: the common result of the runs.

    Users rely on the keys "images" to "gain". CorLoc is in percent, a gain in percent points. The
    headline is of the first test dataset; "datasets" has all.

    Args:
        commands: command lines that made the runs.
        detectors: result of `detector_summary` for the first run.
    Raises: UserError if there is no run, or if configuration, code, data or weights differ.
    """
    check_together(runs)
    first = runs[0]
    datasets = {name: _of_dataset(runs, name) for name in first.hits}
    headline = next(iter(datasets.values()))
    result = {
        "version": first.results["version"],
        "rule": first.rule,
        "dataset": next(iter(datasets)),
        "images": headline["images"],
        "seeds": [run.seed for run in runs],
        "corloc": {source: value["mean"] for source, value in headline["corloc"].items()},
        "gain": headline["gain"],
        "datasets": datasets,
        "bootstrap_draws": DRAWS,
        "weights": first.results["weights"],
        "versions": versions(),
        "commands": list(commands),
        "runs": [_of_run(run) for run in runs],
    }
    if detectors:
        cad_sources = [cad_source(source) for source in detector_titles(first.rule)]
        result["corloc"] |= {x: detectors["sources"][x]["corloc"]["mean"] for x in cad_sources}
        result["detectors"] = detectors
    return result


def check_together(runs: Sequence[Run]) -> None:
    """Refuse runs that differ in anything but their seed and folder. Raises: UserError."""
    if not runs:
        raise UserError("a summary needs at least one run")
    first, run_of_seed = runs[0], {runs[0].seed: runs[0]}
    for run in runs[1:]:
        pair = f"{first.folder} and {run.folder}"
        if run.seed in run_of_seed:
            raise UserError(
                f"runs {run_of_seed[run.seed].folder} and {run.folder} have the same seed, "
                f"{run.seed}; take one of them"
            )
        run_of_seed[run.seed] = run
        for name, first_value, second_value in _differences(first, run):
            raise UserError(
                f"runs {pair} do not belong together: {name} is {first_value!r} in one and "
                f"{second_value!r} in the other"
            )
        for dataset, hits in first.hits.items():
            if hits.image_ids != run.hits[dataset].image_ids:
                raise UserError(f"runs {pair} were tested on different images of {dataset}")


def versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that the numbers depend on."""
    installed = {"boxrefine_d2": boxrefine_d2.__version__, "python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            installed[name] = metadata.version(name)
        except metadata.PackageNotFoundError:  # e.g. a source tree, which can still be imported
            installed[name] = "unknown"
    return installed


def outcomes(hits: ImageHits, rule: str) -> np.ndarray:
    """Return the outcome of refinement for each image, (N,) indices into `OUTCOMES`."""
    return outcome_codes(hits.by_source[rule], hits.by_source[REFINED])


def outcome_codes(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Return (N,) indices into `OUTCOMES` from (N,) bool, hits before and after.

    >>> outcome_codes(np.array([False, True, True, False]), np.array([True, False, True, False]))
    array([0, 1, 2, 3])
    """
    return np.select([~before & after, before & ~after, before & after], [0, 1, 2], default=3)


def outcome_counts(codes: np.ndarray) -> dict[str, int]:
    """Return outcome -> number of its occurrences in (N,) codes."""
    counts = np.bincount(codes, minlength=len(OUTCOMES)).tolist()
    return dict(zip(OUTCOMES, counts, strict=True))


def summary_table(summary: dict[str, Any]) -> str:
    """Return the result for a terminal: a block per test dataset, and a note on intervals."""
    seeds = summary["seeds"]
    blocks = [
        _block(name, dataset_summary, summary)
        for name, dataset_summary in summary["datasets"].items()
    ]
    if "detectors" in summary:
        blocks.insert(1, _detector_block(summary))
    over = "images and seeds" if len(seeds) > 1 else "images (one seed)"
    note = f"[95 % interval]: paired bootstrap over {over}, {summary['bootstrap_draws']} draws"
    return "\n\n".join([*blocks, note])


def labels(rule: str) -> dict[str, str]:
    """Return source -> words for its boxes, in the order of the work."""
    name = rule_title(rule)
    return {rule: f"{name} before", DETECTOR: "h, best box", REFINED: f"{name} after"}


def detector_titles(rule: str) -> dict[str, str]:
    """Return source of the boxes that a detector learnt from -> name of the detector."""
    titles = labels(rule)
    return {source: f"CAD on {titles[source]}" for source in (rule, REFINED)}


def _detector_block(summary: dict[str, Any]) -> str:
    trained, titles = summary["detectors"], detector_titles(summary["rule"])
    rows = []
    for source, title in titles.items():
        scores, gain = trained["sources"][cad_source(source)], trained["gain"][gain_name(source)]
        rows.append(
            (
                title,
                f"{scores['corloc']['mean']:.1f}",
                _interval(scores["corloc"]["ci95"], ".1f"),
                f"{gain['mean']:+.1f}",
                _interval(gain["ci95"], "+.1f"),
                f"{scores['ap50']:.1f}",
            )
        )
    return (
        f"Detectors trained on these boxes, {trained['steps']} steps, of seed {trained['seed']} "
        "only; CorLoc, percent\n"
        + _table(rows, ("", "CorLoc", "interval", "gain", "interval", "AP50"))
    )


def _block(name: str, scores: dict[str, Any], summary: dict[str, Any]) -> str:
    rule, seeds = summary["rule"], summary["seeds"]
    rows = [
        _row(label, scores["corloc"][source], ".1f")
        for source, label in labels(rule).items()
        if source in scores["corloc"]
    ]
    rows.append(_row("gain", scores["gain"][f"{REFINED}_minus_{rule}"], "+.1f"))
    heads = ("", "mean", "interval", *(f"seed {seed}" for seed in seeds))
    return f"CorLoc on {name}, {scores['images']} images, percent\n{_table(rows, heads)}"


def _row(title: str, value: dict[str, Any], form: str) -> tuple[str, ...]:
    each = (f"{x:{form}}" for x in value["per_seed"])
    return (title, f"{value['mean']:{form}}", _interval(value["ci95"], form), *each)


def _interval(ends: Sequence[float], form: str) -> str:
    return f"[{ends[0]:{form}}, {ends[1]:{form}}]"


def _table(rows: Sequence[Sequence[str]], heads: Sequence[str]) -> str:
    sides = ("left", *["right"] * (len(heads) - 1))
    return tabulate(rows, heads, "plain", disable_numparse=True, colalign=sides)


def _of_dataset(runs: Sequence[Run], dataset: str) -> dict[str, Any]:
    rule = runs[0].rule
    hits = {
        source: np.stack([run.hits[dataset].by_source[source] for run in runs])
        for source in labels(rule)
        if all(source in run.hits[dataset].by_source for run in runs)  # h may be absent
    }
    corloc = {
        source: mean_with_interval(x).to_json() | {"per_seed": (100 * x.mean(axis=1)).tolist()}
        for source, x in hits.items()
    }
    gain = {
        f"{source}_minus_{rule}": paired_gain(hits[rule], hits[source]).to_json()
        | {"per_seed": (100 * (hits[source].mean(axis=1) - hits[rule].mean(axis=1))).tolist()}
        for source in (REFINED, DETECTOR)
        if source in hits
    }
    return {"images": len(runs[0].hits[dataset].image_ids), "corloc": corloc, "gain": gain}


def _of_run(run: Run) -> dict[str, Any]:
    counts = {
        dataset: outcome_counts(outcomes(hits, run.rule)) for dataset, hits in run.hits.items()
    }
    return {
        "seed": run.seed,
        "config_sha256": run.results["config_sha256"],
        "outcomes": counts,
        "record": run.results["record"],
    }


def _differences(one: Run, other: Run) -> list[tuple[str, Any, Any]]:
    first, second = flat(one.cfg), flat(other.cfg)
    differences = [
        (key, first.get(key), second.get(key))
        for key in first | second
        if key not in _OWN_KEYS and first.get(key) != second.get(key)
    ]
    for key in ("version", "weights"):
        if one.results[key] != other.results[key]:
            differences.append((key, one.results[key], other.results[key]))
    return differences


def flat(cfg: CfgNode, prefix: str = "") -> dict[str, Any]:
    """Return a configuration as {"SOLVER.MAX_ITER": 260, ...}."""
    settings: dict[str, Any] = {}
    for key, value in cfg.items():
        name = f"{prefix}{key}"
        settings |= flat(value, f"{name}.") if isinstance(value, CfgNode) else {name: value}
    return settings
