"""CorLoc and the area of boxes by the number of objects in an image, to compare methods.

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

MOST = 4  # the last row of the table holds images with this many objects or more


def main() -> int:
    """Run the command and return its exit code."""
    parser = CommandParser(prog="corloc_by_count.py", description=__doc__)
    parser.add_argument("--gt", required=True, metavar="SPEC", help="dataset spec with annotations")
    parser.add_argument(
        "files", nargs="+", type=Path, metavar="FILE.json", help="prediction files to compare"
    )
    args = parser.parse_args()
    return run_command(lambda: work(args))


def work(args: argparse.Namespace) -> None:
    """Print one table per file."""
    dataset = load_spec(args.gt)
    truth = GroundTruth(args.gt, dataset.records).boxes()
    for path in args.files:
        table = box_table(read_predictions(path))
        boxes = {
            image_id: top_box(torch.from_numpy(predicted), torch.from_numpy(scores))
            for image_id, predicted, scores in table.by_image()
        }
        print(f"\n{path}")
        print(tabulate(rows(boxes, truth), ("objects", "images", "CorLoc, %", "box / largest")))


def rows(
    boxes: dict[int | str, list[float] | None], truth: dict[int | str, torch.Tensor]
) -> list[tuple[str, int, str, str]]:
    """Return a row per number of objects.

    Args:
        boxes: per image the box with the best score, XYXY in pixels, or None.
        truth: per image the annotated boxes (n, 4) XYXY in pixels.
    Returns: the number of objects; the number of images; CorLoc in percent; the median ratio of the
        box's area to that of the largest object.
    """
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
            len(images),
            f"{100 * sum(hit for hit, _ in images) / len(images):.1f}",
            f"{statistics.median(area for _, area in images):.2f}",
        )
        for count, images in sorted(by_count.items())
    ]


if __name__ == "__main__":
    sys.exit(main())
