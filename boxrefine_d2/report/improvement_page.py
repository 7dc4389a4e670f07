"""Page of an improvement: its verdict in a sentence, the next step, the signals, and the images."""

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from boxrefine_d2.data import load_spec, read_pseudo_labels
from boxrefine_d2.errors import UserError
from boxrefine_d2.files import inputs
from boxrefine_d2.files.atomic import atomic_text_file
from boxrefine_d2.improvement import BOXES, METHODS
from boxrefine_d2.improvement.inspection import counted
from boxrefine_d2.improvement.stages import MODEL
from boxrefine_d2.improvement.verdict import check_rounds
from boxrefine_d2.training.setup import load_config

from .improvement_images import ChangedBoxes, changed_boxes, image_sections
from .improvement_tables import labels_table, signals_table
from .page import PAPER_PROFILE, changed_settings
from .rendering import render
from .rule_maps import rule_title
from .summary import versions

TITLE = "Are the boxes better?"
LISTED_FAILURES = 50  # most failed images whose reasons are listed


@dataclass(frozen=True)
class ImprovementFiles:
    """Files of an improvement.

    Attributes:
        data: dataset spec of the images.
        verdict: verdict.json; the chosen boxes.json lies beside it.
        before: boxes from before refinement.
        after: boxes after each round.
        refined: weights file of the network after each round.
        runs: output directory of the training of each round.
        detector: output directory of the detector; None without one.
    """

    data: str
    verdict: Path
    before: Path
    after: Sequence[Path]
    refined: Sequence[Path]
    runs: Sequence[Path]
    detector: Path | None = None


def write_improvement_page(path: str | Path, files: ImprovementFiles, shown: int) -> None:
    """Write the page.

    Args: shown: most images of each kind.
    Raises: UserError for files that do not belong together, or if `path` cannot be written.
    """
    verdict = inputs.read_json(files.verdict, "verdict")
    with _as_verdict_wrote(files.verdict):
        rounds = verdict["rounds"]
        check_rounds(files.after, files.refined, files.runs)
        if len(rounds) != len(files.after):
            raise UserError(
                f"{files.verdict} is on {counted(len(rounds), 'round')}, and --after names "
                f"{counted(len(files.after), 'file')}: name those of every round"
            )
        page = _page(verdict, files, shown)
    with atomic_text_file(path) as file:
        file.write(page)


def _page(verdict: dict[str, Any], files: ImprovementFiles, shown: int) -> Markup:
    number = verdict["chosen_round"] or len(verdict["rounds"])  # the round whose images are shown
    of_round = verdict["rounds"][number - 1]
    labels = [read_pseudo_labels(path) for path in (files.before, files.after[number - 1])]
    changed: ChangedBoxes = changed_boxes(load_spec(files.data), files.data, *labels)
    failed = dict(list(verdict["images_failed"].items())[:LISTED_FAILURES])
    return render(
        "improvement/page.html",
        title=TITLE,
        verdict=_verdict(verdict, number),
        rule=rule_title(verdict["method"]),
        duplicates=verdict["near_duplicates"],
        measured=verdict["images_measured"],
        next_steps=_next_steps(verdict, files, number),
        rounds=[
            {
                "number": place,
                "signals": signals_table(found),
                "objections": found["objections"],
                "stopped": found["stopped"],
                "checks": max(0, len(found["checks"]) - 1),
            }
            for place, found in enumerate(verdict["rounds"], start=1)
        ],
        draws=f"{verdict['bootstrap_draws']:,}".replace(",", " "),
        labels=labels_table(of_round["labels"]) if of_round["labels"] else "",
        images=image_sections(changed, shown, rule_title(verdict["method"])),
        failures=len(verdict["images_failed"]),
        failed=failed,
        facts=_facts(verdict, files),
        settings=[
            changed_settings(load_config(str(run / "config.yaml"), []), PAPER_PROFILE)
            for run in files.runs[number - 1 : number]
        ],
    )


def _verdict(verdict: dict[str, Any], number: int) -> Markup:
    return render(
        "improvement/verdict.html",
        improved=verdict["improved"],
        sentence=verdict["sentence"],
        images=verdict["images_measured"],
        number=number,
        rounds=len(verdict["rounds"]),
    )


def _next_steps(verdict: dict[str, Any], files: ImprovementFiles, number: int) -> Markup:
    """Return the commands that use the results, as a user would type them."""
    boxes, improved = files.verdict.with_name(BOXES), verdict["improved"]
    steps: list[tuple[str, list[str | Path], str]] = [
        ("Look at all boxes", ["sheet", "--input", boxes, "--data", files.data], "sheet.html"),
        ("Export the boxes", ["export", "--input", boxes, "--format", "yolo"], "boxes_yolo"),
    ]
    commands = [(title, _command(words, "--output", name)) for title, words, name in steps]
    if improved:
        words: list[str | Path] = [
            "discover",
            "--method",
            verdict["method"],
            "--data",
            "folder:NEW",
        ]
        words += ["--backbone", verdict["backbone"]]
        words += ["--weights", files.refined[number - 1]]
        title = "Draw boxes of new images with the refined network"
        commands.append((title, _command(words, "--output", "new.json")))
    if files.detector:
        words = ["train-detector", "--config-file", files.detector / "config.yaml", "--eval-only"]
        words += ["MODEL.WEIGHTS", files.detector / MODEL, "DATASETS.TRAIN", "()"]
        words += ["DATASETS.TEST", '("folder:NEW",)']
        title = "Detect objects in new images with the detector that learnt from boxes.json"
        commands.append((title, _command(words, "OUTPUT_DIR", "output/new")))
    return render(
        "improvement/next.html",
        improved=improved,
        boxes=boxes,
        commands=commands,
        others=_other_choices(verdict),
    )


def _other_choices(verdict: dict[str, Any]) -> list[str]:
    """Return the flags that may find an improvement where these settings found none."""
    rules = [name for name in METHODS[:2] if name != verdict["method"]]
    larger = ["--backbone dino_vits16"] if verdict["backbone"] == "dino_mini" else []
    return [*larger, f"--method {rules[0]}"]


def _command(words: Sequence[str | Path], *more: str) -> str:
    return shlex.join(["boxrefine", *map(str, words), *more])


def _facts(verdict: dict[str, Any], files: ImprovementFiles) -> dict[str, str]:
    """Return the settings of the improvement, its versions and digests."""
    weights = [found or {} for found in verdict["weights"]]
    names = ["before", *(f"round {n}" for n in range(1, len(weights)))]
    parameters = ", ".join(f"{key} {value}" for key, value in verdict["parameters"].items())
    limits = ", ".join(f"{key} {value:g}" for key, value in verdict["thresholds"].items())
    facts = {
        "Images": f"{files.data} ({verdict['images']} with boxes)",
        "Rule": f"{verdict['method']}: {parameters}",
        "Network": f"{verdict['backbone']}, longest side {verdict['max_side']} pixels",
        "Limits of the decision": f"{limits} (percent points, and a factor)",
    }
    for name, found, digest in zip(names, weights, verdict["boxes_sha256"], strict=True):
        facts[f"Weights, {name}"] = f"{found.get('source')}, SHA-256 {found.get('sha256')}"
        facts[f"Boxes, {name}"] = f"SHA-256 {digest}"
    return facts | {
        "Versions": ", ".join(f"{name} {version}" for name, version in versions().items())
    }


@contextmanager
def _as_verdict_wrote(path: Path) -> Iterator[None]:
    """Turn errors in the content of verdict.json into a UserError that names the file."""
    try:
        yield
    except UserError:
        raise
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise UserError(
            f"{path} is not in the form that boxrefine improve verdict writes; make it again"
        ) from error
