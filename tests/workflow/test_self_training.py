"""The rounds of CutLER's self-training as commands, written out as a user would type them."""

import shlex
from ast import literal_eval
from pathlib import Path

import pytest

from boxrefine_d2.workflow import SelfTraining, plan_of_stages, run_plan

TRAINING = SelfTraining(
    config_file="c.yaml",
    opts=("SEED", "1", "OUTPUT_DIR", "out"),
    flags=(),
    images="folder:x",
    labels="old.json",
    weights="w.pth",
    min_scores=(0.7, 0.65),
    max_iou=0.5,
    detections=30,
)
TRAIN = "train_cad.py --config-file c.yaml"
OPTS = "SEED 1 OUTPUT_DIR out"
PREDICTIONS = "inference/folder_x/detections.json"


def detections_file(folder):
    return folder / PREDICTIONS


def plan(rounds, training=TRAINING, folder=Path("out")):
    entries = training.stages(rounds, detections_file, folder)
    return plan_of_stages(entries, folder, {}, "c.yaml")


def predict(weights, number):
    return (
        f"{TRAIN} --eval-only {OPTS} MODEL.WEIGHTS {weights} DATASETS.TRAIN '()' "
        """DATASETS.TEST '("folder:x",)' TEST.DETECTIONS_PER_IMAGE 30 """
        f"OUTPUT_DIR out/predict_{number}"
    )


def merge(old, number, score):
    return (
        f"edit_labels.py merge --old {old} --new out/predict_{number}/{PREDICTIONS} "
        f"--min-score {score} --max-iou 0.5 --output out/merge_{number}/labels.json"
    )


def train(weights, number):
    return (
        f"{TRAIN} --resume {OPTS} MODEL.WEIGHTS {weights} "
        f"""DATASETS.TRAIN '("folder:x+pseudo=out/merge_{number}/labels.json",)' """
        f"OUTPUT_DIR out/train_{number}"
    )


ROUND_1 = [predict("w.pth", 1), merge("old.json", 1, 0.7), train("w.pth", 1)]
LATER = [
    command
    for number in (2, 3)
    for before in [number - 1]
    for command in (
        predict(f"out/train_{before}/model_final.pth", number),
        merge(f"out/merge_{before}/labels.json", number, 0.65),
        train(f"out/train_{before}/model_final.pth", number),
    )
]


@pytest.mark.parametrize(("rounds", "expected"), [(1, ROUND_1), (3, ROUND_1 + LATER)])
def test_a_round_predicts_merges_and_trains_from_the_round_before(rounds, expected):
    stages = plan(rounds)
    assert [list(stage.command) for stage in stages] == [shlex.split(line) for line in expected]
    parts = [f"{part}_{n}" for n in range(1, rounds + 1) for part in ("predict", "merge", "train")]
    assert [stage.name for stage in stages] == parts
    assert [stage.folder for stage in stages] == [Path("out") / part for part in parts]


def test_stages_make_and_need_what_the_commands_write_and_read():
    stages = {stage.name: stage for stage in plan(2)}
    assert {name: stage.makes for name, stage in stages.items()} == {
        "predict_1": (PREDICTIONS,),
        "merge_1": ("labels.json",),
        "train_1": ("model_final.pth", "results.json"),
        "predict_2": (PREDICTIONS,),
        "merge_2": ("labels.json",),
        "train_2": ("model_final.pth", "results.json"),
    }
    assert {name: set(stage.needs) for name, stage in stages.items()} == {
        "predict_1": set(),
        "merge_1": {"predict_1"},
        "train_1": {"merge_1"},
        "predict_2": {"train_1"},
        "merge_2": {"merge_1", "predict_2"},
        "train_2": {"merge_2", "train_1"},
    }
    assert {name: [*map(str, stage.inputs)] for name, stage in stages.items()} == {
        "predict_1": ["w.pth"],
        "merge_1": ["old.json"],
        "train_1": ["w.pth"],
        "predict_2": [],
        "merge_2": [],
        "train_2": [],
    }


def test_each_round_has_its_lowest_score_and_the_last_one_holds_for_later_rounds():
    scores = [
        stage.command[stage.command.index("--min-score") + 1]
        for stage in plan(4)
        if stage.name.startswith("merge")
    ]
    assert scores == ["0.7", "0.65", "0.65", "0.65"]


def test_flags_go_to_each_training_command():
    training = SelfTraining(**{**vars(TRAINING), "flags": ("--num-gpus", "2")})
    for stage in plan(1, training):
        assert ("--num-gpus" in stage.command) == (stage.command[0] == "train_cad.py")
        assert stage.command[3:5] == ("--num-gpus", "2") or stage.name == "merge_1"


@pytest.mark.parametrize(
    "spec", ["folder:my  photos", "folder:it's", 'folder:a "b"', "folder:back\\slash", "folder:ü"]
)
def test_paths_with_spaces_and_quotes_reach_the_configuration(spec):
    names = {"images": spec, "labels": "my  labels.json", "weights": "the 'best'.pth"}
    training = SelfTraining(**{**vars(TRAINING), **names, "opts": ("INPUT.X", '("a  b",)')})
    predicting, merging, training_ = plan(1, training, Path("my out"))
    assert merging.command[3] == "my  labels.json"
    assert predicting.inputs == (Path("the 'best'.pth"),)
    assert '("a  b",)' in predicting.command
    value = predicting.command[predicting.command.index("DATASETS.TEST") + 1]
    assert literal_eval(value) == (spec,)
    value = training_.command[training_.command.index("DATASETS.TRAIN") + 1]
    assert literal_eval(value) == (f"{spec}+pseudo=my out/merge_1/labels.json",)


def test_more_rounds_continue_from_fewer(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("old.json", "w.pth", "c.yaml"):
        (tmp_path / name).write_text("")
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("train_cad.py", "edit_labels.py"):
        (tools / name).write_text(
            "import pathlib, sys\n"
            "place = pathlib.Path(sys.argv[-1])\n"
            f"predicts, names = '--eval-only' in sys.argv, ['{PREDICTIONS}']\n"
            "names = names if predicts else ['model_final.pth', 'results.json']\n"
            "for path in [place] if place.suffix else [place / name for name in names]:\n"
            "    path.parent.mkdir(parents=True, exist_ok=True)\n"
            "    path.write_text(' '.join(sys.argv))\n"
        )
    training = SelfTraining(
        **{**vars(TRAINING), "labels": f"{tmp_path}/old.json", "weights": f"{tmp_path}/w.pth"}
    )

    def ran(rounds):
        messages = []
        stages = plan(rounds, training, tmp_path / "out")
        assert run_plan(stages, tools, messages.append) == 0
        return [line.split()[1] for line in messages if "starts" in line]

    assert ran(1) == ["predict_1", "merge_1", "train_1"]
    assert ran(2) == ["predict_2", "merge_2", "train_2"]
    assert ran(2) == []
    (tmp_path / "w.pth").write_text("another detector")
    # both stages write the same files as before, so that later stages stay complete
    assert ran(2) == ["predict_1", "train_1"]
