"""CorLoc and the area of boxes by how many objects an image has: where do two methods differ?

python experiments/corloc_by_count.py --gt SPEC FILE.json [FILE.json ...]
"""

import argparse
import statistics
import sys
from pathlib import Path

import torch
from tabulate import tabulate

from boxrefine_d2.data.dataset_spec import load_spec
from boxrefine_d2.errors import CommandParser, run_command
from boxrefine_d2.evaluation import GroundTruth, read_predictions
from boxrefine_d2.evaluation.corloc import is_localised, top_box
from boxrefine_d2.evaluation.predictions import box_table

MOST = 4  # images with more objects are counted here


def main() -> int:
    """The command."""
    parser = CommandParser(prog="corloc_by_count.py", description=__doc__)
    parser.add_argument("--gt", required=True, metavar="SPEC")
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE.json")
    args = parser.parse_args()
    return run_command(lambda: work(args))


def work(args: argparse.Namespace) -> None:
    """One table a file."""
    dataset = load_spec(args.gt)
    truth = GroundTruth(args.gt, dataset.records).boxes()
    for path in args.files:
        table = box_table(read_predictions(path))
        boxes = {
            image_id: top_box(torch.from_numpy(found), torch.from_numpy(scores))
            for image_id, found, scores in table.by_image()
        }
        print(f"\n{path}")
        print(tabulate(rows(boxes, truth), ("objects", "images", "CorLoc, %", "box / largest")))


def rows(
    boxes: dict[int | str, list[float] | None], truth: dict[int | str, torch.Tensor]
) -> list[tuple[str, int, str, str]]:
    """For each number of objects: images, CorLoc, and the median area of the box in units of the largest object's."""
    by_count: dict[int, list[tuple[bool, float]]] = {}
    for image_id, objects in truth.items():
        box = boxes.get(image_id)
        if not len(objects) or box is None:
            continue
        largest = ((objects[:, 2] - objects[:, 0]) * (objects[:, 3] - objects[:, 1])).max()
        area = (box[2] - box[0]) * (box[3] - box[1]) / float(largest)
        by_count.setdefault(min(len(objects), MOST), []).append((is_localised(box, objects), area))
    return [
        (
            f"{count}{' or more' if count == MOST else ''}",
            len(found),
            f"{100 * sum(hit for hit, _ in found) / len(found):.1f}",
            f"{statistics.median(area for _, area in found):.2f}",
        )
        for count, found in sorted(by_count.items())
    ]


if __name__ == "__main__":
    sys.exit(main())
