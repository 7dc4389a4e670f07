"""Tables of the page."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from boxrefine_d2.evaluation.sources import DETECTOR, REFINED

from .rendering import number, render
from .summary import labels

# text of each of `OUTCOMES`
OUTCOME_TEXTS = {
    "helped": "helped: missed before, hit after",
    "hurt": "hurt: hit before, missed after",
    "hit_both": "hit before and after",
    "missed_both": "missed before and after",
}


def seeds_text(summary: dict[str, Any]) -> str:
    """Return the seeds, e.g. "0, 1, 2"."""
    return ", ".join(str(seed) for seed in summary["seeds"])


def headline_table(name: str, found: dict[str, Any], summary: dict[str, Any]) -> Markup:
    """Return the table of CorLoc on one test dataset, with intervals and each seed.

    Its rows are the rule before, h, the rule after, and the gain.
    """
    rule = summary["rule"]
    colours = {rule: "before", DETECTOR: "h", REFINED: "after"}
    gain = found["gain"][f"{REFINED}_minus_{rule}"]
    low, high = gain["ci95"]
    furthest = max(abs(x) for x in (low, high, *gain["per_seed"]))
    return render(
        "run/headline.html",
        name=name,
        images=found["images"],
        seeds=summary["seeds"],
        scores=[
            (label, colours[source], found["corloc"][source])
            for source, label in labels(rule).items()
            if source in found["corloc"]
        ],
        gain=gain,
        gain_colour="gain" if low > 0 else "loss" if high < 0 else "even",
        limit=next(x for x in (5, 10, 20, 30, 50, 100) if x >= furthest - 1e-9),
    )


def outcome_tally(bars: Sequence[tuple[str, Mapping[str, int]]]) -> Markup:
    """Return a bar per title with the numbers of images, or phrases, helped, hurt, or neither.

    Args: bars: title, and the number of each of `OUTCOMES`.
    """
    return render("shared/tally.html", bars=bars, texts=OUTCOME_TEXTS)


def record_table(summary: dict[str, Any]) -> Markup:
    """Return the record of each run, without labels: one row per quantity, one column per seed."""
    records = [run["record"] for run in summary["runs"]]
    return render(
        "run/record.html",
        seeds=summary["seeds"],
        rows=[
            (title, why, [show(record) for record in records]) for title, why, show in _RECORD_ROWS
        ],
    )


def _percent(name: str) -> Callable[[dict[str, Any]], str]:
    return lambda record: f"{number(record[name])} %" if name in record else "–"


def _gradient(record: dict[str, Any]) -> str:
    norms = record.get("gradient_norm_first_block") or []
    return " to ".join(map(_significant, norms)) or "–"


def _plain(name: str) -> Callable[[dict[str, Any]], str]:
    return lambda record: _significant(record[name]) if name in record else "–"


def _significant(value: float) -> str:
    """Return a number with three digits, or with all digits before the point."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _seconds(phase: str) -> Callable[[dict[str, Any]], str]:
    return lambda record: (
        f"{record['seconds'][phase]:.0f} s" if phase in record.get("seconds", {}) else "–"
    )


_RECORD_ROWS = [
    ("images measured", "training images", lambda record: str(record.get("images", "–"))),
    (
        "h hits the pseudo-box",
        "share of images where h's best box has IoU ≥ 0.5 with the rule's box that it learnt",
        _percent("h_hits_pseudo_box"),
    ),
    (
        "boxes changed",
        "share of images whose box by the rule differs before and after",
        _percent("boxes_changed"),
    ),
    (
        "feature shift",
        "mean relative L2 distance of the map (keys, a mask) to that of the frozen copy",
        _plain("feature_shift"),
    ),
    (
        "weight distance",
        "L2 distance of f's parameters to those of the frozen copy",
        _plain("weight_distance"),
    ),
    (
        "gradient of f's first block",
        "for a segmenter, of its head; smallest and largest norm in phase refine",
        _gradient,
    ),
    ("phase detector", "wall time of its steps", _seconds("detector")),
    ("phase refine", "wall time of its steps", _seconds("refine")),
    (
        "stopped by drift",
        "iteration and reason of the safety stop",
        lambda record: record.get("stopped") or "–",
    ),
    (
        "unreadable images",
        "training images that were replaced by their neighbours",
        lambda record: (
            str(len(record["unreadable_images"])) if "unreadable_images" in record else "–"
        ),
    ),
]
