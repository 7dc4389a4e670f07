"""Boxes and masks of the shipped network, of random networks, and of centred shapes.

    python experiments/measure_backbone.py --data scenes:val cutouts_val --output output/backbone

The table is part of the model card of `dino_mini`. For each data set the program measures CorLoc of
several rules, on the shipped weights and on three random seeds of the same network, with the
commands discover.py and evaluate.py; where the data has masks, also their mean IoU. It also
measures the best centred box, and the best centred ellipse, with the image's aspect ratio. Existing
scores are not computed again.
"""

import argparse
import json
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from boxrefine_d2.data import load_spec
from boxrefine_d2.errors import CommandParser, run_command
from boxrefine_d2.evaluation import write_json
from boxrefine_d2.evaluation.corloc import corloc
from boxrefine_d2.masks.agreement import mask_iou
from boxrefine_d2.masks.coding import decode_mask

TOOLS = Path(__file__).parents[1] / "tools"
SCALES = [percent / 100 for percent in range(5, 101, 5)]  # shares of both sides of the image
METHODS = {"LOST": "lost", "TokenCut": "tokencut", "absorption": "absorption"}  # by title


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = CommandParser(prog="measure_backbone.py", description=__doc__)
    parser.add_argument("--data", nargs="+", required=True, metavar="SPEC", help="dataset specs")
    parser.add_argument(
        "--output", type=Path, required=True, metavar="DIR", help="output directory"
    )
    parser.add_argument(
        "--backbone", default="dino_mini", metavar="NAME", help="network (default: %(default)s)"
    )
    parser.add_argument(
        "--weights",
        nargs="+",
        default=["shipped", "random:0", "random:1", "random:2"],
        metavar="WEIGHTS",
        help='"shipped", "random:SEED" or a weight file (default: shipped and three seeds)',
    )
    return parser


def scores_of(args: argparse.Namespace, data: str, rule: str, weights: str) -> dict[str, float]:
    """Return the metrics of a rule in percent, measured by the two commands."""
    folder = args.output / data.replace(":", "_").replace("/", "_")
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{rule}_{Path(weights).stem}".replace(":", "")
    boxes, scores = folder / f"{name}.json", folder / f"{name}_scores.json"
    if not scores.exists():
        options = [] if weights == "shipped" else ["--weights", weights]
        metrics = "corloc,mask_iou" if has_masks(data) else "corloc"
        discover = ["discover.py", "--method", METHODS[rule], "--backbone", args.backbone, *options]
        discover += ["--data", data, "--output", str(boxes)]
        evaluate = ["evaluate.py", "--gt", data, "--pred", str(boxes), "--metrics", metrics]
        for command in (discover, [*evaluate, "--json", str(scores)]):
            print("python tools/" + shlex.join(command), file=sys.stderr)
            script = str(TOOLS / command[0])
            subprocess.run([sys.executable, script, *command[1:]], check=True, stdout=sys.stderr)
    measured = json.loads(scores.read_text(encoding="utf-8"))
    return {name: measured[name] for name in ("corloc", "mask_iou") if name in measured}


@cache
def has_masks(data: str) -> bool:
    """Return True if an object of the data has a mask."""
    records = load_spec(data).records
    return any("segmentation" in a for record in records for a in record["annotations"])


def best_centred_box(data: str) -> dict[str, float]:
    """Return the CorLoc in percent of the best centred box, and the scale of this box."""
    records = load_spec(data).records
    truth = {
        record["image_id"]: torch.tensor([a["bbox"] for a in record["annotations"]]).view(-1, 4)
        for record in records
    }
    scores = []
    for scale in SCALES:
        boxes = {}
        for record in records:
            height, width = record["height"], record["width"]
            x, y = width * (1 - scale) / 2, height * (1 - scale) / 2
            boxes[record["image_id"]] = [x, y, width - x, height - y]
        scores.append((corloc(boxes, truth).percent, scale))
    percent, scale = max(scores)
    return {"corloc": percent, "scale": scale}


def best_centred_ellipse(data: str) -> dict[str, float]:
    """Return the mean IoU in percent of the best centred ellipse, and the scale of its axes.

    It is compared with the object that it overlaps best, as in the metric `mask_iou`.
    """
    overlaps: list[list[float]] = [[] for _ in SCALES]
    for record in load_spec(data).records:
        size = (record["height"], record["width"])
        masks = [decode_mask(a["segmentation"], size) for a in record["annotations"]]
        if not masks:
            continue
        y, x = np.mgrid[-1 : 1 : size[0] * 1j, -1 : 1 : size[1] * 1j]
        for of_scale, scale in zip(overlaps, SCALES, strict=True):
            ellipse = x**2 + y**2 <= scale**2
            of_scale.append(max(mask_iou(ellipse, mask.astype(bool)) for mask in masks))
    percent, scale = max((100 * float(np.mean(x)), s) for x, s in zip(overlaps, SCALES))
    return {"mask_iou": percent, "scale": scale}


def measure(args: argparse.Namespace) -> int:
    """Measure all data sets, print the table and write OUTPUT/table.json."""
    table: dict[str, Any] = {}
    for data in args.data:
        rows = {
            rule: {weights: scores_of(args, data, rule, weights) for weights in args.weights}
            for rule in METHODS
        }
        centred = {"box": best_centred_box(data)}
        if has_masks(data):
            centred["ellipse"] = best_centred_ellipse(data)
        table[data] = {"centred": centred, "rules": rows}
        print(f"{data}: {shown(centred)}")
        for rule, row in rows.items():
            print(f"  {rule:20} {shown(row)}")
    write_json(args.output / "table.json", table)
    return 0


def shown(rows: dict[str, dict[str, float]]) -> str:
    """Return the numbers of several rows in one line."""
    return "; ".join(
        f"{title} " + ", ".join(f"{name} {value:.4g}" for name, value in row.items())
        for title, row in rows.items()
    )


if __name__ == "__main__":
    sys.exit(run_command(lambda: measure(parser().parse_args())))
