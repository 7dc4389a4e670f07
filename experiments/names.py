"""The measurement and the page docs/results/names.md: how often `boxrefine name` is right.

    python experiments/names.py --run      # discover boxes, name them, score the names
    python experiments/names.py            # write the page alone

Boxes of labels and of LOST on composed photographs get names from a list: the five categories, or
the twenty most frequent names of their objects. A name is scored where the box meets an object of
the list (IoU of .5 or more). The margin, the crop and the sentence were chosen on cutouts_train.
"""

import argparse
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from kept_results import NOT_RUN, commit, interval, markdown
from torchvision.ops import box_iou

from boxrefine_d2 import cli
from boxrefine_d2.data import load_spec, read_pseudo_labels, write_pseudo_labels
from boxrefine_d2.errors import CommandParser, UserError, run_command
from boxrefine_d2.evaluation import write_json
from boxrefine_d2.evaluation.bootstrap import mean_with_interval

HERE = Path(__file__).parent
KEPT = HERE / "names"
PAGE = HERE.parent / "docs" / "results" / "names.md"
DATA, MOST, HIT_IOU = "cutouts_val", 20, 0.5
BOXES = {"labels": "boxes of the labels", "lost": "boxes of LOST, `dino_mini`"}
TEMPLATES = {"categories": "simple", "objects": "none"}
Object = tuple[list[float], str]  # XYXY, name


def objects(kind: str) -> dict[Any, list[Object]]:
    """Return image id -> its objects with their category, or their own name."""
    dataset = load_spec(DATA)
    return {
        record["image_id"]: [
            (
                list(a["bbox"]),
                dataset.category_names[a["category_id"]] if kind == "categories" else a["phrase"],
            )
            for a in record["annotations"]
        ]
        for record in dataset.records
    }


def class_list(kind: str) -> list[str]:
    """Return the names to choose from."""
    counts = Counter(name for of_image in objects(kind).values() for _, name in of_image)
    return [name for name, _ in counts.most_common(MOST)]


def call(words: list[str]) -> None:
    """Run a command of the package. Raises: UserError if it failed."""
    if cli.main(words):
        raise UserError(f"boxrefine {' '.join(words)} failed; see above")


def boxes_of(kind: str, output: Path) -> Path:
    """Write the boxes of labels, or of LOST, to a file without names, and return it."""
    path = output / f"{kind}.json"
    if kind == "lost":
        words = ["discover", "--method", "lost", "--data", DATA, "--backbone", "dino_mini"]
        call([*words, "--output", str(path)])
        return path
    records = load_spec(DATA).records
    write_pseudo_labels(
        path,
        images=[
            {"id": r["image_id"], "file_name": r["relative_name"]}
            | {"width": r["width"], "height": r["height"]}
            for r in records
        ],
        annotations=[
            {"image_id": r["image_id"], "score": 1.0, "segmentation": a["segmentation"]}
            | {"bbox": [x1, y1, x2 - x1, y2 - y1]}
            for r in records
            for a in r["annotations"]
            for x1, y1, x2, y2 in [a["bbox"]]
        ],
        info={},
    )
    return path


def rows_of(named: Path, kind: str, names: list[str]) -> list[tuple[str, str]]:
    """Return (true name, given name) of each box that meets an object of the list."""
    labels, truth = read_pseudo_labels(named), objects(kind)
    given = {c["id"]: c["name"] for c in labels.categories}
    rows = []
    for label in labels.annotations:
        own = [(box, name) for box, name in truth[label["image_id"]] if name in names]
        if not own:
            continue
        x, y, width, height = label["bbox"]
        box = torch.tensor([[x, y, x + width, y + height]])
        overlaps = box_iou(box, torch.tensor([each for each, _ in own]))[0]
        if overlaps.max() >= HIT_IOU:
            rows.append((own[int(overlaps.argmax())][1], given[label["category_id"]]))
    return rows


def measure(output: Path) -> dict[str, Any]:
    """Name all boxes by all lists, and return the accuracies."""
    output.mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = {"commit": commit(), "rows": []}
    for source in BOXES:
        boxes = boxes_of(source, output)
        for kind, template in TEMPLATES.items():
            names, listed = class_list(kind), output / f"{kind}.txt"
            listed.write_text("\n".join(names), encoding="utf-8")
            named = output / f"{source}_{kind}.json"
            words = ["name", "--input", str(boxes), "--data", DATA, "--classes", str(listed)]
            call([*words, "--template", template, "--output", str(named)])
            rows = rows_of(named, kind, names)
            right = mean_with_interval([[one == other for one, other in rows]])
            most = Counter(name for name, _ in rows).most_common(1)[0][1]
            results["rows"].append(
                {
                    "boxes": source,
                    "names": kind,
                    "count": len(names),
                    "scored": len(rows),
                    "right": right.to_json(),
                    "chance": 100 / len(names),
                    "most_frequent": 100 * most / len(rows),
                }
            )
    return results


def page() -> str:
    """Return the page made from the kept results."""
    path = KEPT / "names.json"
    text = (KEPT / "text.md").read_text(encoding="utf-8")
    if not path.exists():
        return text.replace("<!-- TABLE -->", NOT_RUN).replace("<!-- COMMIT -->", "")
    kept = json.loads(path.read_text(encoding="utf-8"))
    lines = [
        [
            BOXES[row["boxes"]],
            f"{row['count']} {row['names']}",
            str(row["scored"]),
            interval(row["right"]),
            f"{row['chance']:.1f}",
            f"{row['most_frequent']:.1f}",
        ]
        for row in kept["rows"]
    ]
    heads = ["Boxes", "Names", "scored", "right, %", "chance, %", "always the most frequent, %"]
    text = text.replace("<!-- TABLE -->", markdown(heads, lines))
    return text.replace("<!-- COMMIT -->", f"Commit {kept['commit']}, one run; nothing is random.")


def work(args: argparse.Namespace) -> None:
    """Measure if the arguments ask for it, and write the page."""
    if args.run:
        write_json(KEPT / "names.json", measure(args.output))
    PAGE.write_text(page(), encoding="utf-8")


def main() -> int:
    """Run the command and return its exit code."""
    parser = CommandParser(prog="names.py", description=__doc__)
    parser.add_argument("--run", action="store_true", help="measure first")
    parser.add_argument("--output", type=Path, default=Path("output/names"), metavar="DIR")
    args = parser.parse_args()
    return run_command(lambda: work(args))


if __name__ == "__main__":
    sys.exit(main())
