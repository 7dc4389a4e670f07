"""The page of a run of phrase grounding: what every source found, and pictures of single phrases."""

import shlex
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from boxrefine_d2.files.atomic import atomic_text_file

from .bootstrap import DRAWS
from .frame import framed, section
from .grounding_cards import phrase_cards, phrase_legend
from .grounding_kinds import BOX, POINTING
from .grounding_pictures import PhraseExample, load_grounding_model, phrase_examples
from .grounding_run import GroundingRun
from .grounding_tables import accuracy_table, gain_text, grounding_record, outcome_tallies
from .page import changed_settings
from .page_text import escape
from .summary import versions
from .tables import fact_table, number
from .training_charts import training_charts

SHOWN_PHRASES = 12  # of each data set

_VERDICT = {POINTING: "The point is right", BOX: "The box is right"}


def write_grounding_page(path: str | Path, run: GroundingRun, shown: int = SHOWN_PHRASES) -> None:
    """Writes the page.

    Args: shown: how many phrases of each test data set, at most.
    Raises: UserError if the model, its CLIP or the data set is not there, or `path` cannot be written.
    """
    model = load_grounding_model(run)
    page = framed(
        run.kind.title,
        _verdict(run),
        f'<p class="soft">{_what(run)}</p>',
        [
            section("result", "Result", _tables(run)),
            section("phrases", "Phrases: helped, hurt, and neither", _phrases(run, model, shown)),
            section("curves", "Training", training_charts([run], "g", phased=run.kind.phased)),
            section("record", "Record of the run", grounding_record(run)),
            section("repeat", "To repeat it", _repeat(run, model)),
        ],
        "grounding_page.css",
    )
    with atomic_text_file(path) as file:
        file.write(page)


def _verdict(run: GroundingRun) -> str:
    """The result on the first data set in words; a gain is called one only if its interval is above zero."""
    kind = run.kind
    name, hits = next(iter(run.hits.items()))
    before, after = (escape(kind.sources[x].title) for x in (kind.before, kind.after))
    sentences = []
    for metric, what in _VERDICT.items():
        gain = hits.gain(metric, kind.before, kind.after)
        rates = [number(hits.rate(metric, source).mean) for source in (kind.before, kind.after)]
        if gain.low > 0:
            meaning = f"{after} is better."
        elif gain.high < 0:
            meaning = f"{after} is worse."
        else:
            meaning = "the interval holds zero, so this run shows no difference."
        sentences.append(
            f"{what} for <b>{rates[0]} %</b> of the phrases with {before} and for <b>{rates[1]} %</b> with {after}: "
            f"{gain_text(gain)}; {meaning}"
        )
    return (
        f"{hits.counts['evaluated']} phrases of <code>{escape(name)}</code>. {' '.join(sentences)}"
    )


def _what(run: GroundingRun) -> str:
    return (
        f"{run.kind.story} Of a heatmap the brightest pixel is the <b>point</b>, which is right, a hit, if it lies in a "
        "box of what the phrase names. The <b>box</b> is the one around all that is bright, a hit if its IoU with the box "
        "around what the phrase names is at least 0.5. Labels are used for scoring only."
    )


def _tables(run: GroundingRun) -> str:
    draws = f"{DRAWS:,}".replace(",", " ")
    note = (
        f'<p class="soft small">95 % intervals: bootstrap, {draws} draws, over images; that of the gain is paired. With '
        "a single seed they say nothing of how much another seed would differ. The dot is the mean, the pale bar the "
        "interval, on an axis from 0 to 100. Without box: phrases for which a source found none; they are misses.</p>"
    )
    tables = [accuracy_table(name, hits, run.kind) for name, hits in run.hits.items()]
    return "".join([*tables, note])


def _phrases(run: GroundingRun, model: Any, count: int) -> str:
    before, after = (escape(run.kind.sources[x].title) for x in (run.kind.before, run.kind.after))
    intro = (
        f"<p>A phrase is <b>helped</b> if only {after} hits, and <b>hurt</b> if only {before} does; in bars and badges "
        f"“before” is {before} and “after” {after}. Below are, of each data set, the first phrases of each kind in its "
        f"order, at most {count}: up to a third helped and a third hurt, by the box. So changed phrases are shown more "
        "often than they occur; the bars give the true shares.</p>"
    )
    parts = [intro, phrase_legend(run.kind)]
    for name, hits in run.hits.items():
        examples = phrase_examples(run, model, name, count)
        parts.append(
            f'<h3 class="dataset"><code>{escape(name)}</code></h3>{outcome_tallies(hits, run.kind)}'
            f"{_warning(examples)}{phrase_cards(examples, run.kind)}"
        )
    return "".join(parts)


def _warning(examples: Sequence[PhraseExample]) -> str:
    strange = [
        f"“{escape(example.phrases[0])}” of {escape(example.name)}"
        for example in examples
        if not example.agrees
    ]
    if not strange:
        return ""
    return (
        f'<p class="warning">What is drawn now differs from what the run was scored with on {len(strange)} of these '
        f"phrases ({', '.join(strange)}): data, CLIP or code have changed since, or two pixels are equal but for "
        "rounding. The labels are the run's.</p>"
    )


def _repeat(run: GroundingRun, model: Any) -> str:
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
    facts |= {
        "Trained on": ", ".join(cfg.DATASETS.TRAIN) + " (images and phrases only)",
        "Tested on": ", ".join(cfg.DATASETS.TEST),
        "Steps": f"{cfg.SOLVER.MAX_ITER}, of {cfg.SOLVER.IMS_PER_BATCH} images",
        "Device": cfg.MODEL.DEVICE,
        "Version of the run": f"boxrefine_d2 {run.results['version']}",
        "Versions that drew this page": _versions(),
    }
    config = run.folder / "config.yaml"
    command = (
        f"python tools/train_net.py --config-file {shlex.quote(str(config))} OUTPUT_DIR NEW_FOLDER"
    )
    return (
        f"<p>The run left its whole configuration; with the same files this makes it again:</p><pre>{escape(command)}</pre>"
        f"{fact_table(facts)}{changed_settings(cfg, run.kind.profile)}"
    )


def _versions() -> str:
    found = versions() | {"transformers": metadata.version("transformers")}
    return ", ".join(f"{name} {version}" for name, version in found.items())
