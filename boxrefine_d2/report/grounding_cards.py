"""The cards of single phrases: the picture with the boxes and points, beside it the heatmaps before and after."""

from collections.abc import Sequence

from .example_cards import box_drawing, panel, panel_sizes
from .grounding_kinds import METRICS, GroundingKind
from .grounding_pictures import PhraseExample
from .page_text import escape
from .tables import number

# hit before, hit after -> colour, text
_BADGES = {
    (False, True): ("gain", "▲ {}: missed → hit"),
    (True, False): ("loss", "▼ {}: hit → missed"),
    (True, True): ("even", "● {}: hit → hit"),
    (False, False): ("even", "○ {}: missed → missed"),
}
# half the width of a point's mark, of the picture's longer side
_POINT = 0.028
_POINT_ON_MAP = 0.045
_KEY_SIZE = (34, 20)


def phrase_cards(examples: Sequence[PhraseExample], kind: GroundingKind) -> str:
    """A card for each phrase."""
    return f'<div class="cards">{"".join(_card(example, kind) for example in examples)}</div>'


def phrase_legend(kind: GroundingKind) -> str:
    """What the lines, points and colours mean."""
    lines = {"gt": "ground truth"}
    lines |= {kind.sources[x].style: f"{kind.sources[x].title}, box" for x in reversed(kind.drawn)}
    place = 'x="6" y="5" width="22" height="10"'
    keys = [
        _key(style, f'<rect class="casing" {place}/><rect class="stroke" {place}/>', text)
        for style, text in lines.items()
    ]
    for source in (kind.before, kind.after):
        mark = point_drawing(kind.sources[source].style, (16, 9), _KEY_SIZE, half=6)
        keys.append(_key("marks", mark, f"{kind.sources[source].title}, point"))
    keys.append('<li><span>heatmap: low</span><i class="ramp"></i><span>high</span></li>')
    note = (
        '<p class="soft small">Each heatmap is on its own scale; the values that it runs through are below it. The '
        "point is its brightest pixel. IoU is with the box around what the phrase names.</p>"
    )
    return f'<ul class="keys">{"".join(keys)}</ul>{note}'


def _key(style: str, drawing: str, text: str) -> str:
    width, height = _KEY_SIZE
    return (
        f'<li><svg viewBox="0 0 {width} {height}" aria-hidden="true"><g class="line {style}">{drawing}</g></svg>'
        f"{escape(text)}</li>"
    )


def _card(example: PhraseExample, kind: GroundingKind) -> str:
    said = escape(" / ".join(example.phrases))
    compared = (kind.before, kind.after)
    panels = [
        panel(
            example.picture,
            f"“{said}” in the picture, with all boxes and points",
            None,
            _drawing(example, kind, kind.drawn, _POINT),
        )
    ]
    for source in compared:
        short = escape(kind.sources[source].short)
        title = f"heatmap of “{said}”, {short}"
        drawn = _drawing(example, kind, [source], _POINT_ON_MAP)
        panels.append(panel(example.picture, title, example.maps[source].cells, drawn, short))
    return (
        f'<article class="card"><header><h3>“{said}”</h3><p class="badges">{_badges(example, kind)}</p></header>'
        f'<div class="panels maps smooth" style="{panel_sizes(example.picture, has_maps=True)}">{"".join(panels)}</div>'
        f"<dl>{_numbers(example, kind)}</dl>"
        f'<p class="soft small file">{escape(example.name)}</p></article>'
    )


def _badges(example: PhraseExample, kind: GroundingKind) -> str:
    """One for each metric."""
    badges = []
    for metric, title in METRICS.items():
        hits = example.hits[metric]
        colour, text = _BADGES[hits[kind.before], hits[kind.after]]
        badges.append(f'<span class="badge c-{colour}">{text.format(title)}</span>')
    return "".join(badges)


def _numbers(example: PhraseExample, kind: GroundingKind) -> str:
    facts = {
        f"IoU, {kind.sources[source].short}": (
            number(example.iou[source], digits=2) if len(example.boxes[source]) else "no box"
        )
        for source in sorted(kind.drawn, key=list(kind.sources).index)
    }
    for source, drawn in example.maps.items():
        low, high = number(drawn.low, digits=2), number(drawn.high, digits=2)
        facts[f"values, {kind.sources[source].short}"] = f"{low} to {high}"
    return "".join(
        f"<div><dt>{escape(title)}</dt><dd>{value}</dd></div>" for title, value in facts.items()
    )


def _drawing(
    example: PhraseExample, kind: GroundingKind, sources: Sequence[str], size: float
) -> str:
    """The ground truth, then boxes, then points. Args: size: of these, a share of the longer side."""
    height, width = example.picture.shape[:2]
    boxes = [box_drawing("gt", box, width, height) for box in example.truth]
    boxes += [
        box_drawing(kind.sources[source].style, box, width, height)
        for source in sources
        for box in example.boxes[source]
    ]
    points = [
        point_drawing(
            kind.sources[source].style,
            example.points[source],
            (width, height),
            half=size * max(width, height),
        )
        for source in sources
        if source in example.points
    ]
    return "".join([*boxes, *points])


def point_drawing(style: str, point: tuple[int, int], size: tuple[int, int], *, half: float) -> str:
    """SVG of a point: a diamond before, a ring after, around a dot.

    Args: point: (x, y), a pixel of a picture of `size`, (width, height).  half: of the mark's width, pixels of the picture.
    """
    width, height = size
    # whole also at the border
    x = min(max(point[0] + 0.5, half), width - half)
    y = min(max(point[1] + 0.5, half), height - half)
    if style == "before":
        corners = ((x, y - half), (x + half, y), (x, y + half), (x - half, y))
        shape = "M" + "L".join(f"{a:.1f},{b:.1f}" for a, b in corners) + "Z"
    else:
        shape = (
            f"M{x - half:.1f},{y:.1f}a{half:.1f},{half:.1f} 0 1 0 {2 * half:.1f},0"
            f"a{half:.1f},{half:.1f} 0 1 0 {-2 * half:.1f},0Z"
        )
    dot = f"M{x:.1f},{y:.1f}h.01"  # round caps make a dot of it
    return f'<g class="{style} point"><path class="casing" d="{shape}{dot}"/><path class="stroke" d="{shape}{dot}"/></g>'
