"""The stages of an improvement, written out as a user would type them."""

import shlex
from ast import literal_eval
from pathlib import Path

import pytest

from boxrefine_d2.errors import UserError
from boxrefine_d2.improvement import Improvement, Network, parse_settings
from boxrefine_d2.improvement.stages import REFINE_CONFIGS
from boxrefine_d2.workflow import plan_of_stages

CONFIG = REFINE_CONFIGS["dino_mini"]
SET = ["refine_iters=3", "REFINE.WARMUP_ITERS=4", "num_workers=0"]


def plan(*pairs, rounds=1, method="lost", weights="", data="folder:x", images=30, **others):
    settings = parse_settings(method, [*SET, *pairs])
    return Improvement(
        data, images, Network("dino_mini", weights), method, rounds, settings, **others
    )


def stages(improvement, folder=Path("out")):
    return plan_of_stages(improvement.stages(), folder, improvement.values, "improve")


def discover(method, name, network="", more=""):
    return (
        f"discover.py --method {method} --data folder:x --backbone dino_mini {network}"
        f"--max-side 800 --device cpu --num-workers 0 {more}"
        f"--output out/{name}/boxes.json"
    )


def targets(name, network="", view=""):
    return discover("absorption", name, network, f"{view}--set max_objects=4 min_area=0.02 ")


def refine(number, weights):
    end = "" if number == 1 else f"_{number}"
    return (
        f"train_net.py --config-file {CONFIG} --resume "
        f"""DATASETS.TRAIN '("folder:x+pseudo=out/targets{end}/boxes.json",)' DATASETS.TEST '()' """
        "REFINE.TARGETS annotations MODEL.MAP_NETWORK.NAME dino_mini "
        f"MODEL.MAP_NETWORK.WEIGHTS {weights} DISCOVERY.NAME lost REFINE.STOP_ON_DRIFT True "
        "REFINE.REFINE_ITERS 3 SOLVER.MAX_ITER 7 SOLVER.MAP_NETWORK_DECAY.ITERS 3 "
        "SOLVER.IMS_PER_BATCH 16 DATALOADER.NUM_WORKERS 0 "
        f"MODEL.DEVICE cpu SEED 0 OUTPUT_DIR out/refine{end} REFINE.WARMUP_ITERS 4"
    )


DETECTOR = (
    "train_cad.py --config-file configs/demo/cad.yaml --resume "
    """DATASETS.TRAIN '("folder:x+pseudo=out/verdict/boxes.json",)' DATASETS.TEST '()' """
    "SOLVER.MAX_ITER 3000 SOLVER.IMS_PER_BATCH 4 DATALOADER.NUM_WORKERS 0 MODEL.DEVICE cpu SEED 0 "
    "OUTPUT_DIR out/detector"
)


def test_one_round_by_hand():
    expected = [
        discover("lost", "before"),
        targets("targets"),
        refine(1, "''"),
        "convert_map_network.py --input out/refine/model_final.pth --backbone dino_mini "
        "--output out/network/network.safetensors",
        discover("lost", "after", "--weights out/network/network.safetensors "),
        "improve_verdict.py --data folder:x --before out/before/boxes.json "
        "--after out/after/boxes.json --refined out/network/network.safetensors --runs out/refine "
        "--output out/verdict "
        "--backbone dino_mini --images 1000 --num-workers 0 --device cpu",
        DETECTOR,
        "improve_page.py --data folder:x --verdict out/verdict/verdict.json "
        "--before out/before/boxes.json --after out/after/boxes.json "
        "--refined out/network/network.safetensors --runs out/refine "
        "--detector out/detector --shown 12 --output out/page/report.html",
    ]
    made = stages(plan())
    assert [list(stage.command) for stage in made] == [shlex.split(line) for line in expected]
    assert {stage.name: set(stage.needs) for stage in made} == {
        "before": set(),
        "targets": set(),
        "refine": {"targets"},
        "network": {"refine"},
        "after": {"network"},
        "verdict": {"before", "after", "network", "refine"},
        "detector": {"verdict"},
        "page": {"before", "after", "network", "refine", "verdict", "detector"},
    }


def test_targets_on_which_rules_agree():
    made = stages(plan("targets=agree"))[1:4]
    expected = [
        targets("targets_first"),
        discover("tokencut", "targets_tokencut"),
        "edit_labels.py agree --input out/targets_first/boxes.json "
        "--with out/targets_tokencut/boxes.json --keep images --output out/targets/boxes.json",
    ]
    assert [list(stage.command) for stage in made] == [shlex.split(line) for line in expected]


def test_targets_on_which_views_agree():
    made = stages(plan("targets=views"))[1:6]
    views = ("mirrored", "scale:0.75", "crop:0.8")
    names = [f"targets_view_{number}" for number in (1, 2, 3)]
    expected = [
        targets("targets_first"),
        *(targets(name, view=f"--view {view} ") for name, view in zip(names, views, strict=True)),
        f"edit_labels.py agree --input out/targets_first/boxes.json "
        f"--with {' '.join(f'out/{name}/boxes.json' for name in names)} "
        "--keep images --output out/targets/boxes.json",
    ]
    assert [list(stage.command) for stage in made] == [shlex.split(line) for line in expected]


def test_a_round_starts_from_the_network_of_the_round_before():
    made = {stage.name: stage for stage in stages(plan("detector=false", rounds=2, weights="w"))}
    assert list(made) == [
        *("before", "targets", "refine", "network", "after"),
        *("targets_2", "refine_2", "network_2", "after_2"),
        *("verdict", "page"),
    ]
    first = "--weights out/network/network.safetensors "
    assert list(made["targets"].command) == shlex.split(targets("targets", "--weights w "))
    assert list(made["refine"].command) == shlex.split(refine(1, "w"))
    assert list(made["targets_2"].command) == shlex.split(targets("targets_2", first))
    assert list(made["refine_2"].command) == shlex.split(
        refine(2, "out/network/network.safetensors")
    )
    after = list(made["after_2"].command)
    assert after[after.index("--weights") + 1] == "out/network_2/network.safetensors"
    verdict = " ".join(made["verdict"].command)
    assert "--after out/after/boxes.json out/after_2/boxes.json" in verdict
    assert "--runs out/refine out/refine_2" in verdict and "--weights w" in verdict
    assert "out/network/network.safetensors out/network_2/network.safetensors" in verdict


def test_the_first_round_does_not_depend_on_the_number_of_rounds():
    one, two = stages(plan()), stages(plan(rounds=2))
    assert one[:5] == two[:5]


def test_settings_reach_their_stages(tmp_path):
    weights = tmp_path / "w.pth"
    weights.write_text("")
    improvement = plan(
        *("k_patches=5", "detector_iters=9", "seed=3", "shown=4", "verdict_images=50"),
        weights=str(weights),
        images=3,
        device="cuda:1",
        max_side=300,
        labelled=True,
    )
    made = {stage.name: " ".join(stage.command) for stage in stages(improvement)}
    assert "--set k_patches=5" in made["before"] and "--set k_patches=5" in made["after"]
    assert "k_patches" not in made["targets"]
    assert all("--max-side 300" in made[name] for name in ("before", "targets", "after"))
    assert "SOLVER.MAX_ITER 9" in made["detector"] and "SEED 3" in made["detector"]
    assert """DATASETS.TEST ("folder:x+agnostic",)""" in made["detector"]
    assert "SOLVER.IMS_PER_BATCH 3" in made["refine"] and "SEED 3" in made["refine"]
    assert "DATASETS.TEST ()" in made["refine"]  # labels go to no stage before the verdict
    assert "--images 50" in made["verdict"] and "--shown 4" in made["page"]
    assert all("cuda:1" in made[name] for name in made if name not in ("network", "page"))
    read = {stage.name: stage.inputs for stage in stages(improvement) if stage.inputs}
    assert read == dict.fromkeys(("before", "targets", "refine", "verdict"), (weights,))


@pytest.mark.parametrize(
    "spec", ["folder:it's {x}", 'folder:a "b"', "folder:my  photos", "folder:ü"]
)
def test_any_spec_reaches_the_commands(spec):
    made = {stage.name: stage.command for stage in stages(plan(data=spec))}
    assert made["before"][made["before"].index("--data") + 1] == spec
    value = made["refine"][made["refine"].index("DATASETS.TRAIN") + 1]
    assert literal_eval(value) == (f"{spec}+pseudo=out/targets/boxes.json",)


@pytest.mark.parametrize(
    ("improvement", "message"),
    [
        (lambda: plan(rounds=0), "--rounds is 0"),
        (lambda: plan("targets=best"), "--set targets 'best' is unknown; known: absorption"),
        (lambda: plan("REFINE.SPEED=3"), "REFINE.SPEED"),
    ],
)
def test_impossible_settings_are_refused_before_any_stage(improvement, message):
    with pytest.raises(UserError, match=message):
        improvement().check()
