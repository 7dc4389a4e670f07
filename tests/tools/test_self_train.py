"""tools/self_train.py up to the commands that it runs; the tests only record these."""

import shlex
from ast import literal_eval
from pathlib import Path

import pytest
import torch

from boxrefine_d2.training.results_file import inference_folder
from boxrefine_d2.workflow import runner
from tests.tool_modules import tool

SCRIPT = Path(__file__).parents[2] / "tools" / "self_train.py"
CONFIG = "configs/demo/self_train.yaml"


@pytest.fixture(scope="module")
def main():
    return tool("self_train").main


@pytest.fixture
def recorded(monkeypatch):
    """Record the words of each command in a list, and write its files as if it had run."""
    commands = []

    def record(command, **settings):
        tool, words = Path(command[1]), command[2:]
        assert tool.parent == SCRIPT.parent
        commands.append([tool.name, *words])
        if tool.name == "edit_labels.py":
            made = [Path(words[words.index("--output") + 1])]
        elif "--eval-only" in words:
            [spec] = literal_eval(words[words.index("DATASETS.TEST") + 1])
            made = [inference_folder(words[-1], spec) / "detections.json"]
        else:
            made = [Path(words[-1]) / name for name in ("model_final.pth", "results.json")]
        for path in made:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(" ".join(words))
        return 0

    monkeypatch.setattr(runner, "run_child", record)
    return commands


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Return a function that gives the command's words, with labels and weights that exist."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "old.json").write_text("old.json")
    torch.save({"weight": torch.zeros(1)}, tmp_path / "start.pth")
    values = {
        "MODEL.WEIGHTS": "start.pth",
        "DATASETS.TRAIN": '("scenes:train+first=9+pseudo=old.json",)',
        "OUTPUT_DIR": "my out",
    }

    def words(*flags, **changes):
        given = values | {name.replace("__", "."): value for name, value in changes.items()}
        pairs = [word for pair in given.items() for word in pair]
        return ["--config-file", CONFIG, *flags, *pairs]

    return words


def test_three_rounds_run_the_commands_that_their_pipeline_prints(main, recorded, start, capsys):
    assert main(start("--rounds", "3")) == 0
    opts = (
        """MODEL.WEIGHTS start.pth DATASETS.TRAIN '("scenes:train+first=9+pseudo=old.json",)' """
        "OUTPUT_DIR 'my out'"
    )
    train = f"train_cad.py --config-file {CONFIG}"
    expected, weights, labels = [], "start.pth", "old.json"
    for number, score in ((1, 0.7), (2, 0.65), (3, 0.65)):
        here = f"my out/predict_{number}"
        predicted = f"{here}/inference/scenes_train+first=9/detections.json"
        merged = f"my out/merge_{number}/labels.json"
        expected += [
            f"{train} --eval-only {opts} MODEL.WEIGHTS '{weights}' DATASETS.TRAIN '()' "
            """DATASETS.TEST '("scenes:train+first=9",)' TEST.DETECTIONS_PER_IMAGE 30 """
            f"OUTPUT_DIR '{here}'",
            f"edit_labels.py merge --old '{labels}' --new '{predicted}' --min-score {score} "
            f"--max-iou 0.5 --output '{merged}'",
            f"{train} --resume {opts} MODEL.WEIGHTS '{weights}' "
            f"""DATASETS.TRAIN '("scenes:train+first=9+pseudo={merged}",)' """
            f"OUTPUT_DIR 'my out/train_{number}'",
        ]
        weights, labels = f"my out/train_{number}/model_final.pth", merged
    assert recorded == [shlex.split(line) for line in expected]
    printed = [line.partition("python ")[2] for line in capsys.readouterr().out.splitlines()]
    assert [shlex.split(line) for line in printed] == recorded


def test_completed_rounds_are_skipped(main, recorded, start, tmp_path, capsys):
    assert main(start("--rounds", "1")) == 0 and len(recorded) == 3
    assert main(start("--rounds", "1")) == 0 and len(recorded) == 3
    assert capsys.readouterr().out.count("done before") == 3
    assert main(start("--rounds", "2")) == 0 and len(recorded) == 6
    (tmp_path / "old.json").write_text("other labels")
    # only the first merge runs; it writes the same file again, so that later stages stay complete
    assert main(start("--rounds", "2")) == 0
    assert [command[0] for command in recorded[6:]] == ["edit_labels.py"]
    assert main(start("--rounds", "1", SEED="5")) == 0
    assert [command[0] for command in recorded[7:]] == [
        "train_cad.py",
        "edit_labels.py",
        "train_cad.py",
    ]


def test_settings_reach_the_commands(main, recorded, start):
    changes = {
        "SELF_TRAINING__MIN_SCORES": "(0.9,)",
        "SELF_TRAINING__MAX_IOU": "0.4",
        "SELF_TRAINING__DETECTIONS": "7",
    }
    assert main(start("--rounds", "2", "--num-gpus", "2", **changes)) == 0
    scores = [word for command in recorded for word in command if word == "0.9"]
    assert len(scores) == 2
    merge = recorded[1]
    assert merge[merge.index("--max-iou") + 1] == "0.4"
    predict = recorded[0]
    assert predict[predict.index("TEST.DETECTIONS_PER_IMAGE") + 1] == "7"
    for command in recorded:
        assert (command[0] == "train_cad.py") == ("--num-gpus 2" in " ".join(command))


def test_a_failed_round_is_the_commands_exit_code(main, start, monkeypatch, capsys):
    def fail(command, **settings):
        return 3

    monkeypatch.setattr(runner, "run_child", fail)
    assert main(start("--rounds", "2")) == 3
    assert "stage predict_1 (1 of 6) failed with exit code 3" in capsys.readouterr().out


def test_a_path_that_a_spec_writes_with_codes_is_read_by_its_name(main, recorded, start, tmp_path):
    (tmp_path / "a+b:c.json").write_text("labels")
    train = '("folder:my photos+agnostic+pseudo=a%2Bb%3Ac.json",)'
    assert main(start("--rounds", "1", DATASETS__TRAIN=train)) == 0
    assert recorded[1][3] == "a+b:c.json"
    spec = "folder:my photos+agnostic+pseudo=my out/merge_1/labels.json"
    assert f'("{spec}",)' in recorded[2]


@pytest.mark.parametrize(
    ("flags", "changes", "message"),
    [
        ([], {}, "the following arguments are required: --rounds; see --help"),
        (["--rounds", "0"], {}, "--rounds is 0; give 1 or more"),
        (["--rounds", "two"], {}, "invalid int value: 'two'"),
        (["--rounds", "1"], {"MODEL__WEIGHTS": ""}, "MODEL.WEIGHTS is empty: self-training"),
        (
            ["--rounds", "1"],
            {"MODEL__WEIGHTS": "no.pth"},
            "MODEL.WEIGHTS: no weights file at no.pth",
        ),
        (
            ["--rounds", "1"],
            {"MODEL__WEIGHT": "x"},
            "no key 'MODEL.WEIGHT'; did you mean MODEL.WEIGHTS",
        ),
        (
            ["--rounds", "1"],
            {"SELF_TRAINING__MIN_SCORES": "()"},
            "MIN_SCORES (): must be 1 or more values",
        ),
        (["--rounds", "1"], {"OUTPUT_DIR": "a:b"}, "folder a:b: no + or :"),
        *(
            (["--rounds", "1"], {"DATASETS__TRAIN": train}, f"DATASETS.TRAIN {shown}: self-train")
            for train, shown in (
                ("()", "()"),
                ('("scenes:train",)', "('scenes:train',)"),
                ('("scenes:train+first=9",)', "('scenes:train+first=9',)"),
                (
                    '("scenes:train+pseudo=old.json+first=9",)',
                    "('scenes:train+pseudo=old.json+first=9',)",
                ),
                (
                    '("scenes:train+pseudo=old.json", "scenes:val+pseudo=old.json")',
                    "('scenes:train+pseudo=old.json', 'scenes:val+pseudo=old.json')",
                ),
            )
        ),
        (["--rounds", "1"], {"DATASETS__TRAIN": '("scenes:trian",)'}, "scenes:trian"),
        (
            ["--rounds", "1"],
            {"DATASETS__TRAIN": '("scenes:train+pseudo=none.json",)'},
            "DATASETS.TRAIN 'scenes:train+pseudo=none.json': no pseudo-label file at none.json",
        ),
    ],
)
def test_mistakes_exit_with_2_and_one_line_before_anything_runs(
    main, recorded, start, tmp_path, capsys, flags, changes, message
):
    assert main(start(*flags, **changes)) == 2
    captured = capsys.readouterr()
    assert message in captured.err and captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1 and captured.out == ""
    assert recorded == [] and not (tmp_path / "my out").exists()
