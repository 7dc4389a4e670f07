"""The cards of single images: the picture with all boxes, beside it the map and box before and after."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from torch import Tensor

from boxrefine_d2.evaluation.sources import DETECTOR, REFINED

from .detectors import cad_source
from .drawing import DrawnBox, Panel, drawn_box, panel, panel_sizes
from .pictures import GROUND_TRUTH, Example
from .rendering import render
from .rule_maps import MAPS

_BADGES = {
    "helped": ("gain", "▲ helped"),
    "hurt": ("loss", "▼ hurt"),
    "hit_both": ("even", "● hit before and after"),
    "missed_both": ("even", "○ missed before and after"),
}
_CAD = cad_source(REFINED)  # the detector whose box is drawn: the end of the chain


@dataclass(frozen=True)
class _Card:
    name: str
    colour: str
    badge: str
    panels: Sequence[Panel]
    sizes: str
    ious: Sequence[tuple[str, float]]


def example_cards(examples: Sequence[Example], rule: str, rule_title: str) -> Markup:
    """Return the legend and a card for each image.

    Args: rule: the source name of the boxes before.  rule_title: what it is called on the page.
    """
    lines = {
        "gt": "ground truth",
        "before": f"{rule_title} before",
        "after": f"{rule_title} after",
        "h": "h, best box",
    }
    if any(_CAD in example.boxes for example in examples):
        lines["cad"] = f"CAD on {rule_title} after, best box"
    has_maps = any(example.maps for example in examples)
    return render(
        "run/cards.html",
        lines=lines,
        maps_show=MAPS[rule].says if has_maps else "",
        cards=[_card(example, rule) for example in examples],
    )


def _card(example: Example, rule: str) -> _Card:
    colour, badge = _BADGES[example.outcome]
    boxes = example.boxes
    everything = [
        ("gt", boxes[GROUND_TRUTH]),
        ("after", boxes[REFINED]),
        ("h", boxes[DETECTOR]),
        ("before", boxes[rule]),
        ("cad", boxes.get(_CAD, ())),
    ]
    picture = example.picture
    panels = [panel(picture, f"{example.name} with all boxes", _boxes(picture, everything))]
    for source, when in ((rule, "before"), (REFINED, "after")):
        if source in example.maps:
            drawn = _boxes(picture, [("gt", boxes[GROUND_TRUTH]), (when, boxes[source])])
            title = f"map and box {when}, of {example.name}"
            panels.append(panel(picture, title, drawn, cells=example.maps[source], caption=when))
    labels = {rule: "IoU before", REFINED: "after", DETECTOR: "h", _CAD: "CAD"}
    ious = [(label, example.iou[x]) for x, label in labels.items() if x in example.iou]
    sizes = panel_sizes(picture, has_maps=len(panels) > 1)
    return _Card(example.name, colour, badge, panels, sizes, ious)


def _boxes(picture: np.ndarray, drawn: Sequence[tuple[str, Iterable[Tensor]]]) -> list[DrawnBox]:
    """Return the boxes of all styles; the last ones lie on top."""
    height, width = picture.shape[:2]
    return [drawn_box(style, box, width, height) for style, found in drawn for box in found]
