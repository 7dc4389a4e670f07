"""Page of an explanation: the image of the point, and the points that explain it.

Similarity has colours from its least to its largest value. Importance and representer value have
colours that are symmetric about zero: red is excitatory, blue inhibitory. All images share a scale.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from boxrefine_d2.analysis.explanation import Cell, ExplainingPoint, Explanation, MappedImage
from boxrefine_d2.files.atomic import atomic_text_file

from .drawing import DrawnBox, DrawnPoint, Panel, drawn_box, drawn_point, panel
from .figures import CellMap
from .rendering import number, render

TITLE = "Explanation of a point"
_SIGNED = "RdBu_r"
_MARK = 0.03  # half the width of the mark of the point, as a share of the longest side


@dataclass(frozen=True)
class _Scale:
    """Values at both ends of the colours of a map."""

    name: str
    low: float
    high: float
    signed: bool

    def cells(self, image: MappedImage) -> CellMap:
        span = self.high - self.low
        values = (image.maps[self.name] - self.low) / (span or 1.0)
        return CellMap(values, image.extent, _SIGNED if self.signed else "viridis")


@dataclass(frozen=True)
class _Card:
    name: str
    badge: str
    colour: str
    panels: Sequence[Panel]
    numbers: Sequence[tuple[str, str]]


def write_explanation_page(path: str | Path, explanation: Explanation) -> None:
    """Write the page. Raises: UserError if `path` cannot be written."""
    scales = _scales(explanation.images.values())
    groups = {
        ("top", "Points with the highest values"): explanation.highest,
        ("bottom", "Points with the lowest values"): explanation.lowest,
    }
    images = explanation.images
    page = render(
        "explanation/page.html",
        title=TITLE,
        verdict=_verdict(explanation),
        tested=_tested_panels(explanation),
        scales=scales,
        groups=[
            (*group, [_card(point, images[point.image_id], scales) for point in points])
            for group, points in groups.items()
            if points
        ],
        failed=explanation.info["base_images_failed"],
        facts=_facts(explanation),
    )
    with atomic_text_file(path) as file:
        file.write(page)


def _verdict(explanation: Explanation) -> str:
    cell = explanation.cell
    return (
        f"The cell in row {cell.row}, column {cell.column} of {explanation.tested.name} has the "
        f"activation {_signed(explanation.activation)}: {_signed(explanation.excitatory)} from "
        f"excitatory and {_signed(explanation.inhibitory)} from inhibitory points, of "
        f"{_counts(explanation)}."
    )


def _counts(explanation: Explanation) -> str:
    images = explanation.info["base_images"]
    plural = "" if images == 1 else "s"
    return f"{explanation.info['base_points']} points in {images} image{plural}"


def _signed(value: float) -> str:
    return number(value, signed=True)


def _tested_panels(explanation: Explanation) -> list[Panel]:
    tested = explanation.tested
    height, width = tested.image.shape[:2]
    x, y = explanation.point
    mark = drawn_point("after", (int(x), int(y)), (width, height), half=_MARK * max(width, height))
    heatmap = CellMap(tested.maps["heatmap"], tested.extent)
    return [
        _panel(tested, explanation.cell, "image", points=[mark]),
        _panel(tested, explanation.cell, "map", cells=heatmap),
    ]


def _panel(
    image: MappedImage,
    cell: Cell,
    caption: str,
    *,
    points: Sequence[DrawnPoint] = (),
    cells: CellMap | None = None,
) -> Panel:
    title = f"{image.name}, {caption}"
    box = _outline(image, cell)
    return panel(image.image, title, [box], points, cells=cells, caption=caption)


def _outline(image: MappedImage, cell: Cell) -> DrawnBox:
    height, width = image.image.shape[:2]
    return drawn_box("after", torch.tensor(cell.box), width, height)


def _scales(images: Collection[MappedImage]) -> list[_Scale]:
    """Return the scales of the three maps, over all images."""
    scales = []
    for name, signed in (("similarity", False), ("importance", True), ("value", True)):
        low = min(float(image.maps[name].min()) for image in images)
        high = max(float(image.maps[name].max()) for image in images)
        if signed:
            high = max(-low, high)
            low = -high
        scales.append(_Scale(name, low, high, signed))
    return scales


def _card(point: ExplainingPoint, image: MappedImage, scales: Sequence[_Scale]) -> _Card:
    maps = [_panel(image, point.cell, each.name, cells=each.cells(image)) for each in scales]
    excites = point.value >= 0
    return _Card(
        name=image.name,
        badge="excitatory" if excites else "inhibitory",
        colour="loss" if excites else "after",
        panels=[_panel(image, point.cell, "image"), *maps],
        numbers=[
            ("similarity", number(point.similarity, digits=4)),
            ("importance", number(point.importance, digits=4, signed=True)),
            ("value", number(point.value, digits=4, signed=True)),
        ],
    )


def _facts(explanation: Explanation) -> Mapping[str, str]:
    info = explanation.info
    x, y = explanation.point
    return {
        "Image": f"{explanation.tested.name}, point {x:g}, {y:g}",
        "Points from": f"{info['base']}: {_counts(explanation)}",
        "Network": f"{info['backbone']}, facet {info['facet']}",
        "Weights": f"{info['weights']['source']}, SHA-256 {info['weights']['sha256']}",
        "Longest side": f"{info['max_side']} pixels" if info["max_side"] else "no limit",
        "Parameters of representer": json.dumps(info["parameters"]),
        "tau": f"{info['tau']:.6g}",
        "Version": f"{info['software']} {info['version']}",
    }
