"""report.html: results of runs in one self-contained page without scripts."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode
from markupsafe import Markup

from boxrefine_d2.evaluation.sources import REFINED
from boxrefine_d2.files.atomic import atomic_text_file
from boxrefine_d2.training.setup import load_config

from .detector_section import detector_section
from .detectors import Detector
from .example_cards import example_cards
from .figures import examples
from .rendering import render
from .rule_maps import rule_title
from .run_folder import FinishedRun, Run
from .summary import flat
from .tables import headline_table, outcome_tally, record_table, seeds_text
from .training_charts import training_charts

TITLE = "Box-based refinement: results"
SHOWN_IMAGES = 12

PAPER_PROFILE = "configs/lost_refine.yaml"
_NOT_SETTINGS = ("SEED", "OUTPUT_DIR", "VERSION", "MODEL.DEVICE")


def write_page(
    path: str | Path,
    summary: dict[str, Any],
    runs: Sequence[Run],
    shown: int = SHOWN_IMAGES,
    detectors: Sequence[Detector] = (),
) -> None:
    """Write the page.

    Args:
        summary: result of `summarise` for these runs.
        shown: number of test images; the first run draws them.
        detectors: detectors trained on the first run's boxes; boxes of the last one are drawn, too.
    Raises: UserError if the first run's model is missing or `path` cannot be written.
    """
    page = render(
        "run/page.html",
        title=TITLE,
        verdict=_verdict(summary),
        rule=rule_title(summary["rule"]),
        result=_tables(summary),
        detectors=detector_section(summary),
        images=_images(summary, runs[0], shown, detectors[-1:]),
        curves=training_charts(runs),
        record=record_table(summary),
        repeat=repeat_section(summary, runs[0]),
    )
    with atomic_text_file(path) as file:
        file.write(page)


def _verdict(summary: dict[str, Any]) -> Markup:
    rule, corloc = summary["rule"], summary["corloc"]
    return render(
        "run/verdict.html",
        rule=rule_title(rule),
        before=corloc[rule],
        after=corloc[REFINED],
        gain=summary["gain"][f"{REFINED}_minus_{rule}"],
        images=summary["images"],
        seeds=len(summary["seeds"]),
    )


def _tables(summary: dict[str, Any]) -> Markup:
    return render(
        "run/result.html",
        tables=[
            headline_table(name, scores, summary) for name, scores in summary["datasets"].items()
        ],
        draws=f"{summary['bootstrap_draws']:,}".replace(",", " "),
        seeds=len(summary["seeds"]),
    )


def _images(summary: dict[str, Any], run: Run, count: int, detectors: Sequence[Detector]) -> Markup:
    dataset = summary["dataset"]
    shown = examples(run, dataset, count, detectors)
    bars = [(f"seed {one['seed']}", one["outcomes"][dataset]) for one in summary["runs"]]
    return render(
        "run/images.html",
        drawn=len(shown),
        images=summary["images"],
        seed=run.seed,
        tally=outcome_tally(bars),
        strange=[example.name for example in shown if not example.agrees],
        cards=example_cards(shown, run.rule, rule_title(run.rule)),
    )


def repeat_section(summary: dict[str, Any], run: FinishedRun) -> Markup:
    """Return commands, facts and settings of the runs; the first one tells the settings.

    Args: summary: "seeds", "weights", "versions" and "commands", as in `summarise`.
    """
    weights = summary["weights"]
    facts = {
        "Seeds": seeds_text(summary),
        "Network f": run.cfg.MODEL.MAP_NETWORK.NAME,
        "Weights f started from": f"{weights['source']}, SHA-256 {weights['sha256']}",
        "Trained on": ", ".join(run.cfg.DATASETS.TRAIN) + " (images only)",
        "Tested on": ", ".join(run.cfg.DATASETS.TEST) or "no labels",
        "Device": run.cfg.MODEL.DEVICE,
        "Versions": ", ".join(f"{name} {version}" for name, version in summary["versions"].items()),
    }
    return render(
        "run/repeat.html",
        commands=summary["commands"],
        facts=facts,
        settings=changed_settings(run.cfg, PAPER_PROFILE),
    )


def changed_settings(cfg: CfgNode, profile: str) -> Markup:
    """Return the settings of a run that differ from those of a shipped profile, in a <details>."""
    profile_settings = _settings(load_config(profile, []))
    changed = {
        key: f"{value!r} (profile: {profile_settings.get(key)!r})"
        for key, value in _settings(cfg).items()
        if key not in _NOT_SETTINGS and value != profile_settings.get(key)
    }
    return render("shared/settings.html", profile=profile, facts=changed)


def _settings(cfg: CfgNode) -> dict[str, Any]:
    """Return the settings by full name, as yaml reads them: tuples and lists are alike there."""
    return flat(CfgNode.load_cfg(cfg.dump()))
