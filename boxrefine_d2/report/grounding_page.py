"""Page of a phrase-grounding run: accuracies of all sources, and figures of single phrases."""

import shlex
from importlib import metadata
from pathlib import Path
from typing import Any

from markupsafe import Markup

from boxrefine_d2.evaluation.bootstrap import DRAWS
from boxrefine_d2.files.atomic import atomic_text_file

from .grounding_cards import phrase_cards, phrase_legend
from .grounding_figures import load_grounding_model, phrase_examples
from .grounding_kinds import BOX, POINTING
from .grounding_run import GroundingRun
from .grounding_tables import accuracy_table, grounding_record, outcome_tallies
from .page import changed_settings
from .rendering import render
from .summary import versions
from .training_charts import training_charts

SHOWN_PHRASES = 12  # of each dataset

_VERDICT = {POINTING: "The point is right", BOX: "The box is right"}


def write_grounding_page(path: str | Path, run: GroundingRun, shown: int = SHOWN_PHRASES) -> None:
    """Write the page.

    Args: shown: largest number of phrases of each test dataset.
    Raises: UserError if the model, its CLIP or the dataset is missing, or `path` cannot be written.
    """
    model = load_grounding_model(run)
    kind = run.kind
    page = render(
        "grounding/page.html",
        title=kind.title,
        verdict=_verdict(run),
        story=kind.story,
        tables=[accuracy_table(name, hits, kind) for name, hits in run.hits.items()],
        draws=f"{DRAWS:,}".replace(",", " "),
        before=kind.sources[kind.before].title,
        after=kind.sources[kind.after].title,
        shown=shown,
        legend=phrase_legend(kind),
        phrases=[_phrases(run, model, name, shown) for name in run.hits],
        curves=training_charts([run], "g", phased=kind.phased),
        record=grounding_record(run),
        command=_command(run),
        facts=_facts(run, model),
        settings=changed_settings(run.cfg, kind.profile),
    )
    with atomic_text_file(path) as file:
        file.write(page)


def _verdict(run: GroundingRun) -> Markup:
    """Return the result on the first dataset in words."""
    before, after = run.kind.before, run.kind.after
    name, hits = next(iter(run.hits.items()))
    return render(
        "grounding/verdict.html",
        evaluated=hits.counts["evaluated"],
        name=name,
        before=run.kind.sources[before].title,
        after=run.kind.sources[after].title,
        metrics=[
            (
                statement,
                [hits.rate(metric, source).mean for source in (before, after)],
                hits.gain(metric, before, after).to_json(),
            )
            for metric, statement in _VERDICT.items()
        ],
    )


def _phrases(
    run: GroundingRun, model: Any, name: str, count: int
) -> tuple[str, Markup, list[tuple[str, str]], Markup]:
    """Return the phrases of one dataset: its name, bars, phrases that changed since, and cards."""
    examples = phrase_examples(run, model, name, count)
    changed = [(example.phrases[0], example.name) for example in examples if not example.agrees]
    tallies = outcome_tallies(run.hits[name], run.kind)
    return name, tallies, changed, phrase_cards(examples, run.kind)


def _command(run: GroundingRun) -> str:
    config = run.folder / "config.yaml"
    return (
        f"python tools/train_net.py --config-file {shlex.quote(str(config))} OUTPUT_DIR NEW_FOLDER"
    )


def _facts(run: GroundingRun, model: Any) -> dict[str, Any]:
    cfg, started, clip = run.cfg, run.results["weights"], model.clip.weights_info
    facts = {
        "Seed": run.seed,
        "Network g": cfg.MODEL.HEATMAP.NAME,
        "Weights g started from": f"{started['source']}, SHA-256 {started['sha256']}",
        "CLIP": f"{cfg.MODEL.CLIP.NAME}: {clip.source}, SHA-256 {clip.sha256}",
    }
    if run.kind.phased:
        trunk = cfg.MODEL.MAP_DETECTOR
        facts["Trunk of h"] = f"{trunk.TRUNK}, weights {trunk.WEIGHTS}"
    return facts | {
        "Trained on": ", ".join(cfg.DATASETS.TRAIN) + " (images and phrases only)",
        "Tested on": ", ".join(cfg.DATASETS.TEST),
        "Steps": f"{cfg.SOLVER.MAX_ITER}, of {cfg.SOLVER.IMS_PER_BATCH} images",
        "Device": cfg.MODEL.DEVICE,
        "Version of the run": f"boxrefine_d2 {run.results['version']}",
        "Versions that drew this page": _versions(),
    }


def _versions() -> str:
    all_versions = versions() | {"transformers": metadata.version("transformers")}
    return ", ".join(f"{name} {version}" for name, version in all_versions.items())
