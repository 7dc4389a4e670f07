"""The measurements and the page docs/results/small_world.md.

    python experiments/small_world.py --run [NAME ...]     # run all settings or the named ones,
                                                           # then write the page
    python experiments/small_world.py                      # write the page from the kept results

Each setting of small_world.yaml is one run of tools/run_demo.py. A run skips completed stages. Its
results are kept in experiments/small_world/NAME.json.
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
from kept_results import commit, interval, number, page_arguments
from scipy.stats import spearmanr

from boxrefine_d2.errors import UserError, run_command
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
# Quantities that a check of the safety stop measures without labels.
SIGNALS = ("flip_agreement", "area_ratio", "feature_shift")
# Entries of a result of run_demo that the page needs.
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
    """Return the entries of small_world.yaml, in order."""
    return read_yaml(HERE / "small_world.yaml", "settings file")


def demo_command(setting: dict[str, Any], output: Path) -> list[str]:
    """Return the command line of a setting, without the interpreter."""
    seeds = ",".join(str(seed) for seed in range(setting["seeds"]))
    opts = [str(part) for pair in setting.get("opts", {}).items() for part in pair]
    output_option = ["--output", str(output / setting["name"])]
    return [
        "tools/run_demo.py",
        "--config-file",
        CONFIG,
        "--resume",
        "--seeds",
        seeds,
        *output_option,
        *opts,
    ]


def run(names: list[str], output: Path) -> None:
    """Run the settings and keep their results.

    Raises: UserError for an unknown name or a failed run.
    """
    known = {setting["name"]: setting for setting in settings()}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UserError(f"no setting {unknown[0]!r}; known: {', '.join(known)}")
    current_commit = commit()
    for name in names or known:
        command = demo_command(known[name], output)
        print(f"{name}: python {shlex.join(command)}")
        if subprocess.run([sys.executable, *command], cwd=ROOT).returncode:
            raise UserError(f"the run of {name!r} failed; see its messages above")
        results = json.loads((ROOT / output / name / "results.json").read_text()) | {
            "commit": current_commit
        }
        records = [one["record"] for one in results["runs"]]
        kept = {key: results[key] for key in KEYS} | {"records": records}
        write_json(KEPT / f"{name}.json", kept)


def main() -> int:
    """Run the command and return its exit code."""
    args = page_arguments("small_world.py", __doc__, "NAME")
    return run_command(lambda: work(args))


def work(args: argparse.Namespace) -> None:
    """Run the settings if the arguments ask for it, then write the page."""
    if args.run is not None:
        run(args.run, args.output)
    PAGE.write_text(page(), encoding="utf-8")


def page() -> str:
    """Return the page made from the kept results."""
    results = {
        setting["name"]: (setting, json.loads((KEPT / f"{setting['name']}.json").read_text()))
        for setting in settings()
        if (KEPT / f"{setting['name']}.json").exists()
    }
    if "main" not in results:
        raise UserError(
            f"no {KEPT / 'main.json'}: run `python experiments/small_world.py --run main` first"
        )
    text = (KEPT / "text.md").read_text(encoding="utf-8")
    parts = {
        "CLAIM": "\n\n".join(claim(*one) for one in results.values() if "rule" in one[0]),
        "SETTINGS": settings_table(results),
        "DRIFT": "\n\n".join(
            drift_tables(setting["title"], result["records"])
            for setting, result in results.values()
            if "checks" in setting
        )
        or f"{NOT_RUN}.",
        "DETECTORS": detectors.tables(),
        "GROUNDING": grounding.tables(),
        "KEYS": key_similarity.table(),
        "COMMANDS": commands(results),
    }
    for name, part in parts.items():
        text = text.replace(f"<!-- {name} -->", part)
    return text


def claim(setting: dict[str, Any], result: dict[str, Any]) -> str:
    """Return a rule's table: CorLoc of the rule on f, of h and of the rule on f^h.

    Each data set has a row with intervals and one row per seed below it.
    """
    title = setting["rule"]
    rule = title.lower()
    lines = [
        f"| Data, images | {title} on *f* | *h* | {title} on *f^h* | gain of {title} "
        f"| *h* minus {title} on *f* |",
        "|---|---|---|---|---|---|",
    ]
    for data, values in result["datasets"].items():
        columns = [(values["corloc"][source], False) for source in (rule, DETECTOR, REFINED)]
        columns += [
            (values["gain"][f"{source}_minus_{rule}"], True) for source in (REFINED, DETECTOR)
        ]
        cells = [interval(*column) for column in columns]
        lines.append(f"| `{data}`, {values['images']} | {' | '.join(cells)} |")
        for index, seed in enumerate(result["seeds"]):
            each = [number(value["per_seed"][index], signed) for value, signed in columns]
            lines.append(f"| seed {seed} | {' | '.join(each)} |")
    return "\n".join(lines)


def settings_table(results: dict[str, tuple[dict[str, Any], dict[str, Any]]]) -> str:
    """Return a table with one row per setting: gain, CorLoc of h, and means of the records."""
    names = list(results["main"][1]["datasets"])
    titles = [f"gain on `{name}` | *h* on `{name}`" for name in names]
    lines = [
        f"| Setting | seeds | {' | '.join(titles)} "
        "| *h* hits the pseudo-box, % | boxes changed, % | map shift |",
        "|---" * (2 + 2 * len(names) + 3) + "|",
    ]
    for setting, result in results.values():
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
    missing = [setting["title"] for setting in settings() if setting["name"] not in results]
    if missing:
        lines += ["", f"{NOT_RUN}: {'; '.join(missing)}."]
    return "\n".join(lines)


def drift_tables(title: str, records: list[dict[str, Any]]) -> str:
    """Return the safety stop's checks as means over seeds, and the rank correlation with CorLoc."""
    checks = [record["drift"] for record in records]
    titles = [*(title_of(name) for name in SIGNALS), "CorLoc at S x S, %"]
    lines = [f"{title[0].upper()}{title[1:]}:", ""]
    lines += [f"| Iteration | {' | '.join(titles)} |", "|---" * (1 + len(titles)) + "|"]
    for rows in zip(*checks, strict=True):
        means = [statistics.mean(row[name] for row in rows) for name in (*SIGNALS, "corloc")]
        shown = [f"{value:.3f}" for value in means[:-1]] + [number(means[-1])]
        lines.append(f"| {rows[0]['iteration']} | {' | '.join(shown)} |")
    rows = [row for of_seed in checks for row in of_seed]
    lines += ["", f"Spearman's rank correlation with CorLoc over these {len(rows)} checks:", ""]
    for name in SIGNALS:
        rank = spearmanr([row[name] for row in rows], [row["corloc"] for row in rows]).statistic
        lines.append(f"- {title_of(name)}: {rank:+.2f}")
    return "\n".join(lines)


def title_of(signal: str) -> str:
    """Return the title of the signal's chart in the report."""
    return CHARTS[f"drift/{signal}"][0]


def commands(results: dict[str, tuple[dict[str, Any], dict[str, Any]]]) -> str:
    """Return a table with the command and the commit of each setting."""
    lines = ["| Setting | Commit | Command |", "|---|---|---|"]
    for name, (setting, result) in results.items():
        command = shlex.join(demo_command(setting, Path("output/small_world")))
        lines.append(f"| {name} | {result['commit']} | `python {command}` |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
