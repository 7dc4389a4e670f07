"""Stages that train detectors on the boxes of a run, with the settings of that run."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from detectron2.config import CfgNode

from boxrefine_d2.config import paper_profile
from boxrefine_d2.data import parse_spec
from boxrefine_d2.discovery import rule_parameters
from boxrefine_d2.errors import UserError
from boxrefine_d2.files.shipped import find_config
from boxrefine_d2.workflow import Stage, plan_of_file

PIPELINE = "configs/pipelines/demo.yaml"


def plan_detectors(cfg: CfgNode, folder: Path) -> list[Stage]:
    """Return the stages of configs/pipelines/demo.yaml.

    They train CAD on the rule's boxes before refinement, and on those after it. Only the pipeline
    file is read, so a plan can be made before its run.

    Args:
        cfg: configuration of the run, which will leave its model in OUTPUT_DIR.
        folder: folder of the stages' folders.
    Raises: UserError for a run whose boxes discover.py cannot draw on the training images.
    """
    rule, start = cfg.DISCOVERY.NAME, cfg.MODEL.MAP_NETWORK.WEIGHTS
    changes = {
        "folder": folder,
        "seed": cfg.SEED,
        "train": _training_images(cfg),
        "test": cfg.DATASETS.TEST[0],
        "rule": rule,
        "backbone": cfg.MODEL.MAP_NETWORK.NAME,
        "start": start,
        "refined": Path(cfg.OUTPUT_DIR) / "model_final.pth",
        "max_side": cfg.INPUT.MAX_SIDE,
        "protocol": cfg.TEST.CORLOC_PROTOCOL,
        "device": cfg.MODEL.DEVICE,
    }
    plan = plan_of_file(find_config(PIPELINE), {key: str(value) for key, value in changes.items()})
    settings = _rule_settings(rule, cfg)
    return [_followed(stage, settings, start) for stage in plan]


def _training_images(cfg: CfgNode) -> str:
    """Return the only training spec, for which the rule's boxes are drawn."""
    specs = cfg.DATASETS.TRAIN
    if len(specs) != 1:
        raise UserError(
            f"DATASETS.TRAIN has {len(specs)} entries: detectors are trained on the boxes of one; "
            "leave --detectors out"
        )
    if any(modifier.name == "pseudo" for modifier in parse_spec(specs[0]).modifiers):
        raise UserError(
            f"DATASETS.TRAIN {specs[0]!r} brings boxes of its own, and detectors are trained on "
            "those of the rule; leave --detectors out"
        )
    images: str = specs[0]
    return images


def _rule_settings(rule: str, cfg: CfgNode) -> list[str]:
    """Return discover.py's flags for the rule's parameters that differ from the paper profile."""
    usual = paper_profile().DISCOVERY[rule.upper()]
    changed: dict[str, Any] = {
        key.lower(): value
        for key, value in cfg.DISCOVERY[rule.upper()].items()
        if value != usual[key]
    }
    if rule_parameters(rule, **changed) != rule_parameters(rule, cfg):
        raise UserError(
            f"the settings of the mask refinement of {rule!r} were changed, and discover.py has no "
            "flag for them; leave --detectors out"
        )
    pairs = [f"{key}={_yaml(value)}" for key, value in changed.items()]
    return ["--set", *pairs] if pairs else []


def _yaml(value: Any) -> str:
    """Return a value in the form that discover.py reads."""
    return yaml.safe_dump(value, default_flow_style=True).removesuffix("...\n").strip()


def _followed(stage: Stage, settings: Sequence[str], start: str) -> Stage:
    """Return the stage with the rule's settings; a weights file is added to its inputs."""
    if stage.command[0] != "discover.py":
        return stage
    read = tuple(Path(word) for word in stage.command if word == start and Path(word).is_file())
    return replace(stage, command=(*stage.command, *settings), inputs=tuple({*stage.inputs, *read}))
