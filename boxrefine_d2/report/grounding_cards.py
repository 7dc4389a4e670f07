"""Cards of single phrases: the image with boxes and points, and the heatmaps before and after."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from .drawing import DrawnBox, DrawnPoint, Panel, drawn_box, drawn_point, panel, panel_sizes
from .grounding_figures import PhraseExample
from .grounding_kinds import METRICS, GroundingKind
from .rendering import number, render

# hit before, hit after -> colour, text
_BADGES = {
    (False, True): ("gain", "▲ {}: missed → hit"),
    (True, False): ("loss", "▼ {}: hit → missed"),
    (True, True): ("even", "● {}: hit → hit"),
    (False, False): ("even", "○ {}: missed → missed"),
}
# half the width of a point's mark, as a share of the image's longer side
_POINT = 0.028
_POINT_ON_MAP = 0.045
_KEY_SIZE = (34, 20)


@dataclass(frozen=True)
class _Card:
    name: str
    text: str
    badges: Sequence[tuple[str, str]]
    panels: Sequence[Panel]
    sizes: str
    facts: Mapping[str, str]


def phrase_cards(examples: Sequence[PhraseExample], kind: GroundingKind) -> Markup:
    """Return a card for each phrase."""
    return render("grounding/cards.html", cards=[_card(example, kind) for example in examples])


def phrase_legend(kind: GroundingKind) -> Markup:
    """Return the legend of the lines, points and colours."""
    lines = {"gt": "ground truth"}
    lines |= {kind.sources[x].style: f"{kind.sources[x].title}, box" for x in reversed(kind.drawn)}
    compared = [kind.sources[x] for x in (kind.before, kind.after)]
    points = [
        (drawn_point(source.style, (16, 9), _KEY_SIZE, half=6), f"{source.title}, point")
        for source in compared
    ]
    return render("grounding/legend.html", lines=lines, points=points)


def _card(example: PhraseExample, kind: GroundingKind) -> _Card:
    text = " / ".join(example.phrases)
    title = f"“{text}” in the image, with all boxes and points"
    panels = [panel(example.image, title, *_drawing(example, kind, kind.drawn, _POINT))]
    for source in (kind.before, kind.after):
        short = kind.sources[source].short
        panels.append(
            panel(
                example.image,
                f"heatmap of “{text}”, {short}",
                *_drawing(example, kind, [source], _POINT_ON_MAP),
                cells=example.maps[source].cells,
                caption=short,
            )
        )
    sizes = panel_sizes(example.image, has_maps=True)
    facts = _numbers(example, kind)
    return _Card(example.name, text, _badges(example, kind), panels, sizes, facts)


def _badges(example: PhraseExample, kind: GroundingKind) -> list[tuple[str, str]]:
    """Return the colour and text of each metric."""
    badges = []
    for metric, title in METRICS.items():
        hits = example.hits[metric]
        badge_colour, badge = _BADGES[hits[kind.before], hits[kind.after]]
        badges.append((badge_colour, badge.format(title)))
    return badges


def _numbers(example: PhraseExample, kind: GroundingKind) -> dict[str, str]:
    facts = {
        f"IoU, {kind.sources[source].short}": (
            number(example.iou[source], digits=2) if len(example.boxes[source]) else "no box"
        )
        for source in sorted(kind.drawn, key=list(kind.sources).index)
    }
    for source, drawn in example.maps.items():
        low, high = number(drawn.low, digits=2), number(drawn.high, digits=2)
        facts[f"values, {kind.sources[source].short}"] = f"{low} to {high}"
    return facts


def _drawing(
    example: PhraseExample, kind: GroundingKind, sources: Sequence[str], size: float
) -> tuple[list[DrawnBox], list[DrawnPoint]]:
    """Return the ground truth and the boxes, and the points.

    Args: size: half the width of a point's mark, as a share of the longer side.
    """
    height, width = example.image.shape[:2]
    boxes = [drawn_box("gt", box, width, height) for box in example.truth]
    boxes += [
        drawn_box(kind.sources[source].style, box, width, height)
        for source in sources
        for box in example.boxes[source]
    ]
    half = size * max(width, height)
    points = [
        drawn_point(kind.sources[source].style, example.points[source], (width, height), half=half)
        for source in sources
        if source in example.points
    ]
    return boxes, points
