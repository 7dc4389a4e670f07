"""CorLoc of LOST on the keys of `dino_mini`, of random networks and of centred boxes.

    python experiments/measure_backbone.py --data scenes:val cutouts_val --output output/backbone

The table is part of the model card of `dino_mini`. For each data set the program measures LOST with
and without `centre`, on the shipped weights and on three random seeds of the same network, with the
commands discover.py and evaluate.py. It also measures the best centred box with the image's aspect
ratio. Existing scores are not computed again.
"""

import argparse
import json
import shlex
import subprocess
import sys
from pathlib import Path

import torch

from boxrefine_d2.data import load_spec
from boxrefine_d2.errors import CommandParser, run_command
from boxrefine_d2.evaluation import write_json
from boxrefine_d2.evaluation.corloc import corloc

TOOLS = Path(__file__).parents[1] / "tools"
SCALES = [percent / 100 for percent in range(5, 101, 5)]  # shares of both sides of the image


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = CommandParser(prog="measure_backbone.py", description=__doc__)
    parser.add_argument("--data", nargs="+", required=True, metavar="SPEC", help="dataset specs")
    parser.add_argument(
        "--output", type=Path, required=True, metavar="DIR", help="output directory"
    )
    parser.add_argument(
        "--weights",
        nargs="+",
        default=["shipped", "random:0", "random:1", "random:2"],
        metavar="WEIGHTS",
        help='"shipped", "random:SEED" or a weight file (default: shipped and three seeds)',
    )
    return parser


def lost_corloc(data: str, weights: str, centre: bool, folder: Path) -> float:
    """Return LOST's CorLoc in percent, measured by the two commands."""
    name = f"{Path(weights).stem}_{'centred' if centre else 'raw'}".replace(":", "")
    boxes, score = folder / f"{name}.json", folder / f"{name}_corloc.json"
    if not score.exists():
        options = [] if weights == "shipped" else ["--weights", weights]
        discover = ["discover.py", "--method", "lost", "--backbone", "dino_mini", *options]
        discover += ["--data", data, "--output", str(boxes)]
        discover += ["--set", "centre=true"] if centre else []
        evaluate = ["evaluate.py", "--gt", data, "--pred", str(boxes), "--metrics", "corloc"]
        for command in (discover, [*evaluate, "--json", str(score)]):
            print("python tools/" + shlex.join(command), file=sys.stderr)
            script = str(TOOLS / command[0])
            subprocess.run([sys.executable, script, *command[1:]], check=True, stdout=sys.stderr)
    return json.loads(score.read_text())["corloc"]


def best_centred_box(data: str) -> tuple[float, float]:
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
    return max(scores)


def measure(args: argparse.Namespace) -> int:
    """Measure all data sets, print the table and write OUTPUT/table.json."""
    table = {}
    for number, data in enumerate(args.data):
        folder = args.output / str(number)
        folder.mkdir(parents=True, exist_ok=True)
        percent, scale = best_centred_box(data)
        rows = {
            weights: {
                label: lost_corloc(data, weights, centre, folder)
                for label, centre in (("raw", False), ("centred", True))
            }
            for weights in args.weights
        }
        table[data] = {"best_centred_box": {"corloc": percent, "scale": scale}, "lost": rows}
        print(f"{data}: best centred box {percent:.1f} (scale {scale})")
        for weights, row in rows.items():
            print(f"  {weights:12} raw {row['raw']:.1f}  centred {row['centred']:.1f}")
    write_json(args.output / "table.json", table)
    return 0


if __name__ == "__main__":
    sys.exit(run_command(lambda: measure(parser().parse_args())))
