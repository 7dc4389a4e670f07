"""Verdict on refinements: decided without labels, with the scores of labels beside it."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import boxrefine_d2
from boxrefine_d2.data import load_spec, read_pseudo_labels
from boxrefine_d2.data.frames import with_pixel_sizes
from boxrefine_d2.data.pseudo_label_file import PseudoLabels
from boxrefine_d2.data.records import LoadedDataset, Record
from boxrefine_d2.errors import UserError
from boxrefine_d2.evaluation import write_json
from boxrefine_d2.evaluation.bootstrap import DRAWS, Estimate
from boxrefine_d2.files import inputs
from boxrefine_d2.files.atomic import atomic_binary_file
from boxrefine_d2.networks import MapNetwork, build_backbone
from boxrefine_d2.networks.device import precision_of
from boxrefine_d2.networks.weights import file_sha256
from boxrefine_d2.pseudo_labels import DiscoverySettings

from .decision import IMPROVED, THRESHOLDS, UNCHANGED, Change, Signals, best_round, objections
from .inspection import LEAST_IMAGES
from .labels import detections_of, scores
from .signals import Measurement, measure
from .stages import BOXES, RESULTS, VERDICT, Network
from .summary import signals_of_round

PER_IMAGE = "per_image.json"


@dataclass(frozen=True)
class Comparison:
    """Files that a verdict compares.

    Attributes:
        data: dataset spec of the images.
        before: boxes from before refinement.
        after: boxes after each round.
        refined: weights file of the network after each round.
        runs: output directory of the training of each round.
        network: network from before.
    """

    data: str
    before: Path
    after: Sequence[Path]
    refined: Sequence[Path]
    runs: Sequence[Path]
    network: Network


def write_verdict(
    comparison: Comparison, folder: Path, *, images: int, device: str, num_workers: int
) -> dict[str, Any]:
    """Compare the boxes, and write verdict.json, boxes.json and per_image.json to a folder.

    boxes.json is a copy of the file with the chosen boxes.

    Args: images: most images on which the signals are measured.
    Returns: the content of verdict.json.
    Raises: UserError for files that do not belong together, or if too few images can be measured.
    """
    check_rounds(comparison.after, comparison.refined, comparison.runs)
    files = [read_pseudo_labels(path) for path in (comparison.before, *comparison.after)]
    _check_together(files, comparison)
    records = [_record(run) for run in comparison.runs]
    dataset = with_pixel_sizes(load_spec(comparison.data), comparison.data)
    networks = _networks(comparison, files, device)
    chosen = evenly(dataset.records, images)
    measured = measure(chosen, networks, _settings(files[0]), num_workers)
    if len(measured.images) < LEAST_IMAGES:
        raise UserError(
            f"{len(measured.images)} of {len(chosen)} images could be measured, and at least "
            f"{LEAST_IMAGES} are needed; the reason of the first failure: "
            f"{next(iter(measured.failed.values()), 'none')}"
        )
    verdict = verdict_of(comparison, dataset, files, measured, records)
    write_json(folder / PER_IMAGE, [asdict(image) for image in measured.images])
    best = verdict["chosen_round"]
    _copy(comparison.after[best - 1] if best else comparison.before, folder / BOXES)
    write_json(folder / VERDICT, verdict)
    return verdict


def check_rounds(after: Sequence[Path], refined: Sequence[Path], runs: Sequence[Path]) -> None:
    """Refuse files of different numbers of rounds. Raises: UserError."""
    if not len(after) == len(refined) == len(runs):
        raise UserError(
            f"--after names {len(after)} files, --refined {len(refined)} and --runs {len(runs)}: "
            "name one of each for every round"
        )


def verdict_of(
    comparison: Comparison,
    dataset: LoadedDataset,
    files: Sequence[PseudoLabels],
    measured: Measurement,
    records: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """Return the content of verdict.json.

    The decision reads the signals alone. The scores of labels are computed beside it.

    Args:
        files: boxes before, and after each round.
        records: record of the training of each round.
    """
    rounds = [
        signals_of_round(measured.images, number, record)
        for number, record in enumerate(records, start=1)
    ]
    best = best_round(rounds)
    found = [detections_of(labels) for labels in files]
    info = files[0].info
    failed = {f["file_name"]: f["reason"] for f in info.get("images_failed", [])}
    return {
        "version": boxrefine_d2.__version__,
        "improved": best is not None,
        "sentence": UNCHANGED if best is None else IMPROVED,
        "chosen_round": 0 if best is None else best + 1,
        "data": comparison.data,
        "images": len(files[0].images),
        "images_measured": len(measured.images),
        "near_duplicates": measured.near_duplicates,
        "images_failed": failed | measured.failed,
        **{key: info.get(key) for key in ("method", "parameters", "backbone", "max_side")},
        "bootstrap_draws": DRAWS,
        "thresholds": asdict(THRESHOLDS),
        "weights": [labels.info.get("weights") for labels in files],
        "boxes_sha256": [file_sha256(path) for path in (comparison.before, *comparison.after)],
        "rounds": [
            {
                "objections": objections(signals),
                "signals": signals_json(signals),
                "stopped": record.get("stopped"),
                "checks": record.get("drift", []),
                "labels": scores(dataset, comparison.data, found[0], after),
            }
            for signals, record, after in zip(rounds, records, found[1:], strict=True)
        ],
    }


def signals_json(signals: Signals) -> dict[str, Any]:
    """Return the signals as JSON values; an estimate is {"mean", "ci95"}."""

    def plain(value: Any) -> Any:
        if isinstance(value, Change):
            return {name: estimate.to_json() for name, estimate in vars(value).items()}
        return value.to_json() if isinstance(value, Estimate) else value

    return {name: plain(value) for name, value in vars(signals).items()}


def evenly(records: Sequence[Record], most: int) -> list[Record]:
    """Return at most `most` records, evenly spread over the data set.

    >>> evenly([0, 1, 2, 3, 4], 2), evenly([0, 1], 5)
    ([0, 2], [0, 1])
    """
    count = min(most, len(records))
    return [records[place * len(records) // count] for place in range(count)]


def _record(run: Path) -> dict[str, Any]:
    """Return the record in a run's results. Raises: UserError for results without a record."""
    path = run / RESULTS
    results = inputs.read_json(path, "results of a run")
    record = results.get("record") if isinstance(results, dict) else None
    if not isinstance(record, dict) or not record:
        raise UserError(f"{path} lacks 'record': repeat the run of the refinement")
    return record


def _check_together(files: Sequence[PseudoLabels], comparison: Comparison) -> None:
    keys = ("method", "parameters", "backbone", "max_side", "precision", "images_sha256")
    for labels, path in zip(files[1:], comparison.after, strict=True):
        for key in keys:
            one, other = files[0].info.get(key), labels.info.get(key)
            if one is None or one != other:
                raise UserError(
                    f"{comparison.before} and {path} do not belong together: {key} is {one!r} in "
                    f"one and {other!r} in the other; make both with the same discover command"
                )


def _settings(labels: PseudoLabels) -> DiscoverySettings:
    """Return the settings of a file without the steps on masks, which follow the rule."""
    info = labels.info
    parameters = {
        key: False if isinstance(value, dict) else value
        for key, value in info["parameters"].items()
    }
    return DiscoverySettings(
        info["method"],
        info["backbone"],
        parameters=parameters,
        batch_size=info["batch_size"],
        precision=info["precision"],
        max_side=info["max_side"],
    )


def _networks(
    comparison: Comparison, files: Sequence[PseudoLabels], device: str
) -> list[MapNetwork]:
    """Return the networks that drew the boxes of the files.

    Raises: UserError if the weights are others than those of a file.
    """
    own = comparison.network.weights or None
    weights = [own, *map(str, comparison.refined)]
    networks = []
    for path, labels in zip(weights, files, strict=True):
        network = build_backbone(comparison.network.backbone, path)
        stated = labels.info.get("weights") or {}
        if stated.get("sha256") != network.weights_info.sha256:
            raise UserError(
                f"weights {path or 'of ' + comparison.network.backbone}: their SHA-256 is not that "
                "of the weights that drew the boxes; name the weights of the boxes"
            )
        networks.append(network.to(device, precision_of(labels.info["precision"])))
    return networks


def _copy(source: Path, target: Path) -> None:
    with source.open("rb") as read, atomic_binary_file(target) as file:
        shutil.copyfileobj(read, file)
