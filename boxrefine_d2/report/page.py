"""report.html: what runs found, in one page without scripts, that needs nothing but itself."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode

from boxrefine_d2.evaluation.sources import REFINED
from boxrefine_d2.files.atomic import atomic_text_file
from boxrefine_d2.training.setup import load_config

from .detector_section import detector_section
from .detectors import Detector
from .example_cards import example_cards
from .frame import framed, section
from .page_text import escape
from .pictures import examples
from .rule_maps import rule_title
from .run_folder import Run
from .summary import flat
from .tables import fact_table, headline_table, number, outcome_tally, record_table, seeds_text
from .training_charts import training_charts

TITLE = "Box-based refinement: what it found"
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
    """Writes the page.

    Args:
        summary: as `summarise` gives for these runs.
        shown: how many test images; the first run draws them.
        detectors: trained on the first run's boxes; the boxes of the last one are drawn, too.
    Raises: UserError if the first run's model is not there or `path` cannot be written.
    """
    page = framed(
        TITLE,
        _verdict(summary),
        f'<p class="soft">{_what(summary)}</p>',
        [
            section("result", "Result", _tables(summary)),
            detector_section(summary),
            section(
                "images",
                "Images: helped, hurt, and neither",
                _images(summary, runs[0], shown, detectors[-1:]),
            ),
            section("curves", "Training", training_charts(runs)),
            section("record", "Record of the run", record_table(summary)),
            section("repeat", "To repeat it", _repeat(summary, runs[0])),
        ],
    )
    with atomic_text_file(path) as file:
        file.write(page)


def _verdict(summary: dict[str, Any]) -> str:
    """The result in words; a gain is called one only if its interval is above zero."""
    rule, corloc = summary["rule"], summary["corloc"]
    gain = summary["gain"][f"{REFINED}_minus_{rule}"]
    low, high = gain["ci95"]
    numbers = (
        f"Before refinement {escape(rule_title(rule))} finds an object in <b>{number(corloc[rule])} %</b> of the "
        f"{summary['images']} test images, after it in <b>{number(corloc[REFINED])} %</b>: "
        f"{number(gain['mean'], signed=True)} points, 95 % interval "
        f'<span class="num">[{number(low, signed=True)}, {number(high, signed=True)}]</span>.'
    )
    if low > 0:
        meaning = "Refinement helped."
    elif high < 0:
        meaning = "Refinement hurt."
    else:
        several = len(summary["seeds"]) > 1
        who = "these runs do" if several else "this run does"
        meaning = f"The interval holds zero: {who} not show that refinement helps or hurts."
    return f"{numbers} {meaning}"


def _what(summary: dict[str, Any]) -> str:
    rule = escape(rule_title(summary["rule"]))
    return (
        f"CorLoc is the share of images whose one box has an IoU of at least 0.5 with any object. {rule} draws that "
        "box from a network <i>f</i>, without labels. A detector <i>h</i> is fitted to these boxes, and through it "
        f"<i>f</i> is refined; then {rule} draws its box again. Labels are used for scoring only."
    )


def _tables(summary: dict[str, Any]) -> str:
    seeds = summary["seeds"]
    draws = f"{summary['bootstrap_draws']:,}".replace(",", " ")
    if len(seeds) > 1:
        how = f"images and, within each draw, the {len(seeds)} seeds"
    else:
        how = "images; with a single seed it says nothing of how much another seed would differ"
    note = (
        f'<p class="soft small">95 % intervals: paired bootstrap, {draws} draws, over {how}. '
        "The dot is the mean, the pale bar the interval, each tick a seed.</p>"
    )
    tables = [headline_table(name, found, summary) for name, found in summary["datasets"].items()]
    return "".join([*tables, note])


def _images(summary: dict[str, Any], run: Run, count: int, detectors: Sequence[Detector]) -> str:
    dataset = summary["dataset"]
    rule = escape(rule_title(run.rule))
    found = examples(run, dataset, count, detectors)
    intro = (
        f"<p>An image is <b>helped</b> if only the box after refinement hits an object, and <b>hurt</b> if only the "
        f"one before does. Below: {len(found)} of the {summary['images']} images, drawn with the model of seed "
        f"{run.seed}. They are the first of each kind in the order of the data set, up to a third helped and a third "
        "hurt, so changed images are shown more often than they occur; the bars give the true shares.</p>"
    )
    strange = [escape(example.name) for example in found if not example.agrees]
    warning = (
        f'<p class="warning">The boxes drawn now differ from those that the run was scored with on '
        f"{len(strange)} of these images ({', '.join(strange)}): data or code have changed since, or two patches "
        "are equal but for rounding. The labels are the run's.</p>"
    )
    tally = outcome_tally(summary, dataset)
    return intro + tally + (warning if strange else "") + example_cards(found, run.rule, rule)


def _repeat(summary: dict[str, Any], run: Run) -> str:
    commands = "".join(f"<pre>{escape(command)}</pre>" for command in summary["commands"])
    weights = summary["weights"]
    facts = {
        "Seeds": seeds_text(summary),
        "Network f": run.cfg.MODEL.MAP_NETWORK.NAME,
        "Weights f started from": f"{weights['source']}, SHA-256 {weights['sha256']}",
        "Trained on": ", ".join(run.cfg.DATASETS.TRAIN) + " (images only)",
        "Tested on": ", ".join(run.cfg.DATASETS.TEST),
        "Device": run.cfg.MODEL.DEVICE,
        "Versions": ", ".join(f"{name} {found}" for name, found in summary["versions"].items()),
    }
    return (
        f"<p>One command a seed made these numbers:</p>{commands or '<p>not recorded</p>'}{fact_table(facts)}"
        f"{changed_settings(run.cfg, PAPER_PROFILE)}"
    )


def changed_settings(cfg: CfgNode, profile: str) -> str:
    """The settings of a run that differ from those of a profile that ships, folded up."""
    there = _settings(load_config(profile, []))
    changed = {
        key: f"{value!r} (there: {there.get(key)!r})"
        for key, value in _settings(cfg).items()
        if key not in _NOT_SETTINGS and value != there.get(key)
    }
    return (
        f"<details><summary>Settings that differ from {profile}, the paper profile ({len(changed)})</summary>"
        f"{fact_table(changed)}</details>"
    )


def _settings(cfg: CfgNode) -> dict[str, Any]:
    """By full name, as yaml has them: tuples and lists are alike there."""
    return flat(CfgNode.load_cfg(cfg.dump()))
