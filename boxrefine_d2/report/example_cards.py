"""Cards of single images: the image with all boxes, and the map and box before and after."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from torch import Tensor

from boxrefine_d2.evaluation.sources import DETECTOR, REFINED

from .detectors import cad_source
from .drawing import DrawnBox, Panel, drawn_box, panel, panel_sizes
from .figures import GROUND_TRUTH, Example
from .rendering import render
from .rule_maps import MAPS

_BADGES = {
    "helped": ("gain", "▲ helped"),
    "hurt": ("loss", "▼ hurt"),
    "hit_both": ("even", "● hit before and after"),
    "missed_both": ("even", "○ missed before and after"),
}
_CAD_AFTER = cad_source(REFINED)  # source of the detector whose box is drawn, the last stage


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

    Args:
        rule: source name of the boxes before.
        rule_title: name of the rule on the page.
    """
    lines = {
        "gt": "ground truth",
        "before": f"{rule_title} before",
        "after": f"{rule_title} after",
    }
    if any(DETECTOR in example.boxes for example in examples):
        lines["h"] = "h, best box"
    if any(_CAD_AFTER in example.boxes for example in examples):
        lines["cad"] = f"CAD on {rule_title} after, best box"
    has_maps = any(example.maps for example in examples)
    return render(
        "run/cards.html",
        lines=lines,
        maps_show=MAPS[rule].meaning if has_maps else "",
        iou_is="IoU is with the object that the box overlaps most.",
        cards=[_card(example, rule) for example in examples],
    )


def _card(example: Example, rule: str) -> _Card:
    colour, badge = _BADGES[example.outcome]
    boxes = example.boxes
    everything = [
        ("gt", boxes[GROUND_TRUTH]),
        ("after", boxes[REFINED]),
        ("h", boxes.get(DETECTOR, ())),
        ("before", boxes[rule]),
        ("cad", boxes.get(_CAD_AFTER, ())),
    ]
    image = example.image
    panels = [panel(image, f"{example.name} with all boxes", _boxes(image, everything))]
    for source, when in ((rule, "before"), (REFINED, "after")):
        if source in example.maps:
            drawn = _boxes(image, [("gt", boxes[GROUND_TRUTH]), (when, boxes[source])])
            title = f"map and box {when}, of {example.name}"
            panels.append(panel(image, title, drawn, cells=example.maps[source], caption=when))
    labels = {rule: "IoU before", REFINED: "after", DETECTOR: "h", _CAD_AFTER: "CAD"}
    ious = [(label, example.iou[x]) for x, label in labels.items() if x in example.iou]
    sizes = panel_sizes(image, has_maps=len(panels) > 1)
    return _Card(example.name, colour, badge, panels, sizes, ious)


def _boxes(image: np.ndarray, drawn: Sequence[tuple[str, Iterable[Tensor]]]) -> list[DrawnBox]:
    """Return the boxes of all styles; later ones cover earlier ones."""
    height, width = image.shape[:2]
    return [drawn_box(style, box, width, height) for style, boxes in drawn for box in boxes]
