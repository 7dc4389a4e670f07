from pathlib import Path

import pytest

from boxrefine_d2.errors import UserError
from boxrefine_d2.report import plan_detectors
from boxrefine_d2.training.setup import load_config

DEMO = "configs/demo/lost_refine.yaml"


def plan(*opts, folder="out/detectors"):
    cfg = load_config(DEMO, ["OUTPUT_DIR", "out/seed_4", "SEED", "4", *opts])
    return {stage.name: stage for stage in plan_detectors(cfg, Path(folder))}


def argument_of(command, word):
    return command[command.index(word) + 1]


def test_the_stages_of_the_demo():
    stages = plan()
    assert list(stages) == ["labels", "cad", "refined_labels", "cad_refined"]
    labels, refined = stages["labels"].command, stages["refined_labels"].command
    assert argument_of(labels, "--weights") == ""  # the shipped file
    assert argument_of(refined, "--weights") == "out/seed_4/model_final.pth"
    assert stages["refined_labels"].inputs == (Path("out/seed_4/model_final.pth"),)
    for command in (labels, refined):
        assert argument_of(command, "--data") == "scenes:train+first=400"
        assert "--set" not in command
    for name, boxes in (("cad", "labels"), ("cad_refined", "refined_labels")):
        command = stages[name].command
        train = f'("scenes:train+first=400+pseudo=out/detectors/{boxes}/labels.json",)'
        assert argument_of(command, "DATASETS.TRAIN") == train
        assert argument_of(command, "SEED") == "4"
        assert stages[name].needs == (boxes,)
        cfg = load_config(argument_of(command, "--config-file"), list(command[4:]))
        assert cfg.SOLVER.MAX_ITER <= 150 and cfg.DATASETS.TEST == ("scenes:val+first=200",)


def test_the_stages_follow_the_run(tmp_path):
    weights = tmp_path / "f.pth"
    weights.touch()
    stages = plan(
        *("DISCOVERY.NAME", "tokencut", "DISCOVERY.TOKENCUT.EPS", "1e-07"),
        *("DISCOVERY.TOKENCUT.BILATERAL", "True", "MODEL.MAP_NETWORK.WEIGHTS", str(weights)),
        *("DATASETS.TEST", '("a", "b")', "INPUT.MAX_SIDE", "300"),
    )
    command = stages["refined_labels"].command
    assert argument_of(command, "--method") == "tokencut"
    assert argument_of(command, "--max-side") == "300"
    # YAML would read 1e-07 without a point as text
    assert command[-3:] == ("--set", "eps=1.0e-07", "bilateral=true")
    assert argument_of(stages["labels"].command, "--weights") == str(weights)
    assert stages["labels"].inputs == (weights,)
    assert argument_of(stages["cad"].command, "DATASETS.TEST") == '("a",)'


@pytest.mark.parametrize(
    ("opts", "message"),
    [
        (["DATASETS.TRAIN", "('scenes:train', 'scenes:val')"], "DATASETS.TRAIN has 2 entries"),
        (["DATASETS.TRAIN", "('scenes:train+pseudo=x.json',)"], "brings boxes of its own"),
        (
            ["DISCOVERY.NAME", "maskcut", "DISCOVERY.CRF.ITERATIONS", "3"],
            "mask refinement of 'maskcut' were changed",
        ),
    ],
)
def test_runs_without_a_plan_for_detectors_are_refused(opts, message):
    with pytest.raises(UserError, match=message):
        plan(*opts)


def test_a_folder_that_no_spec_can_name_is_refused():
    with pytest.raises(UserError, match="no [+] or :"):
        plan(folder="a+b")
