"""The measurements and the page docs/results/refinement.md.

    python experiments/refinement.py --run [DATA/ROW ...]   # run all rows or the named ones, then
                                                            # write the page
    python experiments/refinement.py                        # write the page from the kept results

Each row of refinement.yaml refines the network on the training images of a data set and scores the
boxes of several rules on its validation images, before and after. The stages of a data set are a
pipeline; completed stages are skipped. The results are kept in experiments/refinement/DATA.json.
"""

import argparse
import json
import shlex
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from kept_results import NOT_RUN, commit, interval, markdown, number, page_arguments
from refinement_stages import (
    DEFAULT_RULES,
    DETECTOR,
    Settings,
    Stages,
    detector_stages_of,
    rows_of,
    rules_of,
    settings,
    stages_of,
)

from boxrefine_d2.data import load_spec
from boxrefine_d2.errors import UserError, run_command
from boxrefine_d2.evaluation import GroundTruth, write_json
from boxrefine_d2.evaluation.bootstrap import mean_with_interval, paired_gain
from boxrefine_d2.evaluation.corloc import localise_top_boxes
from boxrefine_d2.evaluation.predictions import read_predictions
from boxrefine_d2.files.shipped import shipped_tools
from boxrefine_d2.workflow import plan_of_stages, run_plan

HERE = Path(__file__).parent
KEPT = HERE / "refinement"
PAGE = HERE.parent / "docs" / "results" / "refinement.md"
USUAL_OUTPUT = "output/refinement"  # in kept commands
CEILING = "ceiling"  # a row whose title begins so is a ceiling


def hits_of(val: str, boxes: Path) -> str:
    """Return 1 for each image of the data with a hit and 0 for a miss, in the data's order."""
    truth = GroundTruth(val, load_spec(val).records)
    result, _ = localise_top_boxes(truth, read_predictions(boxes), "corloc")
    return "".join(str(int(hit)) for hit in result.hits.values())


def run_row(everything: Settings, data: str, row: Settings, output: Path) -> None:
    """Run a row on a data set and keep its results. Raises: UserError if a stage failed."""
    folder, val = output / data, everything["data"][data]["val"]
    commands = run_stages(everything, data, stages_of(everything, data, row), output)
    rules = rules_of(row)
    seeds = {}
    for seed in range(row["seeds"]):
        place = folder / f"refine_{row['name']}_{seed}"
        record = json.loads((place / "results.json").read_text(encoding="utf-8"))["record"]
        after = {
            rule: hits_of(val, folder / f"after_{rule}_{row['name']}_{seed}" / "boxes.json")
            for rule in rules
        }
        seeds[str(seed)] = {"hits": after, "drift": record["drift"], "stopped": record["stopped"]}
    before = {rule: hits_of(val, folder / f"before_{rule}" / "boxes.json") for rule in rules}
    command = commands[f"refine_{row['name']}_0"]
    keep(data, row["name"], {"before": before, "seeds": seeds, "command": command})


def run_detector(everything: Settings, data: str, output: Path) -> None:
    """Train the detector on boxes before and after, and keep its results.

    Raises: UserError if a stage failed.
    """
    val = f"{everything['data'][data]['val']}+agnostic"
    commands = run_stages(everything, data, detector_stages_of(everything, data), output)
    seeds = {}
    for seed in range(everything[DETECTOR]["seeds"]):
        seeds[str(seed)] = {}
        for moment in ("before", "after"):
            place = output / data / f"detector_{moment}_{seed}"
            scores = json.loads((place / "results.json").read_text(encoding="utf-8"))
            hits = hits_of(val, place / "inference" / val / "detections.json")
            ap50 = scores["datasets"][val]["ap50"]
            seeds[str(seed)][moment] = {"hits": hits, "ap50": ap50}
    keep(data, DETECTOR, {"seeds": seeds, "command": commands["detector_after_0"]})


def run_stages(everything: Settings, data: str, stages: Stages, output: Path) -> dict[str, str]:
    """Run the stages that are not complete, and return the command of each stage.

    Raises: UserError if a stage failed.
    """
    values = {"train": everything["data"][data]["train"]}
    plan = plan_of_stages(stages, output / data, values, "refinement.yaml")
    if run_plan(plan, shipped_tools(), partial(print, flush=True)):
        raise UserError(f"a stage on {data} failed; see the messages above")
    return {
        stage.name: shlex.join(stage.command).replace(str(output), USUAL_OUTPUT) for stage in plan
    }


def keep(data: str, name: str, results: dict[str, Any]) -> None:
    """Keep the results of a measurement beside the others of its data set."""
    path = KEPT / f"{data}.json"
    rows = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    write_json(path, rows | {name: {"commit": commit()} | results})


def hits_array(text: str) -> list[int]:
    """Return the hits of a kept text."""
    return [int(character) for character in text]


def gain_of(kept: dict[str, Any], rule: str) -> dict[str, Any]:
    """Return CorLoc before, after and the gain of a kept row, each with its interval."""
    seeds = list(kept["seeds"].values())
    after = [hits_array(one["hits"][rule]) for one in seeds]
    before = [hits_array(kept["before"][rule])] * len(seeds)
    return {
        "before": mean_with_interval(before[:1]).to_json(),
        "after": mean_with_interval(after).to_json(),
        "gain": paired_gain(before, after).to_json(),
    }


def tables(everything: Settings, kept: dict[str, dict[str, Any]]) -> str:
    """Return one table per rule: a row per setting, a column per data set."""
    texts = []
    for rule, about in everything["rules"].items():
        names = [data for data in everything["data"] if data in kept]
        heads = ["Learnt from", "seeds", *(f"`{everything['data'][x]['val']}`" for x in names)]
        lines = []
        for row in everything["rows"]:
            cells, seeds = [], set()
            for data in names:
                one = kept[data].get(row["name"])
                if one is None or rule not in one["before"]:
                    cells.append("")
                    continue
                seeds.add(len(one["seeds"]))
                numbers = gain_of(one, rule)
                before, after = numbers["before"]["mean"], numbers["after"]["mean"]
                cells.append(f"{before:.1f} → {after:.1f}: {interval(numbers['gain'], True)}")
            if seeds:
                lines.append([row["title"], ", ".join(map(str, sorted(seeds))), *cells])
        if lines:
            texts.append(f"### {about['title']}\n\n{markdown(heads, lines)}")
    return "\n\n".join(texts)


def shares(everything: Settings, kept: dict[str, dict[str, Any]]) -> str:
    """Return the table of the share of the best ceiling's gain that each label-free row reaches."""
    lines = []
    for data, rows in kept.items():
        titles = {row["name"]: row["title"] for row in everything["rows"]}
        for rule in DEFAULT_RULES:
            gains = {
                name: gain_of(one, rule)["gain"]["mean"]
                for name, one in rows.items()
                if name in titles and rule in one["before"]
            }
            ceilings = [gains[name] for name in gains if titles[name].startswith(CEILING)]
            if not ceilings or max(ceilings) <= 0:
                continue
            for name, gain in gains.items():
                if not titles[name].startswith((CEILING, "control")):
                    share = 100 * gain / max(ceilings)
                    title = everything["rules"][rule]["title"]
                    lines.append([data, title, titles[name], f"{gain:+.1f}", f"{share:.0f}"])
    heads = ["Data", "Rule", "Learnt from", "gain", "share of the best ceiling, %"]
    return markdown(heads, lines)


def stops(everything: Settings, kept: dict[str, dict[str, Any]]) -> str:
    """Return the table of the safety stop: how many seeds it stopped, and its last signals."""
    lines = []
    for row in everything["rows"]:
        for data, rows in kept.items():
            if row["name"] not in rows:
                continue
            seeds = list(rows[row["name"]]["seeds"].values())
            ends = [one["drift"][-1] for one in seeds if one["drift"]]
            starts = [one["drift"][0] for one in seeds if one["drift"]]
            if not ends:
                continue
            rise = [e["flip_agreement"] - s["flip_agreement"] for s, e in zip(starts, ends)]
            means = [sum(x) / len(ends) for x in (rise, [e["area_ratio"] for e in ends])]
            stopped = sum(one["stopped"] is not None for one in seeds)
            shown = [f"{means[0]:+.3f}", f"{means[1]:.2f}", f"{stopped} of {len(seeds)}"]
            lines.append([row["title"], data, *shown])
    heads = ["Learnt from", "Data", "flip agreement", "area ratio", "stopped"]
    return markdown(heads, lines)


def detectors(everything: Settings, kept: dict[str, dict[str, Any]]) -> str:
    """Return the table of the detector that learnt from boxes before and after refinement."""
    lines = []
    for data in (data for data in kept if DETECTOR in kept[data]):
        seeds = list(kept[data][DETECTOR]["seeds"].values())
        hits = [[hits_array(one[x]["hits"]) for one in seeds] for x in ("before", "after")]
        means = [number(mean_with_interval(one).to_json()["mean"]) for one in hits]
        ap50 = [sum(one[x]["ap50"] for one in seeds) / len(seeds) for x in ("before", "after")]
        gain = interval(paired_gain(*hits).to_json(), True)
        val = f"`{everything['data'][data]['val']}`"
        cells = [" → ".join(means), gain, " → ".join(map(number, ap50))]
        lines.append([val, str(len(seeds)), *cells])
    return (
        markdown(["Data", "seeds", "CorLoc", "gain in CorLoc", "AP50"], lines) if lines else NOT_RUN
    )


def commands(kept: dict[str, dict[str, Any]]) -> str:
    """Return the table of the commands of seed 0 and their commits."""
    lines = [
        [f"{data}/{name}", one["commit"], f"`python tools/{one['command']}`"]
        for data, rows in kept.items()
        for name, one in rows.items()
    ]
    return markdown(["Row", "Commit", "Command of seed 0"], lines)


def page() -> str:
    """Return the page made from the kept results."""
    everything = settings()
    kept = {
        data: json.loads((KEPT / f"{data}.json").read_text(encoding="utf-8"))
        for data in everything["data"]
        if (KEPT / f"{data}.json").exists()
    }
    text = (KEPT / "text.md").read_text(encoding="utf-8")
    parts = {
        "TABLES": tables(everything, kept),
        "SHARES": shares(everything, kept),
        "STOPS": stops(everything, kept),
        "DETECTORS": detectors(everything, kept),
        "COMMANDS": commands(kept),
    }
    for name, part in parts.items():
        text = text.replace(f"<!-- {name} -->", part)
    return text


def work(args: argparse.Namespace) -> None:
    """Run the rows if the arguments ask for it, then write the page."""
    everything = settings()
    known: dict[str, Callable[[Path], None]] = {}
    for data in everything["data"]:
        for row in rows_of(everything, data):
            known[f"{data}/{row['name']}"] = partial(run_row, everything, data, row)
        if data in everything[DETECTOR]["data"]:
            known[f"{data}/{DETECTOR}"] = partial(run_detector, everything, data)
    unknown = set(args.run or []) - set(known)
    if unknown:
        raise UserError(f"no row {min(unknown)!r}; known: {', '.join(known)}")
    if args.run is not None:
        for name in args.run or known:
            known[name](args.output)
    PAGE.write_text(page(), encoding="utf-8")


def main() -> int:
    """Run the command and return its exit code."""
    args = page_arguments("refinement.py", __doc__, "DATA/ROW")
    return run_command(lambda: work(args))


if __name__ == "__main__":
    sys.exit(main())
