"""The cards of single images: the picture with all boxes, beside it the map and box before and after."""

from collections.abc import Iterable, Sequence

import numpy as np
from torch import Tensor

from boxrefine_d2.evaluation.sources import DETECTOR, REFINED

from .detectors import cad_source
from .page_text import escape
from .pictures import GROUND_TRUTH, CellMap, Example, map_uri, photo_uri
from .rule_maps import MAPS

_BADGES = {
    "helped": ("gain", "▲ helped"),
    "hurt": ("loss", "▼ hurt"),
    "hit_both": ("even", "● hit before and after"),
    "missed_both": ("even", "○ missed before and after"),
}
_CAD = cad_source(REFINED)  # the detector whose box is drawn: the end of the chain
_ROW_GAP, _COLUMN_GAP = 6, 8  # of .panels in page.html, pixels
_MOST = 300  # pixels
_RIM = 0.004  # share of the width by which a box at the picture's border is drawn further in


def example_cards(examples: Sequence[Example], rule: str, rule_title: str) -> str:
    """The legend and a card for each image.

    Args: rule: the source name of the boxes before.  rule_title: what it is called on the page, escaped.
    """
    cards = "".join(_card(example, rule, rule_title) for example in examples)
    has_maps = any(example.maps for example in examples)
    has_detector = any(_CAD in example.boxes for example in examples)
    return f'{_legend(rule, rule_title, has_maps, has_detector)}<div class="cards">{cards}</div>'


def _legend(rule: str, rule_title: str, has_maps: bool, has_detector: bool) -> str:
    lines = {
        "gt": "ground truth",
        "before": f"{rule_title} before",
        "after": f"{rule_title} after",
        "h": "h, best box",
    }
    if has_detector:
        lines["cad"] = f"CAD on {rule_title} after, best box"
    keys = [
        f'<li><svg viewBox="0 0 34 20" aria-hidden="true"><g class="{style}">'
        '<rect class="casing" x="6" y="5" width="22" height="10"/>'
        f'<rect class="stroke" x="6" y="5" width="22" height="10"/></g></svg>{text}</li>'
        for style, text in lines.items()
    ]
    if has_maps:
        keys.append('<li><span>map: low</span><i class="ramp"></i><span>high</span></li>')
    maps = f"The maps beside a picture show {escape(MAPS[rule].says)} " if has_maps else ""
    note = f'<p class="soft small">{maps}IoU is with the object that the box meets best.</p>'
    return f'<ul class="keys">{"".join(keys)}</ul>{note}'


def _card(example: Example, rule: str, rule_title: str) -> str:
    colour, badge = _BADGES[example.outcome]
    name = escape(example.name)
    boxes = example.boxes
    everything = [
        ("gt", boxes[GROUND_TRUTH]),
        ("after", boxes[REFINED]),
        ("h", boxes[DETECTOR]),
        ("before", boxes[rule]),
        ("cad", boxes.get(_CAD, ())),
    ]
    picture = example.picture
    panels = [panel(picture, f"{name} with all boxes", None, _boxes(picture, everything))]
    for source, when in ((rule, "before"), (REFINED, "after")):
        if source in example.maps:
            drawn = [("gt", boxes[GROUND_TRUTH]), (when, boxes[source])]
            title = f"map and box {when}, of {name}"
            panels.append(panel(picture, title, example.maps[source], _boxes(picture, drawn), when))
    numbers = "".join(
        f"<div><dt>{label}</dt><dd>{example.iou[source]:.2f}</dd></div>"
        for source, label in (
            (rule, "IoU before"),
            (REFINED, "after"),
            (DETECTOR, "h"),
            (_CAD, "CAD"),
        )
        if source in example.iou
    )
    layout = f'{" maps" if len(panels) > 1 else ""}" style="{panel_sizes(picture, has_maps=len(panels) > 1)}'
    return (
        f'<article class="card c-{colour}"><header><h3>{name}</h3><span class="badge">{badge}</span></header>'
        f'<div class="panels{layout}">{"".join(panels)}</div><dl>{numbers}</dl></article>'
    )


def _boxes(picture: np.ndarray, drawn: Sequence[tuple[str, Iterable[Tensor]]]) -> str:
    """SVG of boxes, each with its style; the last ones lie on top."""
    height, width = picture.shape[:2]
    return "".join(
        box_drawing(style, box, width, height) for style, found in drawn for box in found
    )


def panel_sizes(picture: np.ndarray, *, has_maps: bool) -> str:
    """The style of a card's panels: no picture is higher than `_MOST`; two small panels and the gap between them are as
    high as the large one.

    Args: picture: (H, W, 3).
    """
    height, width = picture.shape[:2]
    most = _MOST * width / height
    if not has_maps:
        return f"--most:{most:.0f}px"
    gaps = _COLUMN_GAP + _ROW_GAP * width / height
    return f"--most:{1.5 * most + gaps / 2:.0f}px;--narrow:calc((100% - {gaps:.1f}px) / 3)"


def panel(
    picture: np.ndarray, title: str, cells: CellMap | None, drawn: str, caption: str = ""
) -> str:
    """The picture, or a map of it, with what is drawn on it.

    Args:
        picture: (H, W, 3) uint8.
        title: for screen readers, escaped.
        drawn: SVG, in pixels of the picture.
    """
    height, width = picture.shape[:2]
    if cells is None:
        x, y, uri, style = width, height, photo_uri(picture), "photo"
    else:
        (x, y), uri, style = cells.extent, map_uri(cells.values), "cells"
    return (
        f'<figure><svg viewBox="0 0 {width} {height}" role="img" aria-label="{title}">'
        f'<image class="{style}" href="{uri}" width="{x:.2f}" height="{y:.2f}" preserveAspectRatio="none"/>'
        f'<g class="line">{drawn}</g></svg>{f"<figcaption>{caption}</figcaption>" if caption else ""}</figure>'
    )


def box_drawing(style: str, box: Tensor, width: int, height: int) -> str:
    """SVG of one box (4,) XYXY on a picture of that size, in pixels; `style` is its class in the page's style sheet."""
    rim = _RIM * width
    x1, y1, x2, y2 = box.tolist()
    x1, y1 = max(x1, rim), max(y1, rim)
    x2, y2 = min(x2, width - rim), min(y2, height - rim)
    place = (
        f'x="{x1:.1f}" y="{y1:.1f}" width="{max(x2 - x1, 0):.1f}" height="{max(y2 - y1, 0):.1f}"'
    )
    return f'<g class="{style}"><rect class="casing" {place}/><rect class="stroke" {place}/></g>'
