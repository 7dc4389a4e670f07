"""The figure docs/figures/data_flow.png of docs/design/architecture.md.

    python experiments/draw_data_flow.py [OUTPUT]

The package computes the content of the four tiles: a scene of scenes:val; the keys of `dino_mini`;
LOST's degrees, seed and component; LOST's box. LOST finds the object in this scene. h and the
refined f appear as words only, because the program trains nothing.
"""

import sys
from types import SimpleNamespace

import torch
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch, Rectangle
from matplotlib.path import Path
from torchvision.ops import box_iou

from boxrefine_d2.data.scenes import render_scene
from boxrefine_d2.discovery import discover
from boxrefine_d2.discovery.build import rule_parameters
from boxrefine_d2.discovery.lost import lost_maps
from boxrefine_d2.networks import build_backbone

SCENE = 105  # number of the scene in scenes:val
# Size of the figure in pixels. All coordinates have this unit; y points upwards.
WIDTH, HEIGHT = 1600, 600
SIDE, LEFT, BOTTOM, STEP = 222, 24, 330, 362  # side, first left edge, bottom and step of the tiles
UPPER, LOWER = BOTTOM + SIDE / 2, 206  # y of the two rows
INK, FILL, GREY = "#1b1f24", "#f2f4f7", "#59636e"
BLUE, ORANGE = "#0072b2", "#d55e00"  # Okabe and Ito's colours, distinct for colour-blind readers


def compute(index: int) -> SimpleNamespace:
    """Return the content of the tiles for one scene.

    The tile of the map shows the first three principal components of the keys.
    """
    scene = render_scene("val", index)
    image = torch.from_numpy(scene.image).permute(2, 0, 1).float()
    backbone = build_backbone("dino_mini")
    inputs = backbone.prepare([image])
    features = backbone.requires_grad_(False)(inputs, "key", [scene.image.shape[:2]])
    (boxes,) = discover("lost", features)
    maps = lost_maps(features.tokens(), rule_parameters("lost")["k_patches"])
    h, w = features.grid_size
    tokens = features.tokens()[0] - features.tokens()[0].mean(dim=0)
    components = tokens @ torch.linalg.svd(tokens, full_matrices=False).Vh[:3].T
    low, high = components.quantile(0.01, dim=0), components.quantile(0.99, dim=0)
    components = ((components - low) / (high - low)).clamp(0, 1).reshape(h, w, 3)
    return SimpleNamespace(
        panels=(scene.image, components.numpy(), maps.degree[0].reshape(h, w).numpy()),
        cell=backbone.stride,
        seed=divmod(int(maps.seed[0]), w),
        mask=boxes.masks[0].numpy(),
        box=boxes.boxes[0].tolist(),
        iou=box_iou(boxes.boxes, torch.from_numpy(scene.boxes)).max().item(),
    )


def write(sheet: Axes, x: float, y: float, words: str, size: float = 15, **style) -> None:
    """Write centred text; its size is in points, at 100 pixels per inch."""
    style = {"ha": "center", "va": "center", "color": INK, "linespacing": 1.3, **style}
    sheet.text(x, y, words, fontsize=size, zorder=5, **style)


def node(sheet: Axes, x: float, y: float, size: tuple[float, float], words: str, points=15.0):
    """Draw a rounded box of size (width, height), centred at (x, y), with text."""
    style = {"boxstyle": "round,pad=0,rounding_size=12", "ec": INK, "lw": 2, "fc": FILL}
    sheet.add_patch(FancyBboxPatch((x - size[0] / 2, y - size[1] / 2), *size, zorder=4, **style))
    write(sheet, x, y, words, points)


def arrow(sheet: Axes, *points: tuple[float, float], colour: str = INK) -> None:
    """Draw a line through `points` with an arrow head at the last one."""
    style = {"joinstyle": "miter", "mutation_scale": 26, "lw": 2.2 if colour == INK else 3.2}
    sheet.add_patch(FancyArrowPatch(path=Path(points), arrowstyle="-|>", color=colour, **style))


def phase(sheet: Axes, x: float, y: float, number: int, words: str, colour: str) -> None:
    """Write a numbered line of text from x on, over the arrow that it names."""
    write(sheet, x, y, f"      {words} ", ha="left", color=colour, bbox={"fc": "w", "ec": "w"})
    sheet.add_patch(Circle((x + 14, y), 16, color=colour, zorder=6))
    sheet.text(x + 14, y - 1, number, color="w", fontsize=14, ha="center", va="center", zorder=7)


def draw_tiles(sheet: Axes, content: SimpleNamespace) -> None:
    """Draw the four tiles with their marks and without the padding."""
    titles = ("image", "map: patch features", "degrees, seed, component", "pseudo-box")
    (height, width), tiles = content.panels[0].shape[:2], []
    for i, title in enumerate(titles):
        left, panel = LEFT + i * STEP, content.panels[i % 3]
        rows, columns = (count * (content.cell if i % 3 else 1) for count in panel.shape[:2])
        place = (left / WIDTH, BOTTOM / HEIGHT, SIDE / WIDTH, SIDE / HEIGHT)
        tiles.append(sheet.figure.add_axes(place, xticks=[], yticks=[]))
        tiles[i].imshow(panel, "cividis", extent=(0, columns, rows, 0), interpolation="nearest")
        tiles[i].set(xlim=(0, width), ylim=(height, 0))
        write(sheet, left + SIDE / 2, BOTTOM + SIDE + 24, title, 16)
    inside = content.mask.repeat(content.cell, 0).repeat(content.cell, 1)
    tiles[2].contour(inside, [0.5], colors="w", linewidths=2)
    row, column = ((number + 0.5) * content.cell for number in content.seed)
    tiles[2].plot(column, row, "*", ms=20, mfc=ORANGE, mec="w")
    x1, y1, x2, y2 = content.box
    for thick, colour in ((7, "w"), (3.5, BLUE)):
        tiles[3].add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, lw=thick, ec=colour))


def draw_flow(sheet: Axes) -> None:
    """Draw the networks, the two phases and all arrows."""
    features, box = (LEFT + SIDE / 2 + i * STEP for i in (1, 3))
    f, lost, bound = (LEFT + (SIDE - STEP) / 2 + i * STEP for i in (1, 2, 3))
    for x in (f, lost, bound):
        arrow(sheet, (x - 66, UPPER), (x + 68, UPPER))
    node(sheet, f, UPPER, (58, 58), "$f$", 28)
    node(sheet, lost, UPPER, (72, 50), "LOST")
    write(sheet, f, UPPER + 48, "DINO ViT", 14)
    write(sheet, bound, UPPER + 32, "bounding\nbox", 14)
    end = LEFT + 3 * STEP + SIDE
    for up, words in ((52, "CorLoc:\nbefore, after"), (-52, "labels for a\ndetector (CAD)")):
        bend = ((end + 4, UPPER), (end + 24, UPPER), (end + 24, UPPER + up))
        arrow(sheet, *bend, (end + 54, UPPER + up))
        node(sheet, end + 144, UPPER + up, (180, 78), words, 14)
    node(sheet, features, LOWER, (246, 84), "map detector $h$\nsees only the map")
    node(sheet, box, LOWER, (246, 84), "loss: boxes of $h$\nagainst pseudo-box")
    arrow(sheet, (features, BOTTOM - 4), (features, LOWER + 43))
    arrow(sheet, (box, BOTTOM - 4), (box, LOWER + 43))
    arrow(sheet, (features + 123, LOWER), (box - 124, LOWER))
    write(sheet, (features + box) / 2, LOWER + 20, "$k$ boxes with scores", 14)
    arrow(sheet, (box - 45, 164), (box - 45, 122), (features, 122), (features, 162), colour=BLUE)
    arrow(sheet, (box + 45, 164), (box + 45, 58), (f, 58), (f, UPPER - 30), colour=ORANGE)
    phase(sheet, features + 180, 122, 1, "$f$ frozen: $h$ learns the boxes", BLUE)
    words = "$h$ frozen: the same loss refines $f$ into $f^{\\,h}$"
    phase(sheet, features + 180, 58, 2, words, ORANGE)
    words = "then again with $f^{\\,h}$\nin place of $f$:\na better box?"
    write(sheet, LEFT + SIDE / 2, LOWER, words, color=ORANGE)


def draw(content: SimpleNamespace, output: str) -> None:
    """Draw the figure and write it as PNG."""
    assert content.iou >= 0.5, f"LOST misses the object of scene {SCENE}: choose another one"
    plt.rcParams.update({"font.family": "DejaVu Sans", "mathtext.fontset": "stix"})
    figure = plt.figure(figsize=(WIDTH / 100, HEIGHT / 100), dpi=100, facecolor="w")
    sheet = figure.add_axes((0, 0, 1, 1), xlim=(0, WIDTH), ylim=(0, HEIGHT))
    sheet.axis("off")
    draw_tiles(sheet, content)
    draw_flow(sheet)
    note = f"Tiles: scenes:val no. {SCENE}, dino_mini; IoU with the object {content.iou:.2f}"
    write(sheet, WIDTH - 24, 18, note, 12, color=GREY, ha="right")
    figure.savefig(output, facecolor="w")


if __name__ == "__main__":
    draw(compute(SCENE), sys.argv[1] if sys.argv[1:] else "docs/figures/data_flow.png")
