"""The measurements of docs/results/small_world.md.

    python experiments/small_world.py --run [NAME ...]     # runs what is missing (all settings, or those named), then writes
    python experiments/small_world.py                      # writes the page anew from experiments/small_world/*.json

Each setting of small_world.yaml is one run of tools/run_demo.py; what it found is kept in experiments/small_world/NAME.json.
"""

import argparse
import json
import shlex
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import detectors
import grounding
import key_similarity
from kept_results import commit, interval, number
from scipy.stats import spearmanr

from boxrefine_d2.errors import CommandParser, UserError, run_command
from boxrefine_d2.evaluation import write_json
from boxrefine_d2.evaluation.sources import DETECTOR, REFINED
from boxrefine_d2.files.safe_yaml import read_yaml
from boxrefine_d2.report.training_charts import CHARTS

HERE = Path(__file__).parent
ROOT = HERE.parent
KEPT = HERE / "small_world"
PAGE = ROOT / "docs" / "results" / "small_world.md"
CONFIG = "configs/demo/small_world.yaml"
NOT_RUN = "Not run yet"
# what a check of the safety stop measures without labels
SIGNALS = ("flip_agreement", "area_ratio", "feature_shift")
# what the page needs of a run_demo result
KEYS = (
    "version",
    "commit",
    "seeds",
    "images",
    "datasets",
    "bootstrap_draws",
    "weights",
    "versions",
    "commands",
)


def settings() -> list[dict[str, Any]]:
    """The entries of small_world.yaml, in order."""
    return read_yaml(HERE / "small_world.yaml", "settings file")


def demo_command(setting: dict[str, Any], output: Path) -> list[str]:
    """The command line of a setting, without the interpreter."""
    seeds = ",".join(str(seed) for seed in range(setting["seeds"]))
    opts = [str(part) for pair in setting.get("opts", {}).items() for part in pair]
    where = ["--output", str(output / setting["name"])]
    return [
        "tools/run_demo.py",
        "--config-file",
        CONFIG,
        "--resume",
        "--seeds",
        seeds,
        *where,
        *opts,
    ]


def run(names: list[str], output: Path) -> None:
    """Runs the settings and keeps what they found. Raises: UserError for an unknown name or a failed run."""
    known = {setting["name"]: setting for setting in settings()}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UserError(f"no setting {unknown[0]!r}; known: {', '.join(known)}")
    of_commit = commit()
    for name in names or known:
        command = demo_command(known[name], output)
        print(f"{name}: python {shlex.join(command)}")
        if subprocess.run([sys.executable, *command], cwd=ROOT).returncode:
            raise UserError(f"the run of {name!r} failed; what it said stands above")
        found = json.loads((ROOT / output / name / "results.json").read_text()) | {
            "commit": of_commit
        }
        records = [one["record"] for one in found["runs"]]
        kept = {key: found[key] for key in KEYS} | {"records": records}
        write_json(KEPT / f"{name}.json", kept)


def main() -> int:
    """The command."""
    parser = CommandParser(prog="small_world.py", description=__doc__)
    parser.add_argument("--run", nargs="*", metavar="NAME", help="run these settings; none: all")
    parser.add_argument("--output", type=Path, default=Path("output/small_world"), metavar="DIR")
    args = parser.parse_args()
    return run_command(lambda: work(args))


def work(args: argparse.Namespace) -> None:
    """What the arguments ask for."""
    if args.run is not None:
        run(args.run, args.output)
    PAGE.write_text(page(), encoding="utf-8")


def page() -> str:
    """The page, from what is kept."""
    found = {
        setting["name"]: (setting, json.loads((KEPT / f"{setting['name']}.json").read_text()))
        for setting in settings()
        if (KEPT / f"{setting['name']}.json").exists()
    }
    if "main" not in found:
        raise UserError(
            f"no {KEPT / 'main.json'}: run `python experiments/small_world.py --run main` first"
        )
    text = (KEPT / "text.md").read_text(encoding="utf-8")
    parts = {
        "CLAIM": "\n\n".join(claim(*one) for one in found.values() if "rule" in one[0]),
        "SETTINGS": settings_table(found),
        "DRIFT": "\n\n".join(
            drift_tables(setting["title"], result["records"])
            for setting, result in found.values()
            if "checks" in setting
        )
        or f"{NOT_RUN}.",
        "DETECTORS": detectors.tables(),
        "GROUNDING": grounding.tables(),
        "KEYS": key_similarity.table(),
        "COMMANDS": commands(found),
    }
    for name, part in parts.items():
        text = text.replace(f"<!-- {name} -->", part)
    return text


def claim(setting: dict[str, Any], result: dict[str, Any]) -> str:
    """CorLoc of a rule on f, of h and of the rule on f^h with intervals, one row a seed beneath."""
    title = setting["rule"]
    rule = title.lower()
    lines = [
        f"| Data, images | {title} on *f* | *h* | {title} on *f^h* | gain of {title} | *h* less {title} on *f* |",
        "|---|---|---|---|---|---|",
    ]
    for data, found in result["datasets"].items():
        columns = [(found["corloc"][source], False) for source in (rule, DETECTOR, REFINED)]
        columns += [
            (found["gain"][f"{source}_minus_{rule}"], True) for source in (REFINED, DETECTOR)
        ]
        cells = [interval(*column) for column in columns]
        lines.append(f"| `{data}`, {found['images']} | {' | '.join(cells)} |")
        for index, seed in enumerate(result["seeds"]):
            each = [number(value["per_seed"][index], signed) for value, signed in columns]
            lines.append(f"| seed {seed} | {' | '.join(each)} |")
    return "\n".join(lines)


def settings_table(found: dict[str, tuple[dict[str, Any], dict[str, Any]]]) -> str:
    """One row a setting: gain on each data set, h, and what the record says."""
    names = list(found["main"][1]["datasets"])
    titles = [f"gain on `{name}` | *h* on `{name}`" for name in names]
    lines = [
        f"| Setting | seeds | {' | '.join(titles)} | *h* meets its box, % | boxes changed, % | map shift |",
        "|---" * (2 + 2 * len(names) + 3) + "|",
    ]
    for setting, result in found.values():
        if "rule" in setting and setting["name"] != "main":
            continue
        cells = [setting["title"], str(len(result["seeds"]))]
        for name in names:
            data = result["datasets"][name]
            cells.append(interval(data["gain"][f"{REFINED}_minus_lost"], True))
            cells.append(f"{data['corloc'][DETECTOR]['mean']:.1f}")
        for key, digits in (("h_hits_pseudo_box", 1), ("boxes_changed", 1), ("feature_shift", 3)):
            mean = statistics.mean(record[key] for record in result["records"])
            cells.append(f"{mean:.{digits}f}")
        lines.append(f"| {' | '.join(cells)} |")
    missing = [setting["title"] for setting in settings() if setting["name"] not in found]
    if missing:
        lines += ["", f"{NOT_RUN}: {'; '.join(missing)}."]
    return "\n".join(lines)


def drift_tables(title: str, records: list[dict[str, Any]]) -> str:
    """The checks of the safety stop, mean over seeds, and how each signal's order is that of CorLoc."""
    checks = [record["drift"] for record in records]
    titles = [*(title_of(name) for name in SIGNALS), "CorLoc at S x S, %"]
    lines = [f"{title[0].upper()}{title[1:]}:", ""]
    lines += [f"| Iteration | {' | '.join(titles)} |", "|---" * (1 + len(titles)) + "|"]
    for rows in zip(*checks, strict=True):
        means = [statistics.mean(row[name] for row in rows) for name in (*SIGNALS, "corloc")]
        shown = [f"{value:.3f}" for value in means[:-1]] + [number(means[-1])]
        lines.append(f"| {rows[0]['iteration']} | {' | '.join(shown)} |")
    every = [row for rows in checks for row in rows]
    lines += ["", f"Spearman's rank correlation with CorLoc over these {len(every)} checks:", ""]
    for name in SIGNALS:
        rank = spearmanr([row[name] for row in every], [row["corloc"] for row in every]).statistic
        lines.append(f"- {title_of(name)}: {rank:+.2f}")
    return "\n".join(lines)


def title_of(signal: str) -> str:
    """As the report's chart of the signal is called."""
    return CHARTS[f"drift/{signal}"][0]


def commands(found: dict[str, tuple[dict[str, Any], dict[str, Any]]]) -> str:
    """The command and the commit of each setting."""
    lines = ["| Setting | Commit | Command |", "|---|---|---|"]
    for name, (setting, result) in found.items():
        command = shlex.join(demo_command(setting, Path("output/small_world")))
        lines.append(f"| {name} | {result['commit']} | `python {command}` |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
