"""Training of the heads of MOVE and FOUND and of the inpainter, as a user runs it, a few steps."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors
import torch

from boxrefine_d2.networks import build_backbone
from boxrefine_d2.pretraining.mae import build_inpainter

TOOLS = Path(__file__).parents[2] / "tools"
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
SHORT = {
    "DATASETS.TRAIN": "('scenes:train+first=8',)",
    "MODEL.DEVICE": "cpu",
    "INPUT.CACHE_GIB": 0.0,
    "SOLVER.IMS_PER_BATCH": 2,
    "SOLVER.WARMUP_ITERS": 0,
    "SOLVER.MAX_ITER": 4,
    "SOLVER.CHECKPOINT_PERIOD": 2,
    "DATALOADER.NUM_WORKERS": 0,
    "LOG_PERIOD": 1,
}
MOVE = {
    "PRETRAIN.INPAINTER.WEIGHTS": "random:0",
    "PRETRAIN.MOVE.BINARISE_STEPS": 2,
    "PRETRAIN.MOVE.DISCRIMINATOR.INPUT_SIZE": 64,
    "PRETRAIN.MOVE.DISCRIMINATOR.MIX_CHANNELS": 4,
    "PRETRAIN.MOVE.DISCRIMINATOR.HEAD_CHANNELS": "(4,8)",
}


def train(name, output, changes, *flags):
    settings = SHORT | {"OUTPUT_DIR": output} | changes
    values = [str(part) for pair in settings.items() for part in pair]
    config = ["--config-file", f"configs/pretrain/{name}.yaml"]
    command = [sys.executable, str(TOOLS / "train_net.py"), *config, *flags, *values]
    result = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, check=False)
    assert result.returncode == 0, result.stderr[-3000:]


def losses(output: Path) -> dict[int, set[str]]:
    rows = map(json.loads, (output / "metrics.json").read_text().splitlines())
    return {r["iteration"]: {key for key in r if key.startswith("loss_")} for r in rows}


def written(path: Path, iterations=4) -> dict[str, torch.Tensor]:
    with safetensors.safe_open(path, "pt") as file:
        assert file.metadata()["iterations"] == str(iterations)
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


@pytest.mark.parametrize(("name", "changes"), [("mae_mini", {}), ("move_mini", MOVE)])
def test_bfloat16_learns_with_slightly_different_losses(tmp_path, name, changes):
    train(name, tmp_path / "fp32", changes)
    train(name, tmp_path / "bf16", changes | {"SOLVER.AMP.ENABLED": True})
    first, other = (
        json.loads((tmp_path / kind / "metrics.json").read_text().splitlines()[-1])
        for kind in ("fp32", "bf16")
    )
    assert other["total_loss"] == pytest.approx(first["total_loss"], rel=0.1)
    assert other["total_loss"] != first["total_loss"]


def test_move_trains_resumes_to_the_same_bits_and_writes_a_head_that_loads(tmp_path):
    tested = {"DATASETS.TEST": "('scenes:val+first=2',)"}
    train("move_mini", tmp_path, MOVE | tested)
    results = json.loads((tmp_path / "results.json").read_text())
    assert set(results["datasets"]["scenes:val+first=2"]["corloc"]) == {"move"}
    assert results["record"]["images_seen"] == 8
    path = tmp_path / "map_network.safetensors"
    state = written(path)
    assert {name.partition(".")[0] for name in state} == {"norm", "head"}
    counter = state["head.0.2.num_batches_tracked"]
    assert counter.dtype == torch.int64 and counter == 4
    whole = torch.load(tmp_path / "model_final.pth", weights_only=True)["model"]
    for loaded in (
        build_backbone("move_mini", path),
        build_backbone("move_mini", tmp_path / "model_final.pth"),
    ):
        weight = loaded.state_dict()["head.0.1.weight"]
        assert torch.allclose(weight, whole["map_network.head.0.1.weight"], atol=1e-4)

    for name in ("model_final.pth", "model_0000003.pth", "map_network.safetensors"):
        (tmp_path / name).unlink()
    (tmp_path / "last_checkpoint").write_text("model_0000001.pth")
    train("move_mini", tmp_path, MOVE, "--resume")
    resumed = torch.load(tmp_path / "model_final.pth", weights_only=True)["model"]
    assert resumed.keys() == whole.keys()
    assert not [name for name in whole if not whole[name].equal(resumed[name])]
    assert written(path).keys() == state.keys()
    assert "not found in the checkpoint" not in (tmp_path / "log.txt").read_text()


def test_found_trains_and_writes_a_head_that_loads(tmp_path):
    changes = {"INPUT.SQUARE_SIZE": 64, "PRETRAIN.FOUND.SEED_STEPS": 2}
    train("found_mini", tmp_path, changes)
    losses_by_iteration = losses(tmp_path)
    assert "loss_self" not in losses_by_iteration[1] and "loss_self" in losses_by_iteration[3]
    state = written(tmp_path / "map_network.safetensors")
    assert set(state) == {"head.weight", "head.bias"}
    assert build_backbone("found_mini", tmp_path / "map_network.safetensors")


def test_the_inpainter_trains_and_writes_a_file_that_move_reads(tmp_path):
    train("mae_mini", tmp_path, {})
    path = tmp_path / "inpainter.safetensors"
    assert build_inpainter("mae_mini", str(path)).weights_info.source == path.name
    last = torch.load(tmp_path / "model_final.pth", weights_only=True)["model"]
    for name, value in written(path).items():
        assert value.equal(last[f"map_network.{name}"].half()), name
