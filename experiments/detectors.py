"""The tables of detectors in docs/results/small_world.md.

    python experiments/detectors.py --seeds 0,1,2      # run both pipelines and keep the results
    python experiments/detectors.py --seeds 3          # one more seed

The pipeline configs/pipelines/small_world_labels.yaml makes the labels once. The pipeline
small_world.yaml trains the detectors once per seed. Both skip completed stages. The results are
kept in experiments/small_world/detectors.json; experiments/small_world.py writes the page.
"""

import argparse
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kept_results import (
    NOT_RUN,
    interval,
    keep,
    keep_seed,
    markdown,
    number,
    read_json,
    read_kept,
    run_list,
    run_pipeline,
    seed_count,
)
from scipy.stats import t

from boxrefine_d2.errors import CommandParser, run_command

KEPT = Path(__file__).parent / "small_world" / "detectors.json"
LABELS, DETECTORS = (
    f"configs/pipelines/{name}.yaml" for name in ("small_world_labels", "small_world")
)
DATA, TRAIN = "cutouts_val", "cutouts_train"
METRICS = {
    "corloc": "CorLoc",
    "ap50": "box AP50",
    "ap": "box AP",
    "segm_ap50": "mask AP50",
    "segm_ap": "mask AP",
}
# Title of each result -> file with its metrics, in the output directory of the labels or of a seed.
OF_LABELS = {
    "LOST": "lost_score/metrics.json",
    "LOST, learnt from": "lost_train_score/metrics.json",
    "MaskCut, without CRF": "maskcut_score/metrics.json",
}
OF_SEEDS = {
    "CAD on LOST": "cad/results.json",
    "CAD on LOST, confirmed": "cad_confirmed/results.json",
    "CAD on LOST, learnt from": "cad_on_train/results.json",
    "LOST on the refined backbone": "refined_score/metrics.json",
    "LOST on the refined backbone, learnt from": "refined_train_score/metrics.json",
    "CAD on LOST on the refined backbone": "cad_refined/results.json",
    "CAD on LOST on the refined backbone, learnt from": "cad_refined_on_train/results.json",
    "CutLER on MaskCut": "cutler/results.json",
    "a round of self-training": "self_train/train_1/results.json",
    "a second round": "self_train/train_2/results.json",
    "a third round": "self_train/train_3/results.json",
    "without overlaps": "cutler_separate/results.json",
    "confirmed": "cutler_confirmed/results.json",
    "the trunk that ships": "tenth_from_trunk/results.json",
    "CutLER's detector": "tenth/results.json",
}
# Weights from which an ordinary detector of classes starts.
STARTS = ("the trunk that ships", "CutLER's detector")
MAIN = (
    "LOST",
    "CAD on LOST",
    "CAD on LOST, confirmed",
    "LOST on the refined backbone",
    "CAD on LOST on the refined backbone",
    "MaskCut, without CRF",
    "CutLER on MaskCut",
    "a round of self-training",
    "a second round",
    "a third round",
)
# CAD on its training images; LOST and the paper score it this way.
LEARNT = tuple(title for title in (*OF_LABELS, *OF_SEEDS) if title.endswith(", learnt from"))
# Pairs that are compared seed by seed: the second minus the first.
PAIRS = (
    ("LOST", "CAD on LOST"),
    ("LOST", "CAD on LOST, confirmed"),
    ("LOST on the refined backbone", "CAD on LOST on the refined backbone"),
    ("CAD on LOST", "CAD on LOST on the refined backbone"),
    ("MaskCut, without CRF", "CutLER on MaskCut"),
    ("LOST, learnt from", "CAD on LOST, learnt from"),
    ("CutLER on MaskCut", "a round of self-training"),
    ("a round of self-training", "a third round"),
)
# Title of each of the thesis's training sets -> title of its result, and its labels.
TRAINING_SETS = {
    "all of MaskCut": ("CutLER on MaskCut", "maskcut"),
    "without overlaps": ("without overlaps", "separate"),
    "confirmed by the detector": ("confirmed", "confirmed"),
}
IMAGES = {
    "": "all images",
    "+separate": "images without overlapping instances",
    "+overlapping": "images with overlapping instances",
}


def run(seeds: list[str], output: Path) -> None:
    """Run the pipelines and keep the results of each as soon as it is complete.

    Kept results of other seeds stay.

    Raises: UserError for a run that failed.
    """
    labels = output / "labels"
    kept = run_pipeline(LABELS, [f"folder={labels}"])
    kept["results"] = {title: _metrics(labels / file) for title, file in OF_LABELS.items()}
    kept["counts"] = {name: _counts(labels / name) for name in ("maskcut", "separate")}
    keep(KEPT, lambda all_kept: all_kept.update(labels=kept))
    for seed in seeds:
        folder = output / f"seed_{seed}"
        of_seed = run_pipeline(DETECTORS, [f"seed={seed}", f"labels={labels}", f"folder={folder}"])
        of_seed["results"] = {title: _metrics(folder / file) for title, file in OF_SEEDS.items()}
        of_seed["counts"] = {"confirmed": _counts(folder / "confirmed")}
        keep_seed(KEPT, seed, of_seed)


def _metrics(path: Path) -> dict[str, dict[str, float]]:
    """Return the metrics of each subset of the data; the key is the modifier of its name."""
    content = read_json(path)
    datasets = content.get("datasets", {DATA: content})
    return {
        name.removeprefix(DATA).removeprefix(TRAIN): {
            key: value for key, value in _of_all_classes(values).items() if key in METRICS
        }
        for name, values in datasets.items()
    }


def _of_all_classes(values: dict[str, Any]) -> dict[str, float]:
    """Return metrics by the names of `METRICS`.

    Detectron2's evaluator has two groups of metrics, with names in capitals.
    """
    boxes, masks = values.get("bbox", {}), values.get("segm", {})
    named = {name.lower(): value for name, value in boxes.items()}
    return values | named | {f"segm_{name.lower()}": value for name, value in masks.items()}


def _counts(folder: Path) -> dict[str, int]:
    """Return the number of labels of a file, and of images with labels."""
    content = read_json(folder / "labels.json")
    images = {label["image_id"] for label in content["annotations"]}
    return {"images": len(images), "labels": len(content["annotations"])}


def tables() -> str:
    """Return the tables: detectors and their labels, differences, the thesis's training sets."""
    kept = read_kept(KEPT)
    seeds = kept["seeds"]
    if not seeds:
        return NOT_RUN
    runs = [("labels", kept["labels"]), *((f"seed {seed}", run) for seed, run in seeds.items())]
    return "\n\n".join(
        [
            _result_table(kept, MAIN),
            f"On `{TRAIN}`, CAD's training images, on which LOST and the paper score it:",
            _result_table(kept, LEARNT),
            "Differences in points, seed by seed:",
            _difference_table(kept),
            "The thesis's training sets for CutLER's detector, with the same number of steps:",
            _thesis_table(kept),
            "An ordinary Mask R-CNN of the classes, trained on a tenth of the labelled images "
            f"of `{TRAIN}`:",
            _start_table(kept),
            f"`{DATA}`, {seed_count(seeds)}: {run_list(runs)}.",
        ]
    )


def _result_table(kept: dict[str, Any], titles: Sequence[str]) -> str:
    rows = [
        [title, *(_cell(_values(kept, title, "", metric)) for metric in METRICS)]
        for title in titles
    ]
    return markdown(["", *METRICS.values()], rows)


def _difference_table(kept: dict[str, Any]) -> str:
    rows = []
    for pair in PAIRS:
        cells = [_cell(_gains(kept, *pair, metric), signed=True) for metric in METRICS]
        rows.append(["{1}, minus {0}".format(*pair), *cells])
    return markdown(["", *METRICS.values()], rows)


def _thesis_table(kept: dict[str, Any]) -> str:
    rows = []
    for title, (result, labels) in TRAINING_SETS.items():
        all_counts = [run["counts"] for run in (kept["labels"], *kept["seeds"].values())]
        sets = [counts[labels] for counts in all_counts if labels in counts]
        images, masks = (
            round(statistics.mean(one[key] for one in sets)) for key in ("images", "labels")
        )
        for subset, name in IMAGES.items():
            cells = [_cell(_values(kept, result, subset, metric)) for metric in METRICS]
            rows.append([f"{title} ({images} images, {masks} masks)", name, *cells])
    return markdown(["trained on", "scored on", *METRICS.values()], rows)


def _start_table(kept: dict[str, Any]) -> str:
    metrics = {key: title for key, title in METRICS.items() if key != "corloc"}
    rows = [
        [title, *(_cell(_values(kept, title, "", metric)) for metric in metrics)]
        for title in STARTS
    ]
    gains = [_cell(_gains(kept, *STARTS, metric), signed=True) for metric in metrics]
    return markdown(
        ["started from", *metrics.values()], [*rows, ["the second minus the first", *gains]]
    )


def _values(kept: dict[str, Any], title: str, subset: str, metric: str) -> list[float]:
    """Return one value per seed; results of the labels are the same for each seed.

    The list is empty for a metric that the result lacks. It is also empty if the kept results of a
    seed lack the result because they are older than its stage.
    """
    of_labels = kept["labels"]["results"]
    results = [of_labels.get(title) or run["results"].get(title) for run in kept["seeds"].values()]
    if None in results:
        return []
    return [result[subset][metric] for result in results if metric in result[subset]]


def _gains(kept: dict[str, Any], before: str, after: str, metric: str) -> list[float]:
    """Return `after` minus `before` for each seed; empty if one of them has no values."""
    pair = [_values(kept, title, "", metric) for title in (before, after)]
    return [b - a for a, b in zip(*pair, strict=True)] if all(pair) else []


def _cell(values: list[float], signed: bool = False) -> str:
    """Return the mean, with a 95 % interval if there are at least three seeds that differ.

    The interval is Student's t over the seeds.
    """
    if not values:
        return "–"
    mean = statistics.mean(values)
    if len(values) < 3 or len(set(values)) == 1:
        return number(mean, signed)
    half = t.ppf(0.975, len(values) - 1) * statistics.stdev(values) / len(values) ** 0.5
    return interval({"mean": mean, "ci95": [mean - half, mean + half]}, signed)


def main() -> int:
    """Run the command and return its exit code."""
    parser = CommandParser(prog="detectors.py", description=__doc__)
    parser.add_argument("--seeds", required=True, metavar="N[,N...]", help="seeds to run")
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("output/small_world/detectors"),
        metavar="DIR",
        help="output directory of the pipelines (default: %(default)s)",
    )
    args: argparse.Namespace = parser.parse_args()
    return run_command(lambda: run(args.seeds.split(","), args.output))


if __name__ == "__main__":
    sys.exit(main())
