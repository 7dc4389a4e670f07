"""The main job as a user runs it: whole, resumed, in two processes, evaluated, and broken."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from PIL import Image

from boxrefine_d2.errors import UserError
from boxrefine_d2.networks import build_backbone
from boxrefine_d2.refinement.training_targets import check_targets
from boxrefine_d2.refinement.trunks import build_trunk

TOOLS = Path(__file__).parents[2] / "tools"

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


def run(command, expect=0, **environment) -> subprocess.CompletedProcess:
    environment = ENVIRONMENT | environment
    result = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert result.returncode == expect, result.stderr[-3000:]
    return result


def state(path: Path) -> dict[str, torch.Tensor]:
    return torch.load(path, weights_only=True)["model"]


def losses(output: Path) -> dict[int, dict[str, float]]:
    """Return iteration -> scalars; the last line counts for an iteration that was repeated."""
    lines = (output / "metrics.json").read_text().splitlines()
    return {entry["iteration"]: entry for entry in map(json.loads, lines)}


def test_it_trains_evaluates_and_leaves_what_the_contract_names(tmp_path, job):
    spec = "scenes:val+first=6"
    result = run(job(tmp_path, "DATASETS.TEST", f"('{spec}',)", "SOLVER.MAX_ITER", "6"))
    left = {path.name for path in tmp_path.iterdir()}
    assert {"config.yaml", "metrics.json", "model_final.pth", "results.json", "log.txt"} <= left
    content = json.loads((tmp_path / "results.json").read_text())
    assert set(content["datasets"][spec]["corloc"]) == {"lost", "h", "refined"}
    assert content["datasets"][spec]["corloc_images"]["evaluated"] == 6
    assert content["weights"]["source"] == "random:0" and len(content["weights"]["sha256"]) == 64
    record = content["record"]
    assert record["images"] == 4
    assert record["weight_distance"] > 0 and record["feature_shift"] > 0
    assert min(record["gradient_norm_first_block"]) > 0
    assert set(record["seconds"]) == {"detector", "refine"}
    assert record["unreadable_images"] == {}
    # the finished run alone gives the same numbers
    evaluated = run(
        job(
            tmp_path,
            "DATASETS.TEST",
            f"('{spec}',)",
            "SOLVER.MAX_ITER",
            "6",
            flags=("--eval-only",),
        )
    )
    again = json.loads((tmp_path / "results.json").read_text())
    assert again["datasets"] == content["datasets"]
    assert "Traceback" not in result.stderr + evaluated.stderr
    shown, log = result.stdout + result.stderr, (tmp_path / "log.txt").read_text()
    for detail in ("Environment info", "Full config saved", "total_loss", "map_network"):
        assert detail in log
        assert detail not in shown
    assert "results: " in shown


def test_a_run_killed_at_a_random_step_resumes_to_the_same_bits(tmp_path, job):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    steps = {"SOLVER.MAX_ITER": "12", "LOG_PERIOD": "1"}
    steps |= {"MODEL.MAP_DETECTOR.NORM": "BN", "DATALOADER.NUM_WORKERS": "1"}
    opts = [part for pair in steps.items() for part in pair]
    run(job(whole, *opts))
    step = random.randrange(2, 9)  # in either phase, with a checkpoint behind it
    command = job(broken, *opts)
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, env=ENVIRONMENT, **quiet)
    metrics = broken / "metrics.json"
    while not metrics.exists() or metrics.read_text().count("\n") < step:
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (broken / "model_final.pth").exists()
    went_on = run(job(broken, *opts, flags=("--resume",)))
    assert re.search(r"continues at iteration \d+ of 12", went_on.stdout + went_on.stderr)
    expected, resumed = state(whole / "model_final.pth"), state(broken / "model_final.pth")
    assert expected.keys() == resumed.keys()
    different = [name for name in expected if not torch.equal(expected[name], resumed[name])]
    assert not different, f"killed at step {step}"
    first = state(whole / "model_0000001.pth")
    assert any(not torch.equal(first[name], expected[name]) for name in expected)


def test_a_run_of_a_drawn_seed_is_repeated_by_the_seed_that_it_states(tmp_path, job):
    run(job(tmp_path / "drawn", "SEED", "-1", "SOLVER.MAX_ITER", "4"))
    run(job(tmp_path / "drawn", "SEED", "-1", flags=("--resume",)))
    seed = json.loads((tmp_path / "drawn" / "results.json").read_text())["seed"]
    assert seed >= 0
    run(job(tmp_path / "named", "SEED", str(seed)))
    drawn, named = (state(tmp_path / name / "model_final.pth") for name in ("drawn", "named"))
    assert all(torch.equal(drawn[name], named[name]) for name in named)


def test_two_processes_have_the_losses_of_one(tmp_path, job):
    """Run ten steps of each phase with the same global batch, h with frozen norms, fp32."""
    steps = ("SOLVER.MAX_ITER", "20", "REFINE.WARMUP_ITERS", "10", "REFINE.REFINE_ITERS", "10")
    steps += ("SOLVER.CHECKPOINT_PERIOD", "100", "LOG_PERIOD", "1")
    torchrun = (
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc_per_node",
        "2",
    )
    run(job(tmp_path / "one", *steps))
    run(job(tmp_path / "two", *steps, python=torchrun))
    one, two = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert sorted(one) == sorted(two) == list(range(20))
    for iteration in range(20):
        names = {name for name in one[iteration] if name.startswith(("loss_", "total_loss"))}
        assert names == {
            name for name in two[iteration] if name.startswith(("loss_", "total_loss"))
        }
        assert ("loss_preservation" in names) == (iteration >= 10)
        for name in names:
            assert two[iteration][name] == pytest.approx(
                one[iteration][name], rel=1e-5, abs=1e-7
            ), (
                iteration,
                name,
            )
    assert one[0]["total_loss"] != one[9]["total_loss"]


# f is MOVE's segmenter with random weights
MOVE = {
    "MODEL.MAP_NETWORK.NAME": "move_mini",
    "DISCOVERY.NAME": "move",
    "REFINE.REG_ON": "mask",
    "SOLVER.MAX_ITER": "10",
    "LOG_PERIOD": "1",
}
# configs/move_refine_release.yaml, with learning rates whose effect shows in ten steps
MOVE_RELEASE = MOVE | {
    "REFINE.TARGETS": "reference",
    "REFINE.FRESH_HEAD": "True",
    "REFINE.REFERENCE_BATCH_STATISTICS": "True",
    "SOLVER.MAP_NETWORK_LR": "1e-3",
    "SOLVER.MAP_NETWORK_DECOUPLED_DECAY": "True",
    "SOLVER.STEPS": "()",
    "SOLVER.MAP_NETWORK_DECAY.POWER": "2.0",
    "SOLVER.MAP_NETWORK_DECAY.ITERS": "8",
    "SOLVER.MAP_NETWORK_DECAY.EVERY_ITERS": "2",
}


def as_options(changes: dict[str, str]) -> list[str]:
    return [part for pair in changes.items() for part in pair]


def test_a_segmenter_is_refined_scored_and_read_again(tmp_path, job):
    spec = "scenes:val+first=4"
    run(job(tmp_path, *as_options(MOVE), "DATASETS.TEST", f"('{spec}',)"))
    content = json.loads((tmp_path / "results.json").read_text())
    assert set(content["datasets"][spec]["corloc"]) == {"move", "h", "refined"}
    assert content["record"]["feature_shift"] > 0
    assert min(content["record"]["gradient_norm_first_block"]) > 0
    refined = build_backbone("move_mini", tmp_path / "model_final.pth").state_dict()
    before = build_backbone("move_mini", "random:0").state_dict()
    changed = {name for name in refined if not torch.equal(refined[name], before[name])}
    assert {"norm.weight", "head.0.1.weight"} <= changed
    assert not any(name.startswith("extractor.") for name in changed)


@pytest.mark.parametrize("stopped", [4, 6])
def test_a_fresh_head_starts_once_also_where_the_run_is_resumed(tmp_path, job, stopped):
    """Stop before and after iteration 4, when f begins to learn."""
    opts = as_options(MOVE_RELEASE)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    run(job(whole, *opts))
    run(job(broken, *as_options(MOVE_RELEASE | {"SOLVER.MAX_ITER": str(stopped)})))
    run(job(broken, *opts, flags=("--resume",)))
    expected, resumed = state(whole / "model_final.pth"), state(broken / "model_final.pth")
    assert all(torch.equal(expected[name], resumed[name]) for name in expected)
    before = state(whole / "model_0000003.pth")
    head, norm = "map_network.head.4.0.weight", "map_network.norm.weight"
    reference = head.replace("map_network", "reference_network")
    assert torch.equal(before[head], before[reference])
    assert torch.equal(expected[norm], before[norm])
    assert torch.equal(expected[reference], before[reference])
    assert not torch.equal(expected[head], before[head])
    rates = [entry["lr"] for _, entry in sorted(losses(whole).items())]
    # Detectron2 logs the rate of the group with the most parameters, which is f's
    factors = [1, 1, 1, 1, 1, 1, (6 / 8) ** 2, (6 / 8) ** 2, (4 / 8) ** 2, (4 / 8) ** 2]
    assert rates == pytest.approx([1e-3 * factor for factor in factors])


def test_drift_stops_the_run_and_the_last_good_network_is_kept(tmp_path, job):
    """Train f with a rate that is far too high.

    The first check finds the drift, and the file holds f as it was at the start.
    """
    changes = {"SOLVER.MAP_NETWORK_LR": "0.01", "SOLVER.MAX_ITER": "12", "REFINE.REFINE_ITERS": "8"}
    changes |= {"REFINE.STOP_ON_DRIFT": "True", "REFINE.DRIFT.PERIOD": "2"}
    changes |= {"REFINE.DRIFT.FEATURE_SHIFT": "0.05", "DATASETS.TEST": "('scenes:val+first=3',)"}
    changes |= {"DATASETS.TRAIN": "('scenes:train+first=6',)", "REFINE.DRIFT.IMAGES": "4"}
    opts = [part for pair in changes.items() for part in pair]
    result = run(job(tmp_path, *opts))
    content = json.loads((tmp_path / "results.json").read_text())
    record = content["record"]
    assert record["stopped"].startswith("iteration 6: ")
    before, after = record["drift"]
    assert (before["iteration"], after["iteration"]) == (4, 6)
    assert before["feature_shift"] == 0 and after["feature_shift"] > 0.05
    assert before["corloc"] in (0, 25, 50, 75, 100)  # of four labelled images
    assert record["weight_distance"] == 0 and record["boxes_changed"] == 0
    scores = next(iter(content["datasets"].values()))["corloc"]
    assert scores["refined"] == scores["lost"]
    assert "Traceback" not in result.stdout + result.stderr
    run(job(tmp_path, *opts, flags=("--resume",)))
    assert json.loads((tmp_path / "results.json").read_text()) == content


@pytest.mark.parametrize(
    ("opts", "message"),
    [
        (("SOLVER.BASE_LR", "1e30"), r"training broke down at iteration \d \(phase detector\)"),
        (("SOLVER.IMS_PER_BATCH", "64"), "12 training images for a batch of 64"),
        (("DATASETS.TRAIN", "('folder:nowhere',)"), "nowhere"),
        (("DATASETS.TRAIN", "('scene:train',)"), "did you mean scenes:SPLIT"),
        (("MODEL.MAP_NETWORK.WEIGHTS", "nowhere.pth"), "no weights file at nowhere.pth"),
        (
            ("REFINE.TARGETS", "boxes"),
            "REFINE.TARGETS 'boxes': must be one of 'rule', 'reference', 'annotations'",
        ),
        (
            ("REFINE.TARGETS", "annotations"),
            r"12 of 12 training images have no labels .*add \+pseudo=FILE",
        ),
        (("SOLVER.MAP_NETWORK_DECAY.POWER", "2.0"), "does not go together with SOLVER.STEPS"),
        (("MODEL.MAP_NETWORK.NAME", "move_mini"), "reads the facet key or output"),
        (("INPUT.SQUARE_SIZE", "70"), "INPUT.SQUARE_SIZE 70 is no multiple of the patch, 16"),
    ],
)
def test_mistakes_are_one_line_and_exit_2(tmp_path, job, opts, message):
    result = run(job(tmp_path, *opts), expect=2)
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert "Traceback" not in result.stderr + result.stdout
    assert re.search(message, last)


def test_targets_from_labels_that_are_all_empty_are_refused():
    empty, one = {"annotations": []}, {"annotations": [{"bbox": [0, 0, 1, 1]}]}
    check_targets("annotations", [empty, one])
    check_targets("rule", [empty])
    with pytest.raises(UserError, match="labels of all 2 training images are empty"):
        check_targets("annotations", [empty, empty])


def test_test_data_without_labels_fails_before_training(tmp_path, job, photographs):
    result = run(job(tmp_path, "DATASETS.TEST", f"('folder:{photographs}',)"), expect=2)
    assert "has no labels" in result.stderr.strip().splitlines()[-1]
    assert not (tmp_path / "metrics.json").exists()


def test_an_evaluation_without_a_trained_model_is_refused(tmp_path, job):
    result = run(job(tmp_path, flags=("--eval-only",)), expect=2)
    assert "holds no checkpoint and MODEL.WEIGHTS is empty" in result.stderr.splitlines()[-1]


def test_an_evaluation_needs_no_training_data_and_takes_a_given_file(tmp_path, job):
    test = ("DATASETS.TEST", "('scenes:val+first=3',)")
    run(job(tmp_path / "trained", "SOLVER.MAX_ITER", "2", "REFINE.WARMUP_ITERS", "1", *test))
    weights = tmp_path / "trained" / "model_final.pth"
    elsewhere = ("DATASETS.TRAIN", "('folder:nowhere',)", "MODEL.WEIGHTS", str(weights))
    run(job(tmp_path / "other", *test, *elsewhere, flags=("--eval-only",)))
    first, second = (
        json.loads((tmp_path / name / "results.json").read_text()) for name in ("trained", "other")
    )
    assert first["datasets"] == second["datasets"]


def test_the_published_commands_run_on_a_made_up_tree_with_random_official_files(
    tmp_path, photographs
):
    """Run the README's VOC07 commands, cut to one step of each phase.

    The data has the layout of VOC, and DINO's two files have their official names.
    """
    voc = tmp_path / "datasets" / "VOC2007"
    for folder in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (voc / folder).mkdir(parents=True)
    stems = [f"{index:06d}" for index in range(1, 4)]
    (voc / "ImageSets/Main/trainval.txt").write_text("\n".join(stems) + "\n")
    for stem, source in zip(stems, sorted(photographs.glob("*.png")), strict=False):
        Image.open(source).save(voc / "JPEGImages" / f"{stem}.jpg")
        width, height = Image.open(source).size
        (voc / "Annotations" / f"{stem}.xml").write_text(
            f"<annotation><filename>{stem}.jpg</filename><size><width>{width}</width><height>{height}</height>"
            "<depth>3</depth></size><object><name>dog</name><difficult>0</difficult><truncated>0</truncated>"
            "<bndbox><xmin>5</xmin><ymin>5</ymin><xmax>40</xmax><ymax>40</ymax></bndbox></object></annotation>"
        )
    cache = tmp_path / "torch" / "hub" / "checkpoints"
    cache.mkdir(parents=True)
    vit = build_backbone("dino_vits16", "random:0").state_dict()
    torch.save(vit, cache / "dino_deitsmall16_pretrain.pth")
    trunk = build_trunk("resnet50", outputs=6, norm="BN", weights="random").state_dict()
    trunk = {name: value for name, value in trunk.items() if not name.startswith("fc.")}
    torch.save(trunk, cache / "dino_resnet50_pretrain.pth")
    environment = {
        "DETECTRON2_DATASETS": str(tmp_path / "datasets"),
        "TORCH_HOME": str(tmp_path / "torch"),
    }
    for config in ("lost_refine", "lost_refine_release"):
        output = tmp_path / config
        command = [
            sys.executable,
            str(TOOLS / "train_net.py"),
            "--config-file",
            f"configs/{config}.yaml",
        ]
        cut = {"OUTPUT_DIR": output, "SOLVER.MAX_ITER": 2, "SOLVER.IMS_PER_BATCH": 2}
        cut |= {"REFINE.WARMUP_ITERS": 1, "DATALOADER.NUM_WORKERS": 0, "MODEL.DEVICE": "cpu"}
        command += [str(part) for pair in cut.items() for part in pair]
        run(command, **environment)
        content = json.loads((output / "results.json").read_text())
        assert set(content["datasets"]["voc_2007_trainval"]["corloc"]) == {"lost", "h", "refined"}
        assert content["weights"]["source"] == "dino_deitsmall16_pretrain.pth"
    labels = tmp_path / "lost.json"
    discover = [sys.executable, str(TOOLS / "discover.py"), "--method", "lost", "--device", "cpu"]
    run([*discover, "--data", "voc_2007_trainval", "--output", str(labels)], **environment)
    evaluate = [
        sys.executable,
        str(TOOLS / "evaluate.py"),
        "--gt",
        "voc_2007_trainval",
        "--metrics",
        "corloc",
    ]
    result = run(
        [*evaluate, "--pred", str(labels), "--json", str(tmp_path / "c.json")], **environment
    )
    assert "images evaluated" in result.stdout
    corloc = json.loads((tmp_path / "c.json").read_text())["corloc"]
    assert corloc == pytest.approx(content["datasets"]["voc_2007_trainval"]["corloc"]["lost"])
