"""Self-supervised pre-training as a user runs it: a short run of the shipped network's recipe."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import safetensors
import torch
from PIL import Image

from boxrefine_d2.networks import build_backbone

TOOLS = Path(__file__).parents[2] / "tools"
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
DINO = {
    "PRETRAIN.DINO.WEIGHT": 1.0,
    "PRETRAIN.PATCH.WEIGHT": 1.0,
    "PRETRAIN.DINO.OUT_DIM": 32,
    "PRETRAIN.DINO.HIDDEN_DIM": 16,
    "PRETRAIN.DINO.BOTTLENECK_DIM": 8,
    "PRETRAIN.DINO.GLOBAL_SIZE": 32,
    "PRETRAIN.DINO.LOCAL_SIZE": 16,
    "PRETRAIN.DINO.LOCAL_CROPS": 1,
}


@pytest.fixture
def job(photographs):
    def command(output, changes=None, flags=(), python=(sys.executable,)):
        settings = {
            "OUTPUT_DIR": output,
            "DATASETS.TRAIN": f"('folder:{photographs}',)",
            "DATASETS.TEST": "()",
            "MODEL.DEVICE": "cpu",
            "PRETRAIN.GROUPING.SIZE": 32,
            "SOLVER.IMS_PER_BATCH": 4,
            "SOLVER.MAX_ITER": 8,
            "SOLVER.CHECKPOINT_PERIOD": 2,
            "SOLVER.WARMUP_ITERS": 0,
            "DATALOADER.NUM_WORKERS": 0,
            "LOG_PERIOD": 1,
        } | (changes or {})
        values = [str(part) for pair in settings.items() for part in pair]
        script = str(TOOLS / "train_net.py")
        config = ["--config-file", "configs/pretrain/dino_mini.yaml"]
        return [*python, script, *config, *flags, *values]

    return command


def run(command, expect=0):
    result = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, check=False)
    assert result.returncode == expect, result.stderr[-3000:]
    return result


def metrics(output: Path) -> dict[int, dict[str, float]]:
    """Return iteration -> scalars of all its lines."""
    rows: dict[int, dict[str, float]] = {}
    for entry in map(json.loads, (output / "metrics.json").read_text().splitlines()):
        rows.setdefault(entry["iteration"], {}).update(entry)
    return rows


def test_the_shortened_recipe_learns_and_writes_a_network_that_loads(tmp_path, job):
    """Grouping alone, as in dino_mini.yaml, on scenes: the loss falls within 60 small steps."""
    spec = "scenes:val+first=4"
    changes = {"SOLVER.MAX_ITER": 60, "SOLVER.IMS_PER_BATCH": 8, "DATASETS.TEST": f"('{spec}',)"}
    changes |= {"TEST.EVAL_PERIOD": 30, "PRETRAIN.GROUPING.SIZE": 64}
    changes |= {"DATASETS.TRAIN": "('scenes:train+first=16',)", "PRETRAIN.TEACHER_MOMENTUM": 0.5}
    run(job(tmp_path, changes))
    rows = metrics(tmp_path)
    loss = [rows[i]["total_loss"] for i in range(60)]
    assert sum(loss[-15:]) < 0.85 * sum(loss[:15])
    assert sum("corloc/lost" in row for row in rows.values()) == 2
    content = json.loads((tmp_path / "results.json").read_text())
    assert set(content["datasets"][spec]["corloc"]) == {"lost"}
    assert content["record"]["images_seen"] == 480
    path = tmp_path / "map_network.safetensors"
    loaded = build_backbone("dino_mini", path)
    teacher = {
        name.removeprefix("map_network."): value
        for name, value in torch.load(tmp_path / "model_final.pth", weights_only=True)[
            "model"
        ].items()
        if name.startswith("map_network.")
    }
    assert teacher.keys() == loaded.state_dict().keys()
    for name, value in loaded.state_dict().items():
        assert value.equal(teacher[name].half().float()), name
    with safetensors.safe_open(path, "pt") as file:
        assert file.metadata()["backbone"] == "dino_mini" and file.metadata()["iterations"] == "60"
    before = build_backbone("dino_mini", "random:0").state_dict()
    assert any(not value.equal(before[name]) for name, value in loaded.state_dict().items())


def test_a_killed_run_resumes_to_the_same_bits(tmp_path, job):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    run(job(whole, DINO))
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(job(broken, DINO), env=ENVIRONMENT, **quiet)
    while not (broken / "metrics.json").exists() or len(metrics(broken)) < 3:
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (broken / "model_final.pth").exists()
    run(job(broken, DINO, flags=("--resume",)))
    expected, resumed = (
        torch.load(folder / "model_final.pth", weights_only=True)["model"]
        for folder in (whole, broken)
    )
    assert expected.keys() == resumed.keys()
    assert not [name for name in expected if not expected[name].equal(resumed[name])]


def test_two_processes_train(tmp_path, job):
    torchrun = (sys.executable, "-m", "torch.distributed.run", "--standalone")
    changes = DINO | {"SOLVER.IMS_PER_BATCH": 8, "SOLVER.MAX_ITER": 4}
    run(job(tmp_path, changes, python=(*torchrun, "--nproc_per_node", "2")))
    rows = metrics(tmp_path)
    assert sorted(rows) == [0, 1, 2, 3]
    assert {"loss_dino", "loss_patch", "loss_grouping", "teacher_information"} <= set(rows[0])
    assert build_backbone("dino_mini", tmp_path / "map_network.safetensors")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"SOLVER.BASE_LR": 1e30},
            r"training broke down at iteration \d: .*; lower SOLVER.BASE_LR",
        ),
        ({"SOLVER.IMS_PER_BATCH": 64}, "12 training images for a batch of 64"),
        (
            DINO | {"PRETRAIN.DINO.COLLAPSE_NATS": 100.0, "PRETRAIN.DINO.COLLAPSE_ITERS": 3},
            "the teacher has collapsed: for 3 iterations up to 2",
        ),
        ({"DATASETS.TEST": "('folder:{photographs}',)"}, "has no labels"),
        ({"DATASETS.TRAIN": "('folder:{alike}',)"}, "all alike: 6 of 6, from .*, are one image"),
        ({"MODEL.META_ARCHITECTURE": "PanopticFPN"}, "known: ClassAgnosticRCNN, GeneralizedRCNN"),
    ],
)
def test_mistakes_are_one_line_and_exit_2(tmp_path, job, photographs, changes, message):
    alike = tmp_path / "alike"
    alike.mkdir()
    for index in range(6):
        Image.new("RGB", (40, 40), "red").save(alike / f"{index}.png")
    places = {"photographs": photographs, "alike": alike}
    changes = {key: str(value).format(**places) for key, value in changes.items()}
    result = run(job(tmp_path / "out", changes), expect=2)
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert re.search(message, last), last
    assert "Traceback" not in result.stderr + result.stdout
