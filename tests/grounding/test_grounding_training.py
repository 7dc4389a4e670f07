"""Training of a CLIP, of a g on it, and its refinement, as a user runs them, for a few steps."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from boxrefine_d2.data import load_spec
from boxrefine_d2.evaluation import GroundTruth, evaluate_predictions, read_predictions
from boxrefine_d2.language import build_clip
from boxrefine_d2.networks.text_heatmap import build_heatmap
from boxrefine_d2.networks.weights import read_checkpoint

TOOLS = Path(__file__).parents[2] / "tools"
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
TEST = "scenes:val+first=3"
SHORT = {
    "DATASETS.TRAIN": "('scenes:train+first=6',)",
    "MODEL.DEVICE": "cpu",
    "INPUT.CACHE_GIB": 0.0,
    "INPUT.SQUARE_SIZE": 64,
    "SOLVER.IMS_PER_BATCH": 2,
    "SOLVER.WARMUP_ITERS": 0,
    "SOLVER.MAX_ITER": 4,
    "SOLVER.CHECKPOINT_PERIOD": 2,
    "DATALOADER.NUM_WORKERS": 0,
    "LOG_PERIOD": 1,
}
ON_SCENES = {"DATASETS.TEST": f"('{TEST}',)", "MODEL.CLIP.WEIGHTS": "random:0"}


def run(config, output, changes, *flags):
    settings = SHORT | {"OUTPUT_DIR": output} | changes
    values = [str(part) for pair in settings.items() for part in pair]
    command = [sys.executable, str(TOOLS / "train_net.py"), "--config-file", f"configs/{config}"]
    command += [*flags, *values]
    return subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, check=False)


def train(*args):
    result = run(*args)
    assert result.returncode == 0, result.stderr[-3000:]


def results(folder):
    return json.loads((folder / "results.json").read_text())


def same(first: Path, second: Path) -> bool:
    a, b = (read_checkpoint(path)["model"] for path in (first, second))
    return list(a) == list(b) and all(torch.as_tensor(a[k]).equal(torch.as_tensor(b[k])) for k in a)


def test_clip_trains_and_writes_a_folder_that_loads(tmp_path):
    train("pretrain/clip_mini.yaml", tmp_path, {"SOLVER.AMP.ENABLED": False})
    clip = build_clip("clip_mini", tmp_path / "clip")
    assert clip.tokenizer.eos_token_id == 1023
    one, other = clip.encode_text(["a red bird", "a blue car"])
    assert (one - other).abs().max() > 1e-3
    config = json.loads((tmp_path / "clip" / "config.json").read_text())
    assert config["seed"] == "0" and config["iterations"] == "4"
    assert results(tmp_path)["record"]["images_seen"] == 8


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return the folder of a g after four steps."""
    folder = tmp_path_factory.mktemp("g")
    train("demo/grounding_train.yaml", folder, ON_SCENES)
    return folder


def test_g_trains_is_scored_and_writes_records_that_evaluate_py_reads(trained):
    g = build_heatmap("heatmap_mini", trained / "heatmap.safetensors")
    assert torch.isfinite(torch.cat([p.flatten() for p in g.parameters()])).all()
    scores = results(trained)["datasets"][TEST]
    sources = {"clip", "g", "shuffled", "centre", "random"}
    assert set(scores["pointing"]) == set(scores["box_acc"]) == sources
    truth = GroundTruth(TEST, load_spec(TEST).records)
    file = read_predictions(trained / "grounding.json")
    again = evaluate_predictions(truth, file, ["pointing", "box_acc"])
    assert again.values == {key: scores[key]["g"] for key in ("pointing", "box_acc")}
    assert again.counts["phrases_without_record"] == 0
    [folder] = (trained / "inference").iterdir()
    per_phrase = json.loads((folder / "grounding_per_phrase.json").read_text())
    hits = [hit for *_, hit in per_phrase["pointing"]["centre"]]
    assert 100 * sum(hits) / len(hits) == pytest.approx(scores["pointing"]["centre"])


def test_refinement_follows_its_phases_and_resumes_to_the_same_bits(tmp_path, trained):
    changes = ON_SCENES | {
        "MODEL.HEATMAP.WEIGHTS": trained / "heatmap.safetensors",
        "REFINE.WARMUP_ITERS": 2,
        # every heatmap then has a box, and the fixed h a gradient
        "DISCOVERY.CONTOURS.MIN_AREA": 0.0,
    }
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train("demo/grounding_refine.yaml", whole, changes)
    shorter = changes | {"SOLVER.MAX_ITER": 3, "SOLVER.CHECKPOINT_PERIOD": 3}
    train("demo/grounding_refine.yaml", parts, shorter)
    train("demo/grounding_refine.yaml", parts, changes, "--resume")
    assert same(whole / "model_final.pth", parts / "model_final.pth")
    names = list(read_checkpoint(whole / "model_final.pth")["model"])
    assert not any(name.startswith("clip.") for name in names)
    rows = [json.loads(line) for line in (whole / "metrics.json").read_text().splitlines()]
    assert [row["phase_refine"] for row in rows if "phase_refine" in row] == [0, 0, 1, 1]
    content = results(whole)
    assert content["record"]["weight_distance"] > 0
    sources = {"clip", "before", "refined", "h", "shuffled", "centre", "random"}
    assert set(content["datasets"][TEST]["box_acc"]) == sources
    assert "h" not in content["datasets"][TEST]["pointing"]


def test_mistakes_end_before_training_with_one_line(tmp_path):
    bare = ON_SCENES | {"DATASETS.TRAIN": f"('folder:{Path(__file__).parent}',)"}
    wrong_encoder = {"MODEL.HEATMAP.NAME": "heatmap_vgg16", "MODEL.HEATMAP.ENCODER": "random"}
    for changes, message in (
        (bare, "no image"),
        ({**ON_SCENES, "MODEL.CLIP.WEIGHTS": tmp_path / "gone"}, "error: no folder"),
        (ON_SCENES | wrong_encoder, "reads texts of 512 dimensions"),
    ):
        result = run("demo/grounding_train.yaml", tmp_path / "out", changes)
        assert result.returncode == 2 and message in result.stderr, result.stderr[-2000:]
        assert result.stderr.strip().splitlines()[-1].startswith("error: ")


def test_what_is_where_is_scored_by_phrases_that_it_does_not_get(trained, tmp_path):
    changes = ON_SCENES | {"MODEL.HEATMAP.WEIGHTS": trained / "heatmap.safetensors"}
    result = run("demo/what_is_where.yaml", tmp_path, changes, "--eval-only")
    assert result.returncode == 0, result.stderr[-3000:]
    scores = results(tmp_path)["datasets"][TEST]
    assert set(scores["pointing"]) == {"clip", "g", "centre", "random"}
    truth = GroundTruth(TEST, load_spec(TEST).records)
    again = evaluate_predictions(truth, read_predictions(tmp_path / "grounding.json"), ["pointing"])
    assert again.values == {"pointing": scores["pointing"]["g"]}
    # no caption occurs a thousand times
    nothing = changes | {"LOOKING.MIN_SIZE": 1000}
    missed = run("demo/what_is_where.yaml", tmp_path / "miss", nothing, "--eval-only")
    assert missed.returncode == 0, missed.stderr[-3000:]
    missed_results = results(tmp_path / "miss")["datasets"][TEST]
    assert missed_results["pointing"]["g"] == missed_results["box_acc"]["g"] == 0.0
    assert (
        missed_results["phrases"]["without_record_g"] == missed_results["phrases"]["evaluated"] > 0
    )


@pytest.mark.parametrize(
    ("changes", "flags", "message"),
    [
        ({}, [], "WhatIsWhere does not learn: add --eval-only"),
        ({"DATASETS.TEST": "()"}, ["--eval-only"], "there is nothing to evaluate on"),
        ({"LOOKING.MISSING": "drop"}, ["--eval-only"], "LOOKING.MISSING 'drop': must be one of"),
        ({"LOOKING.OVERLAP": "merge"}, ["--eval-only"], "LOOKING.OVERLAP 'merge': must be one of"),
        (
            {"LOOKING.MISSING": "skip", "LOOKING.MIN_SIZE": 1000},
            ["--eval-only"],
            "no phrase has a prediction",
        ),
    ],
    ids=["training", "no data", "missing", "overlap", "all skipped"],
)
def test_mistakes_of_looking_are_one_line(trained, tmp_path, changes, flags, message):
    g = {"MODEL.HEATMAP.WEIGHTS": trained / "heatmap.safetensors"}
    result = run("demo/what_is_where.yaml", tmp_path, ON_SCENES | g | changes, *flags)
    assert result.returncode == 2 and message in result.stderr, result.stderr[-2000:]
