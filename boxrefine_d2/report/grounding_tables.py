"""Tables of a page of phrase grounding."""

from collections.abc import Callable
from typing import Any

from markupsafe import Markup

from .grounding_kinds import BOX, METRICS, POINTING, GroundingKind
from .grounding_run import GroundingRun, PhraseHits
from .rendering import render
from .summary import outcome_counts
from .tables import outcome_tally

_HEADS = {POINTING: "pointing", BOX: "box"}


def accuracy_table(name: str, hits: PhraseHits, kind: GroundingKind) -> Markup:
    """Return both accuracies of each source on one dataset, and the gain of "after" on "before"."""
    rows = []
    for source in kind.sources:
        if source not in hits.by_metric[BOX]:
            continue
        gains = [hits.gain(metric, kind.before, kind.after).to_json() for metric in _HEADS]
        rows.append(
            {
                "source": kind.sources[source],
                "rates": [_rate(hits, metric, source) for metric in _HEADS],
                "without": hits.counts.get(f"without_box_{source}"),
                "gains": gains if source == kind.after else [],
            }
        )
    return render(
        "grounding/accuracy.html",
        name=name,
        evaluated=hits.counts["evaluated"],
        images=hits.counts["images"],
        heads=list(_HEADS.values()),
        rows=rows,
        after=kind.sources[kind.after].title,
        before=kind.sources[kind.before].title,
    )


def outcome_tallies(hits: PhraseHits, kind: GroundingKind) -> Markup:
    """Return a bar per metric with the numbers of phrases that were helped, hurt, or neither."""
    counts = {title: outcome_counts(hits.outcomes(x, kind)) for x, title in METRICS.items()}
    return outcome_tally(list(counts.items()))


def grounding_record(run: GroundingRun) -> Markup:
    """Return the record of the run, without labels; values that it lacks are left out."""
    record = run.results["record"]
    facts = {title: show(record[name]) for name, (title, show) in _RECORD.items() if name in record}
    return render("grounding/record.html", facts=facts)


def _rate(hits: PhraseHits, metric: str, source: str) -> dict[str, Any] | None:
    if source not in hits.by_metric[metric]:
        return None
    return hits.rate(metric, source).to_json() | {"per_seed": []}


def _seconds(value: Any) -> str:
    """Return the seconds of the training, or of each phase, in words."""
    if isinstance(value, dict):
        return ", ".join(f"phase {phase} {seconds:.0f} s" for phase, seconds in value.items())
    return f"{value:.0f} s"


# name in the record -> title, formatter
_RECORD: dict[str, tuple[str, Callable[[Any], str]]] = {
    "images": ("Training images", str),
    "images_seen": ("Images seen, with repeats", str),
    "weight_distance": (
        "Weight distance: L2, of g's parameters to the frozen copy's",
        lambda value: f"{value:.3g}",
    ),
    "seconds": ("Wall time of the steps", _seconds),
    "unreadable_images": ("Unreadable images, replaced by their neighbours", lambda x: str(len(x))),
}
