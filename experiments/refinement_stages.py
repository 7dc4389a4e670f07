"""Stages of the measurements of refinement.yaml; experiments/refinement.py runs them."""

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from boxrefine_d2.files.safe_yaml import read_yaml

HERE = Path(__file__).parent
DEFAULT_RULES = ("lost", "tokencut")
OF_DATA = ("labels", "own")  # targets that no stage makes
DETECTOR = "detector"  # name of the measurement of the detector beside those of the rows

Settings = dict[str, Any]
Stages = list[dict[str, Any]]


def settings() -> Settings:
    """Return the content of refinement.yaml."""
    return read_yaml(HERE / "refinement.yaml", "settings file")


def rules_of(row: Settings) -> list[str]:
    """Return the names of the rules that a row scores."""
    return list(row.get("rules", DEFAULT_RULES))


def rows_of(everything: Settings, data: str) -> Iterator[Settings]:
    """Yield the rows that are measured on a data set."""
    yield from (row for row in everything["rows"] if data in row.get("data", everything["data"]))


def stages_of(everything: Settings, data: str, row: Settings) -> Stages:
    """Return the stages of a row: targets, boxes before, refinements, boxes after."""
    val, stages = everything["data"][data]["val"], _targets(everything, row)
    for rule in rules_of(row):
        stages.append(_boxes(everything, rule, val, f"before_{rule}", None))
    for seed in range(row["seeds"]):
        stages.append(_refine(everything, data, row, seed))
        for rule in rules_of(row):
            name = f"after_{rule}_{row['name']}_{seed}"
            stages.append(_boxes(everything, rule, val, name, _refined(row, seed)))
    return stages


def detector_stages_of(everything: Settings, data: str) -> Stages:
    """Return the stages of the detector: a refinement, boxes to learn from, and trainings."""
    about, train = everything[DETECTOR], everything["data"][data]["train"]
    row = next(row for row in everything["rows"] if row["name"] == about["row"])
    rule = about["rule"]
    stages = _targets(everything, row)
    stages.append(_boxes(everything, rule, train, f"learnt_before_{rule}", None))
    for seed in range(about["seeds"]):
        stages.append(_refine(everything, data, row, seed))
        after = f"learnt_after_{rule}_{row['name']}_{seed}"
        stages.append(_boxes(everything, rule, train, after, _refined(row, seed)))
        for moment, boxes in (("before", f"learnt_before_{rule}"), ("after", after)):
            stages.append(_detector(everything, data, boxes, seed, f"detector_{moment}_{seed}"))
    return stages


def _targets(everything: Settings, row: Settings) -> Stages:
    if row["targets"] in OF_DATA:
        return []
    network = f"--backbone {everything['backbone']}"
    return [
        {**stage, "run": stage["run"].replace("{network}", network), "makes": "labels.json"}
        for stage in everything["targets"][row["targets"]]
    ]


def _refined(row: Settings, seed: int) -> str:
    return f"refine_{row['name']}_{seed}"


def _boxes(everything: Settings, rule: str, data: str, name: str, refined: str | None) -> Settings:
    """Return the stage that finds a rule's boxes. Args: refined: stage of the weights, or None."""
    words = ["discover.py", "--method", rule, "--backbone", everything["backbone"]]
    words += ["--weights", f"{{{refined}}}/model_final.pth"] if refined else []
    changes = everything["rules"][rule]["set"]
    words += ["--set", *changes] if changes else []
    words += ["--data", data, "--output", "{here}/boxes.json"]
    return {"name": name, "run": shlex.join(words), "makes": "boxes.json"}


def _refine(everything: Settings, data: str, row: Settings, seed: int) -> Settings:
    """Return the stage that refines the network with one seed."""
    targets, train = row["targets"], everything["data"][data]["train"]
    spec = train if targets in OF_DATA else f"{train}+pseudo={{{targets}}}/labels.json"
    config = row.get("config", everything["config"])
    words = ["train_net.py", "--config-file", config, "--resume", "SEED", str(seed)]
    words += ["MODEL.MAP_NETWORK.NAME", everything["backbone"], "DATASETS.TRAIN", f'("{spec}",)']
    words += ["DATASETS.TEST", "()", "OUTPUT_DIR", "{here}"]
    changes = everything["opts"] | row.get("opts", {})
    words += [str(part) for pair in changes.items() for part in pair]
    makes = ["model_final.pth", "results.json"]
    return {"name": _refined(row, seed), "run": shlex.join(words), "makes": makes}


def _detector(everything: Settings, data: str, boxes: str, seed: int, name: str) -> Settings:
    """Return the stage that trains the detector on a stage's boxes and scores it."""
    images = everything["data"][data]
    words = ["train_cad.py", "--config-file", everything[DETECTOR]["config"], "--resume"]
    words += ["SEED", str(seed), "OUTPUT_DIR", "{here}"]
    words += ["DATASETS.TRAIN", f'("{images["train"]}+pseudo={{{boxes}}}/boxes.json",)']
    words += ["DATASETS.TEST", f'("{images["val"]}+agnostic",)']
    makes = ["model_final.pth", "results.json"]
    return {"name": name, "run": shlex.join(words), "makes": makes}
