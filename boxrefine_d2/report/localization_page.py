"""Page of a localisation from class labels: its boxes, how good they are, and how it learnt."""

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from markupsafe import Markup

from boxrefine_d2.data import load_spec
from boxrefine_d2.data.records import LoadedDataset
from boxrefine_d2.evaluation.results import Curve
from boxrefine_d2.files.atomic import atomic_text_file
from boxrefine_d2.localization.box_labels import BOXES_FILE
from boxrefine_d2.localization.result import SourceResult

from .curves import chart
from .localization_images import image_cards
from .rendering import number, render
from .run_folder import FinishedRun
from .summary import versions
from .threshold_page import threshold_charts

TITLE = "Objects from class labels"
METRICS = {
    "gt_known": ("GT-known, IoU .5", "share of images whose box has an IoU of .5 or more"),
    "gt_loc_70": ("GT-known, IoU .7", "the same with .7"),
    "pxap": ("PxAP", "average precision of the pixels of the map, over all thresholds"),
    "top1_loc": ("top-1 location", "class and box are right"),
}
LISTED_CLASSES = 20
LISTED_FAILURES = 50  # most failed images whose reasons are listed
# Key of a check of early stopping -> its line in the chart, and the factor that makes it a percent.
CHECKS = {
    "inside_share": ("S, the share of the map inside its box", 100),
    "inside_excess": ("S less the area of the box", 100),
    "mean_map": ("mean of the map", 100),
    "gt_known": ("GT-known, IoU .5", 1),
}


@dataclass(frozen=True)
class LocalizationRun:
    """A finished localisation.

    Attributes:
        data: dataset spec of the images.
        runs: its trainings in order; the last one drew the boxes.
        results: the sources of the last run; the first one gives the boxes.
        folder: folder of the boxes.
    """

    data: str
    runs: Sequence[FinishedRun]
    results: Sequence[SourceResult]
    folder: Path

    @property
    def metrics(self) -> Mapping[str, Mapping[str, float]]:
        """Source -> metric -> percent."""
        found: Mapping[str, Mapping[str, float]] = self.runs[-1].results["datasets"][self.data]
        return found


def write_localization_page(path: str | Path, run: LocalizationRun, shown: int) -> None:
    """Write the page.

    Args: shown: most images on the page.
    Raises: UserError for files that do not belong together, or if `path` cannot be written.
    """
    dataset = load_spec(run.data)
    labels = run.results[0].labels()
    failures = labels.info.get("images_failed", [])
    cards = image_cards(dataset, run.results, shown)
    page = render(
        "localization/page.html",
        title=TITLE,
        verdict=_verdict(run, dataset, len(labels.images)),
        warnings=_warnings(run, len(labels.images)),
        boxes=run.folder / BOXES_FILE,
        commands=_commands(run),
        accuracy=_accuracy(run),
        charts=threshold_charts(_curves(run)),
        checks=_check_chart(run),
        sources=[result.title for result in run.results],
        cards=cards,
        labelled=any(card["truth"] for card in cards),
        images=len(dataset.records),
        failures=len(failures),
        failed={each["file_name"]: each["reason"] for each in failures[:LISTED_FAILURES]},
        facts=_facts(run, dataset),
    )
    with atomic_text_file(path) as file:
        file.write(page)


def _verdict(run: LocalizationRun, dataset: LoadedDataset, images: int) -> str:
    count = len(dataset.category_names)
    parts = [f"{images} images of {count} classes have a box and a mask each."]
    first = run.metrics.get(run.results[0].source.name, {})
    if "gt_known" in first:
        parts.append(
            f"By your labels, {number(first['gt_known'])} % of the boxes are on an object, with an "
            "IoU of .5 or more."
        )
    right, total = _held_out(run)
    if total:
        parts.append(
            f"The classifier names the class of {right} of {total} images that it did not learn "
            "from."
        )
    return " ".join(parts)


def _held_out(run: LocalizationRun) -> tuple[int, int]:
    """Return the images held out of the classifier whose class it names, and their number."""
    rows = _held_out_rows(run)
    return sum(label == predicted for _, label, predicted in rows), len(rows)


def _held_out_rows(run: LocalizationRun) -> list[list[Any]]:
    rows: list[list[Any]] = run.runs[0].results["record"].get("held_out") or []
    return rows


def _exceeds(right: int, total: int, most: int) -> bool:
    """Return whether the 95 % interval of an accuracy (normal approximation) is above a share."""
    share = right / total
    reach: float = 1.96 * (share * (1 - share) / total) ** 0.5
    return share - reach > most / total


def _warnings(run: LocalizationRun, images: int) -> list[str]:
    """Return what makes the boxes doubtful, a sentence each. Args: images: those with a box."""
    texts = []
    rows = _held_out_rows(run)
    right, total = _held_out(run)
    most = max(Counter(label for _, label, _ in rows).values(), default=0)
    if total and not _exceeds(right, total, most):
        texts.append(
            "It is not shown that the classifier knows the classes: always naming the most "
            f"frequent one is right {most} of {total} times, and the classifier {right} times. A "
            "map of a class that it does not know means nothing. Add images, train longer (--set "
            "iterations=1000), or start from a larger trunk (--set "
            "MODEL.CLASSIFIER.TRUNK=resnet50, whose weights are fetched once)."
        )
    for result in run.results:
        texts += [
            f"{result.title}: {reason}, on {count} of {images} images."
            for reason, count in result.reasons().items()
        ]
    return texts


def _commands(run: LocalizationRun) -> list[tuple[str, str]]:
    """Return the commands that use the result, as a user would type them."""
    boxes, last = str(run.folder / BOXES_FILE), run.runs[-1]
    of_boxes = ["--input", boxes]
    commands = [
        ("Look at all boxes and masks", ["sheet", *of_boxes, "--data", run.data], "sheet.html"),
        ("Export boxes with their classes", ["export", *of_boxes, "--format", "yolo"], "yolo"),
    ]
    network = {
        "ClassifierTraining": "classifier",
        "WeightMapTraining": "weight_map",
        "SelfDistilledCam": "distilled_heads",
    }.get(last.cfg.MODEL.META_ARCHITECTURE)
    if network:
        weights = last.folder / f"{network}.safetensors"
        words = ["discover", "--method", "largest_contour", "--data", "folder:NEW"]
        words += ["--backbone", network, "--weights", str(weights)]
        commands.append(("Draw boxes of new images, whose class nobody knows", words, "new.json"))
    return [
        (title, shlex.join(["boxrefine", *words, "--output", output]))
        for title, words, output in commands
    ]


def _accuracy(run: LocalizationRun) -> dict[str, Any] | None:
    """Return the table of metrics by source; None without labels."""
    known = [name for name in METRICS if any(name in own for own in run.metrics.values())]
    if not known:
        return None
    rows = [
        (
            result.title,
            [
                number(own[name]) if name in own else "–"
                for own in [run.metrics.get(result.source.name, {})]
                for name in known
            ],
        )
        for result in run.results
    ]
    return {"heads": [METRICS[name] for name in known], "rows": rows}


def _curves(run: LocalizationRun) -> list[Curve]:
    """Return the curves of boxes of the largest contour, one subject per source."""
    return [
        replace(curve, subject=result.title)
        for result in run.results
        for curve in result.curves()
        if curve.subject == "Box of the largest contour"
    ]


def _check_chart(run: LocalizationRun) -> dict[str, Any] | None:
    """Return the chart of early stopping; None for a run without checks."""
    record = run.runs[-1].results["record"]
    checks = record.get("map_checks") or []
    lines = {
        title: [(check["iteration"], factor * check[key]) for check in checks]
        for key, (title, factor) in CHECKS.items()
        if all(check.get(key) is not None for check in checks)
    }
    if len(checks) < 2:
        return None
    end = checks[-1]["iteration"]
    drawing: Markup = chart("Checks of the map", lines, [], end, smoothed=False)
    return {"charts": [("Checks", list(lines), drawing)], "kept": record.get("kept_iteration")}


def _facts(run: LocalizationRun, dataset: LoadedDataset) -> dict[str, str]:
    """Return data, networks, versions and digests."""
    classes = dataset.category_names
    more = len(classes) - LISTED_CLASSES
    facts = {
        "Images": f"{run.data} ({len(dataset.records)})",
        "Classes": ", ".join(classes[:LISTED_CLASSES]) + (f" and {more} more" if more > 0 else ""),
    }
    for each in run.runs:
        weights = each.results["weights"]
        title = each.cfg.MODEL.META_ARCHITECTURE
        facts[f"{title} started from"] = f"{weights['source']}, SHA-256 {weights['sha256']}"
        facts[f"{title}, settings"] = str(each.folder / "config.yaml")
    return facts | {
        "Seed": str(run.runs[-1].cfg.SEED),
        "Versions": ", ".join(f"{name} {version}" for name, version in versions().items()),
    }
