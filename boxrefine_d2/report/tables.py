"""The tables of the page. All text that comes from a run is escaped here."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from boxrefine_d2.evaluation.sources import DETECTOR, REFINED

from .page_text import escape
from .summary import OUTCOMES, labels

OUTCOME_TEXTS = {
    "helped": "helped: missed before, hit after",
    "hurt": "hurt: hit before, missed after",
    "hit_both": "hit before and after",
    "missed_both": "missed before and after",
}


def number(value: float, *, digits: int = 1, signed: bool = False) -> str:
    """With a true minus sign; what rounds to zero has none.

    >>> number(-1.25), number(-0.01), number(2.0, signed=True)
    ('−1.2', '0.0', '+2.0')
    """
    rounded = round(value, digits) + 0.0  # -0.0 becomes 0.0
    return f"{rounded:{'+' if signed else ''}.{digits}f}".replace("-", "−")


def seeds_text(summary: dict[str, Any]) -> str:
    """ "0, 1, 2"."""
    return ", ".join(str(seed) for seed in summary["seeds"])


def headline_table(name: str, found: dict[str, Any], summary: dict[str, Any]) -> str:
    """CorLoc before, of h, and after, and the gain, with intervals and each seed, of one test data set."""
    rule, seeds = summary["rule"], summary["seeds"]
    colours = {rule: "before", DETECTOR: "h", REFINED: "after"}
    rows = [
        _score_row(label, found["corloc"][source], colours[source], seeds)
        for source, label in labels(rule).items()
    ]
    gain = found["gain"][f"{REFINED}_minus_{rule}"]
    heads = "".join(f'<th scope="col" class="num">seed {seed}</th>' for seed in seeds)
    return (
        f'<div class="scroll"><table class="stack"><caption>CorLoc on <code>{escape(name)}</code>, '
        f"{found['images']} images, percent</caption>"
        '<thead><tr><th scope="col">boxes of</th><th scope="col" class="num">mean</th>'
        '<th scope="col" class="num">95 % interval</th>'
        f'<th scope="col"><span class="ends"><span>0</span><span>50</span><span>100</span></span></th>{heads}'
        f"</tr></thead><tbody>{''.join(rows)}{_gain_row(gain, seeds)}</tbody></table></div>"
    )


def outcome_tally(summary: dict[str, Any], dataset: str) -> str:
    """A bar a seed: how many images were helped, hurt, or neither."""
    bars = [tally_bar(f"seed {run['seed']}", run["outcomes"][dataset]) for run in summary["runs"]]
    return f"{''.join(bars)}{tally_keys()}"


def tally_bar(title: str, counts: Mapping[str, int]) -> str:
    """Shares of the outcomes, in words and as a bar. Args: counts: how many of each of `OUTCOMES`."""
    total = sum(counts.values())
    parts = "".join(
        f'<i class="t-{name}" style="width:{100 * counts[name] / total:.2f}%"></i>'
        for name in OUTCOMES
        if counts[name]
    )
    said = ", ".join(f"{counts[name]} {name.replace('_', ' ')}" for name in OUTCOMES)
    return (
        f'<div class="small soft">{title}: {said}</div>'
        f'<div class="tally" role="img" aria-label="{said}">{parts}</div>'
    )


def tally_keys() -> str:
    """What the parts of a `tally_bar` are."""
    keys = "".join(
        f'<li><i class="t-{name}"></i>{text}</li>' for name, text in OUTCOME_TEXTS.items()
    )
    return f'<ul class="keys">{keys}</ul>'


def record_table(summary: dict[str, Any]) -> str:
    """What each run did, without labels: one row a quantity, one column a seed."""
    runs = summary["runs"]
    rows = "".join(
        f'<tr><th scope="row">{escape(title)}<span class="why">{escape(why)}</span></th>'
        + _each_seed([show(run["record"]) for run in runs], summary["seeds"])
        + "</tr>"
        for title, why, show in _RECORD_ROWS
    )
    heads = "".join(f'<th scope="col" class="num">seed {run["seed"]}</th>' for run in runs)
    return (
        "<p>Measured without labels; where images are counted, they are training images. A value of zero in "
        "“boxes changed”, the gradient or the distance would mean that refinement did nothing.</p>"
        f'<div class="scroll"><table class="stack record"><thead><tr><th scope="col"></th>{heads}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def fact_table(facts: Mapping[str, Any]) -> str:
    """Names and values, two columns."""
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{escape(str(value))}</td></tr>'
        for name, value in facts.items()
    )
    return f'<table class="facts"><tbody>{rows}</tbody></table>'


def range_plot(value: dict[str, Any], low: float, high: float) -> str:
    """Interval, seeds and mean on an axis from `low` to `high`. Args: value: {"mean", "ci95", "per_seed"}."""

    def at(x: float) -> float:
        return 100 * (x - low) / (high - low)

    first, last = value["ci95"]
    zero = '<i class="zero"></i>' if low < 0 else ""
    ticks = value["per_seed"] if len(value["per_seed"]) > 1 else []
    seeds = "".join(f'<i class="seed" style="left:{at(x):.2f}%"></i>' for x in ticks)
    return (
        f'<span class="range" aria-hidden="true"><i class="axis"></i>{zero}'
        f'<i class="span" style="left:{at(first):.2f}%;width:{at(last) - at(first):.2f}%"></i>'
        f'{seeds}<i class="mean" style="left:{at(value["mean"]):.2f}%"></i></span>'
    )


def _score_row(label: str, value: dict[str, Any], colour: str, seeds: Sequence[int]) -> str:
    low, high = value["ci95"]
    each = _each_seed([number(x) for x in value["per_seed"]], seeds)
    plot = range_plot(value, 0, 100)
    return (
        f'<tr class="c-{colour}"><th scope="row"><span class="dot"></span>{escape(label)}</th>'
        f'<td class="num"><span class="big">{number(value["mean"])}</span></td>'
        f'<td class="num">[{number(low)}, {number(high)}]</td><td class="plot">{plot}</td>{each}</tr>'
    )


def _gain_row(gain: dict[str, Any], seeds: Sequence[int]) -> str:
    """The gain on an axis of its own, zero in the middle."""
    low, high = gain["ci95"]
    colour = "gain" if low > 0 else "loss" if high < 0 else "even"
    furthest = max(abs(x) for x in (low, high, *gain["per_seed"]))
    limit = next(x for x in (5, 10, 20, 30, 50, 100) if x >= furthest - 1e-9)
    ends = f"<span>−{limit}</span><span>0</span><span>+{limit}</span>"
    each = _each_seed([number(x, signed=True) for x in gain["per_seed"]], seeds)
    return (
        f'<tr class="gain c-{colour}"><th scope="row">gain, points</th>'
        f'<td class="num"><span class="big">{number(gain["mean"], signed=True)}</span></td>'
        f'<td class="num">[{number(low, signed=True)}, {number(high, signed=True)}]</td>'
        f'<td class="plot">{range_plot(gain, -limit, limit)}'
        f'<span class="ends small">{ends}</span></td>{each}</tr>'
    )


def _each_seed(values: Sequence[str], seeds: Sequence[int]) -> str:
    """A cell a seed; a narrow screen, where the head of the table is away, names the seed in it."""
    return "".join(
        f'<td class="num seed" data-seed="seed {seed}">{escape(value)}</td>'
        for seed, value in zip(seeds, values, strict=True)
    )


def _percent(name: str) -> Callable[[dict[str, Any]], str]:
    return lambda record: f"{number(record[name])} %" if name in record else "–"


def _gradient(record: dict[str, Any]) -> str:
    norms = record.get("gradient_norm_first_block") or []
    return " to ".join(map(_significant, norms)) or "–"


def _plain(name: str) -> Callable[[dict[str, Any]], str]:
    return lambda record: _significant(record[name]) if name in record else "–"


def _significant(value: float) -> str:
    """Three digits, or all before the point."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _seconds(phase: str) -> Callable[[dict[str, Any]], str]:
    return lambda record: (
        f"{record['seconds'][phase]:.0f} s" if phase in record.get("seconds", {}) else "–"
    )


_RECORD_ROWS = [
    ("images measured", "training images", lambda record: str(record.get("images", "–"))),
    (
        "h hits the pseudo-box",
        "share of images where h's best box has IoU ≥ 0.5 with the rule's box it was fitted to",
        _percent("h_hits_pseudo_box"),
    ),
    (
        "boxes changed",
        "share of images whose box by the rule differs before and after",
        _percent("boxes_changed"),
    ),
    (
        "feature shift",
        "mean relative L2 distance of the map (keys, a mask) to the first one",
        _plain("feature_shift"),
    ),
    (
        "weight distance",
        "L2 distance of f's parameters to the first ones",
        _plain("weight_distance"),
    ),
    (
        "gradient of f's first block",
        "of a segmenter its head; smallest and largest norm in phase refine",
        _gradient,
    ),
    ("phase detector", "wall time of its steps", _seconds("detector")),
    ("phase refine", "wall time of its steps", _seconds("refine")),
    (
        "stopped by drift",
        "where the safety stop ended refinement",
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
