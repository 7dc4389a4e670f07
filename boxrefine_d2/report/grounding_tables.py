"""The tables of a page of phrase grounding."""

from collections.abc import Callable
from typing import Any

from .bootstrap import Estimate
from .grounding_kinds import BOX, METRICS, POINTING, GroundingKind
from .grounding_run import GroundingRun, PhraseHits
from .page_text import escape
from .summary import outcome_counts
from .tables import fact_table, number, range_plot, tally_bar, tally_keys

_HEADS = {POINTING: "pointing", BOX: "box"}


def accuracy_table(name: str, hits: PhraseHits, kind: GroundingKind) -> str:
    """Both accuracies of every source on one data set, and what the second gains on the first."""
    sources = [source for source in kind.sources if source in hits.by_metric[BOX]]
    rows = []
    for source in sources:
        rows.append(_source_row(source, hits, kind))
        if source == kind.after:
            rows.append(_gain_row(hits, kind))
    evaluated, images = hits.counts["evaluated"], hits.counts["images"]
    heads = "".join(f'<th scope="col" class="num">{head}</th>' for head in _HEADS.values())
    return (
        f'<div class="scroll"><table class="stack record accuracy"><caption><code>{escape(name)}</code>: {evaluated} '
        f"phrases of {images} images; percent of the phrases</caption>"
        f'<thead><tr><th scope="col">answers of</th>{heads}<th scope="col" class="num">without box</th></tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def outcome_tallies(hits: PhraseHits, kind: GroundingKind) -> str:
    """A bar a metric: how many phrases were helped, hurt, or neither."""
    bars = [
        tally_bar(title, outcome_counts(hits.outcomes(metric, kind)))
        for metric, title in METRICS.items()
    ]
    return f"{''.join(bars)}{tally_keys()}"


def grounding_record(run: GroundingRun) -> str:
    """What the run did, without labels; what it did not record is left out."""
    record = run.results["record"]
    facts = {title: show(record[name]) for name, (title, show) in _RECORD.items() if name in record}
    return fact_table(facts) if facts else "<p>The run recorded nothing: it was an evaluation.</p>"


def gain_text(gain: Estimate) -> str:
    """ "+1.2 points, 95 % interval [−0.3, +2.8]", the interval in one piece. HTML."""
    return f"{number(gain.mean, signed=True)} points, 95 % interval {_interval(gain, signed=True)}"


def _source_row(source: str, hits: PhraseHits, kind: GroundingKind) -> str:
    what = kind.sources[source]
    cells = "".join(
        _score_cell(head, hits.rate(metric, source))
        if source in hits.by_metric[metric]
        else _cell(head, "–")
        for metric, head in _HEADS.items()
    )
    without = hits.counts.get(f"without_box_{source}")
    return (
        f'<tr class="c-{what.style}"><th scope="row"><span class="dot"></span>{escape(what.title)}'
        f'<span class="why">{escape(what.why)}</span></th>{cells}'
        f"{_cell('without box', '–' if without is None else str(without))}</tr>"
    )


def _gain_row(hits: PhraseHits, kind: GroundingKind) -> str:
    cells = "".join(
        _cell(
            head,
            f'<span class="big">{number(gain.mean, signed=True)}</span> '
            f'<span class="soft small">{_interval(gain, signed=True)}</span>',
        )
        for head, gain in (
            (head, hits.gain(metric, kind.before, kind.after)) for metric, head in _HEADS.items()
        )
    )
    after, before = (kind.sources[x].title for x in (kind.after, kind.before))
    return (
        f'<tr class="difference"><th scope="row">gain, points<span class="why">{escape(after)} less '
        f'{escape(before)}</span></th>{cells}<td class="seed"></td></tr>'
    )


def _score_cell(head: str, value: Estimate) -> str:
    plot = range_plot(value.to_json() | {"per_seed": []}, 0, 100)
    return _cell(
        head,
        f'<span class="big">{number(value.mean)}</span> <span class="soft small">{_interval(value)}</span>{plot}',
    )


def _cell(head: str, content: str) -> str:
    """A narrow screen, where the head of the table is away, names the column in it."""
    return f'<td class="num seed" data-seed="{head}">{content}</td>'


def _interval(value: Estimate, *, signed: bool = False) -> str:
    low, high = number(value.low, signed=signed), number(value.high, signed=signed)
    return f'<span class="num">[{low}, {high}]</span>'


def _seconds(value: Any) -> str:
    """Of the training, or of each phase."""
    if isinstance(value, dict):
        return ", ".join(f"phase {phase} {seconds:.0f} s" for phase, seconds in value.items())
    return f"{value:.0f} s"


# name in the record -> title, how it is said
_RECORD: dict[str, tuple[str, Callable[[Any], str]]] = {
    "images": ("Training images", str),
    "images_seen": ("Images seen, with repeats", str),
    "weight_distance": (
        "Weight distance: L2, of g's parameters to the first ones",
        lambda value: f"{value:.3g}",
    ),
    "seconds": ("Wall time of the steps", _seconds),
    "unreadable_images": ("Unreadable images, replaced by their neighbours", lambda x: str(len(x))),
}
