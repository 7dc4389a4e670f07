"""The table of detectors in docs/small_world.md.

    python docs/detectors.py --seeds 0,1,2      # runs configs/pipelines/small_world.yaml for each, as far as it is not done

What each seed found is kept in docs/small_world/detectors.json; docs/small_world.py writes the page.
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from scipy.stats import t

from boxrefine_d2.errors import CommandParser, UserError, run_command
from boxrefine_d2.evaluation import write_json

DOCS = Path(__file__).parent
ROOT = DOCS.parent
KEPT = DOCS / "small_world" / "detectors.json"
PIPELINE = "configs/pipelines/small_world.yaml"
DATA = "cutouts_val"
# of each row its title, and the file below a seed's folder that holds its metrics
ROWS = {
    "LOST": "lost_score/metrics.json",
    "CAD on LOST": "cad/results.json",
    "LOST on the refined backbone": "refined_score/metrics.json",
    "CAD on these": "cad_refined/results.json",
    "MaskCut, without CRF": "maskcut_score/metrics.json",
    "CutLER's Mask R-CNN on MaskCut": "cutler/results.json",
    "the same after a round of self-training": "self_train/train_1/results.json",
}
METRICS = {"corloc": "CorLoc", "ap50": "AP50", "ap": "AP"}


def run(seeds: list[str], output: Path) -> None:
    """Runs the pipeline of each seed and keeps what it found. Raises: UserError for a run that failed."""
    found: dict[str, Any] = {"commit": _commit(), "commands": [], "seeds": {}}
    for seed in seeds:
        folder = output / f"seed_{seed}"
        command = ["tools/pipeline.py", PIPELINE, f"seed={seed}", f"folder={folder}"]
        if subprocess.run([sys.executable, *command], cwd=ROOT).returncode:
            raise UserError(f"the pipeline of seed {seed} failed; what it said stands above")
        found["commands"].append(" ".join(["python", *command]))
        found["seeds"][seed] = {title: _metrics(folder / file) for title, file in ROWS.items()}
    write_json(KEPT, found)


def _commit() -> str:
    command = ["git", "rev-parse", "--short", "HEAD"]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()


def _metrics(path: Path) -> dict[str, float]:
    content = json.loads((ROOT / path).read_text(encoding="utf-8"))
    values = content["datasets"][DATA] if "datasets" in content else content
    return {metric: values[metric] for metric in METRICS}


def table() -> str:
    """The rows with means, and intervals where there are three seeds or more (Student's t over seeds)."""
    if not KEPT.exists():
        return "Not run yet."
    found = json.loads(KEPT.read_text(encoding="utf-8"))
    seeds = found["seeds"]
    lines = [f"| | {' | '.join(METRICS.values())} |", "|---" * (1 + len(METRICS)) + "|"]
    for title in ROWS:
        cells = [
            _cell([of_seed[title][metric] for of_seed in seeds.values()]) for metric in METRICS
        ]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    each = ", ".join(f"`{command}`" for command in found["commands"])
    count = f"{len(seeds)} seeds" if len(seeds) > 1 else "one seed"
    return "\n".join([*lines, "", f"`{DATA}`, {count}, commit {found['commit']}: {each}."])


def _cell(values: list[float]) -> str:
    mean = statistics.mean(values)
    if len(values) < 3:
        return f"{mean:.1f}"
    half = t.ppf(0.975, len(values) - 1) * statistics.stdev(values) / len(values) ** 0.5
    return f"{mean:.1f} [{mean - half:.1f}, {mean + half:.1f}]"


def main() -> int:
    """The command."""
    parser = CommandParser(prog="detectors.py", description=__doc__)
    parser.add_argument("--seeds", required=True, metavar="N[,N...]")
    parser.add_argument(
        "--output", type=Path, default=Path("output/small_world/detectors"), metavar="DIR"
    )
    args: argparse.Namespace = parser.parse_args()
    return run_command(lambda: run(args.seeds.split(","), args.output))


if __name__ == "__main__":
    sys.exit(main())
