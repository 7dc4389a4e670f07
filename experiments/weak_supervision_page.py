"""The page docs/results/weak_supervision.md, made from the kept results of weak_supervision.py."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from kept_results import NOT_RUN, interval, markdown
from scipy.stats import spearmanr

from boxrefine_d2.evaluation.bootstrap import mean_with_interval

KEPT = Path(__file__).parent / "weak_supervision"
IOU_OF = {"gt_known": 50, "gt_loc_70": 70, "gt_loc_80": 80}
COLUMNS = (("map", 50), ("map", 70), ("file", 50), ("file", 70), ("file", 80))
Settings = dict[str, Any]


def kept_results(everything: Settings) -> dict[str, dict[str, Any]]:
    """Return world -> name -> kept results."""
    return {
        world: json.loads((KEPT / f"{world}.json").read_text(encoding="utf-8"))
        for world in everything["worlds"]
        if (KEPT / f"{world}.json").exists()
    }


def verdict(claim: Settings, found: Settings) -> str:
    """Return whether a claim holds."""
    low, high = found["ci95"]
    if claim.get("same"):
        return "holds" if low <= 0 <= high else "**does not hold**"
    return "holds" if low > 0 else "**fails**" if high < 0 else "not shown"


def claims_table(everything: Settings, judged: dict[str, Any]) -> str:
    """Return the table of the claims."""
    lines = []
    for number, claim in enumerate(everything["claims"]):
        for world in claim["worlds"]:
            found = judged.get(f"{number}/{world}")
            if found is None:
                continue
            metric = f"{claim['metric']}, {claim['of']}"
            shown = interval(found, signed=True)
            cells = [claim["name"], claim["says"], f"`{world}`", metric, shown]
            lines.append([*cells, str(found["seeds"]), verdict(claim, found)])
    heads = ["", "Claim", "World", "Metric", "difference", "seeds", ""]
    return markdown(heads, lines) if lines else NOT_RUN


def source_tables(everything: Settings, kept: dict[str, Any]) -> str:
    """Return a table per world: a row per training and source."""
    texts = []
    for world, about in everything["worlds"].items():
        lines = []
        for name, training in everything["trainings"].items():
            runs = list(kept.get(world, {}).get(name, {}).get("seeds", {}).values())
            for source in runs[0]["sources"] if runs else ():
                of_source = [run["sources"][source] for run in runs]
                cells = [training["title"], f"`{source}`", str(len(runs))]
                for of, iou in COLUMNS:
                    hits = [[int(x) for x in one[of][str(iou)]] for one in of_source if of in one]
                    cells.append(interval(mean_with_interval(hits).to_json()) if hits else "")
                areas = [one["pxap"] for one in of_source if one["pxap"] is not None]
                values = [f"{np.mean(areas):.1f}" if areas else ""]
                for metric in ("maxboxacc_v2", "top1_cls", "top1_loc"):
                    found = [
                        one["metrics"][metric] for one in of_source if metric in one["metrics"]
                    ]
                    values.append(f"{np.mean(found):.1f}" if found else "")
                lines.append([*cells, *values])
        centre = kept.get(world, {}).get("centred_box")
        if centre:
            cells = [f"control: centred box, {centre['scale']:.2f} of each side", "", ""]
            for of, iou in COLUMNS:
                found = mean_with_interval([[int(x) for x in centre["hits"][str(iou)]]])
                cells.append(interval(found.to_json()) if of == "file" else "")
            lines.append([*cells, "", "", "", ""])
        heads = ["Training", "source", "seeds", "map .5", "map .7", "file .5", "file .7", "file .8"]
        heads += ["PxAP", "MaxBoxAccV2", "top-1 class", "top-1 loc"]
        if lines:
            texts.append(f"### `{world}`: {about['title']}\n\n{markdown(heads, lines)}")
    return "\n\n".join(texts) or NOT_RUN


def metric_agreement(everything: Settings, kept: dict[str, Any]) -> str:
    """Return the table of M1: rank correlations of metrics over all sources of a world."""
    names = ("gt_known", "gt_loc_70", "maxboxacc_v1", "maxboxacc_v2", "pxap")
    lines = []
    for world in everything["worlds"]:
        rows = [
            source["metrics"] | {"own": source["own_threshold"]}
            for name in everything["trainings"]
            for run in kept.get(world, {}).get(name, {}).get("seeds", {}).values()
            for source in run["sources"].values()
            if {"own_threshold", "map"} <= source.keys() and "pxap" in source["metrics"]
        ]
        if len(rows) < 5:
            continue
        table = np.array([[row[name] for name in names] for row in rows])
        ranks = spearmanr(table).statistic
        inflation = np.mean([row["own"] - row["maxboxacc_v1"] for row in rows])
        cells = [f"{ranks[0, place]:.2f}" for place in range(1, len(names))]
        lines.append(
            [f"`{world}`", str(len(rows)), *cells, f"{ranks[3, 4]:.2f}", f"{inflation:.1f}"]
        )
    heads = ["World", "maps", *(f"GT-known and {name}" for name in names[1:]), "V2 and PxAP"]
    heads.append("own threshold less V1")
    return markdown(heads, lines) if lines else NOT_RUN


def stopped(kept: dict[str, Any]) -> str:
    """Return the table of GT-known at the kept, the last, and the best check of each training."""
    lines = []
    for world, trainings in kept.items():
        for seed, run in trainings.get("weight_map", {}).get("seeds", {}).items():
            checks = run.get("map_checks") or []
            if not checks:
                continue
            at = {check["iteration"]: check["gt_known"] for check in checks}
            values = (at[run["kept_iteration"]], checks[-1]["gt_known"], max(at.values()))
            first = max(checks, key=lambda check: check["inside_share"])
            cells = [f"{value:.1f}" for value in (*values, first["gt_known"])]
            lines.append([f"`{world}`", seed, str(run["kept_iteration"]), *cells])
    heads = ["World", "seed", "kept iteration", "kept", "last", "best", "by the paper's S"]
    return markdown(heads, lines) if lines else NOT_RUN


def early_stops(kept: dict[str, Any]) -> str:
    """Return the table of early stopping: S, its excess, the mean of the map, and GT-known."""
    lines = []
    for world, trainings in kept.items():
        for check in (
            trainings.get("weight_map", {}).get("seeds", {}).get("0", {}).get("map_checks") or ()
        ):
            cells = [f"`{world}`", str(check["iteration"])]
            cells += [f"{100 * check[x]:.1f}" for x in ("inside_share", "inside_excess")]
            lines.append([*cells, f"{check['mean_map']:.2f}", f"{check['gt_known']:.1f}"])
    heads = ["World", "iteration", "S, %", "S less the area, %", "mean of the map", "GT-known, %"]
    return markdown(heads, lines) if lines else NOT_RUN


def commands(kept: dict[str, Any]) -> str:
    """Return the table of the commands of seed 0 and their commits."""
    lines = [
        [f"{world}/{name}", one["commit"], f"`python tools/{one['command']}`"]
        for world, trainings in kept.items()
        for name, one in trainings.items()
        if "command" in one
    ]
    return markdown(["Training", "Commit", "Command of seed 0"], lines) if lines else NOT_RUN


def page(everything: Settings) -> str:
    """Return the page made from the kept results."""
    kept = kept_results(everything)
    path = KEPT / "claims.json"
    judged = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    parts = {
        "CLAIMS": claims_table(everything, judged),
        "TABLES": source_tables(everything, kept),
        "EARLY_STOPS": early_stops(kept),
        "STOPPED": stopped(kept),
        "METRICS": metric_agreement(everything, kept),
        "COMMANDS": commands(kept),
    }
    text = (KEPT / "text.md").read_text(encoding="utf-8")
    for name, part in parts.items():
        text = text.replace(f"<!-- {name} -->", part)
    return text
