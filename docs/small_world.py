"""The measurements of docs/small_world.md.

    python docs/small_world.py --run [NAME ...]     # runs what is missing (all settings, or those named), then writes
    python docs/small_world.py                      # writes the page anew from docs/small_world/*.json

Each setting of small_world.yaml is one run of tools/run_demo.py; what it found is kept in docs/small_world/NAME.json.
"""

import argparse
import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from boxrefine_d2.errors import CommandParser, UserError, run_command
from boxrefine_d2.evaluation import write_json

DOCS = Path(__file__).parent
ROOT = DOCS.parent
KEPT = DOCS / "small_world"
CONFIG = "configs/demo/small_world.yaml"
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
    return yaml.safe_load((DOCS / "small_world.yaml").read_text(encoding="utf-8"))


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
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    for name in names or known:
        command = demo_command(known[name], output)
        print(f"{name}: python {shlex.join(command)}")
        if subprocess.run([sys.executable, *command], cwd=ROOT).returncode:
            raise UserError(f"the run of {name!r} failed; what it said stands above")
        found = json.loads((ROOT / output / name / "results.json").read_text()) | {"commit": commit}
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
    (DOCS / "small_world.md").write_text(page(), encoding="utf-8")


def page() -> str:
    """The page, from what is kept."""
    found = {
        setting["name"]: (setting, json.loads((KEPT / f"{setting['name']}.json").read_text()))
        for setting in settings()
        if (KEPT / f"{setting['name']}.json").exists()
    }
    if "main" not in found:
        raise UserError(
            f"no {KEPT / 'main.json'}: run `python docs/small_world.py --run main` first"
        )
    text = (KEPT / "text.md").read_text(encoding="utf-8")
    parts = {
        "MAIN": main_table(found["main"][1]),
        "SETTINGS": settings_table(found),
        "COMMANDS": commands(found),
    }
    for name, part in parts.items():
        text = text.replace(f"<!-- {name} -->", part)
    return text


def interval(value: dict[str, Any], signed: bool = False) -> str:
    """ "12.3 [10.0, 14.5]"."""
    form = "{:+.1f}" if signed else "{:.1f}"
    low, high = (form.format(x) for x in value["ci95"])
    return f"{form.format(value['mean'])} [{low}, {high}]"


def main_table(result: dict[str, Any]) -> str:
    """CorLoc of f, h and f^h with intervals, one row a seed beneath."""
    lines = ["| Data, images | LOST on *f* | *h* | LOST on *f^h* | gain |", "|---|---|---|---|---|"]
    for data, found in result["datasets"].items():
        corloc, gain = found["corloc"], found["gain"]["refined_minus_lost"]
        cells = [interval(corloc[source]) for source in ("lost", "h", "refined")]
        lines.append(
            f"| `{data}`, {found['images']} | {' | '.join(cells)} | {interval(gain, True)} |"
        )
        for index, seed in enumerate(result["seeds"]):
            each = [
                f"{corloc[source]['per_seed'][index]:.1f}" for source in ("lost", "h", "refined")
            ]
            lines.append(f"| seed {seed} | {' | '.join(each)} | {gain['per_seed'][index]:+.1f} |")
    return "\n".join(lines)


def settings_table(found: dict[str, tuple[dict[str, Any], dict[str, Any]]]) -> str:
    """One row a setting: gain on each data set, h, and what the record says."""
    names = list(found["main"][1]["datasets"])
    titles = [f"gain on `{name}` | *h* on `{name}`" for name in names]
    lines = [
        f"| Setting | seeds | {' | '.join(titles)} | *h* meets its box, % | boxes changed, % | key shift |",
        "|---" * (2 + 2 * len(names) + 3) + "|",
    ]
    for setting, result in found.values():
        cells = [setting["title"], str(len(result["seeds"]))]
        for name in names:
            data = result["datasets"][name]
            cells.append(interval(data["gain"]["refined_minus_lost"], True))
            cells.append(f"{data['corloc']['h']['mean']:.1f}")
        for key, digits in (("h_hits_pseudo_box", 1), ("boxes_changed", 1), ("feature_shift", 3)):
            mean = sum(record[key] for record in result["records"]) / len(result["records"])
            cells.append(f"{mean:.{digits}f}")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def commands(found: dict[str, tuple[dict[str, Any], dict[str, Any]]]) -> str:
    """The command and the commit of each setting."""
    lines = ["| Setting | Commit | Command |", "|---|---|---|"]
    for name, (setting, result) in found.items():
        command = shlex.join(demo_command(setting, Path("output/small_world")))
        lines.append(f"| {name} | {result['commit']} | `python {command}` |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
