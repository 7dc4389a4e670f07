"""The table of keys in docs/results/small_world.md.

    python experiments/key_similarity.py

The program runs tools/compare_keys.py and keeps its numbers and its figure.
experiments/small_world.py writes the page.
"""

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from boxrefine_d2.errors import CommandParser, UserError, run_command
from boxrefine_d2.evaluation import write_json

HERE = Path(__file__).parent
ROOT = HERE.parent
KEPT = HERE / "small_world" / "key_similarity.json"
FIGURE = ROOT / "docs" / "figures" / "key_similarity.png"
DATA = "cutouts_val"
# Title of each row -> arguments of compare_keys.py.
ROWS = {
    "`dino_mini`, mean key of an instance": ["--backbone", "dino_mini"],
    "`dino_mini`, mean key of an image with one class": [
        *("--backbone", "dino_mini"),
        *("--per", "image"),
    ],
    "the same network, weights drawn at random, instances": [
        *("--backbone", "dino_mini"),
        *("--weights", "random:0"),
    ],
}
MEASURES = {
    "cosine": "cosine",
    "dot": "dot product",
    "l2": "L2",
    "l1": "L1",
    "chebyshev": "Chebyshev",
}


def run(output: Path) -> None:
    """Run the command for each row; keep the AUCs of all rows and the figure of the first.

    Raises: UserError if a command fails.
    """
    results: dict[str, Any] = {}
    for number, (title, arguments) in enumerate(ROWS.items()):
        folder = output / str(number)
        command = ["tools/compare_keys.py", "--data", DATA, *arguments, "--output", str(folder)]
        if subprocess.run([sys.executable, *command], cwd=ROOT).returncode:
            raise UserError(f"{' '.join(command)} failed; see its messages above")
        content = json.loads((ROOT / folder / "key_similarity.json").read_text(encoding="utf-8"))
        results[title] = {
            "command": " ".join(["python", *command]),
            "counts": content["counts"],
            "auc": {measure: content["measures"][measure]["auc"] for measure in MEASURES},
        }
        if number == 0:
            shutil.copyfile(ROOT / folder / "key_similarity.png", FIGURE)
    write_json(KEPT, results)


def table() -> str:
    """Return the table with the AUC of each measure for each row, and the commands."""
    if not KEPT.exists():
        return "Not run yet."
    results = json.loads(KEPT.read_text(encoding="utf-8"))
    heads = ["AUC", "keys", *MEASURES.values()]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for title, row in results.items():
        cells = [
            str(row["counts"]["keys"]),
            *(f"{row['auc'][measure]:.3f}" for measure in MEASURES),
        ]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    each = ", ".join(f"`{row['command']}`" for row in results.values())
    return "\n".join([*lines, "", f"`{DATA}`, with {each}."])


def main() -> int:
    """Run the command and return its exit code."""
    parser = CommandParser(prog="key_similarity.py", description=__doc__)
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("output/small_world/key_similarity"),
        metavar="DIR",
        help="output directory of compare_keys.py (default: %(default)s)",
    )
    args: argparse.Namespace = parser.parse_args()
    return run_command(lambda: run(args.output))


if __name__ == "__main__":
    sys.exit(main())
