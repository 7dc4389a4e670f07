"""Training of detectors as a user runs it.

The runs are whole, stopped, killed, in two processes, with several classes, or have mistakes.
"""

import json
import logging
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from boxrefine_d2.data.dataset_spec import escape_path, load_spec
from boxrefine_d2.data.pseudo_label_file import read_pseudo_labels, write_pseudo_labels
from boxrefine_d2.detectors.cad_trainer import CADTrainer
from boxrefine_d2.training.setup import load_config
from tests.tool_modules import tool

SCRIPT = Path(__file__).parents[2] / "tools" / "train_cad.py"
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
CAD, CUTLER = "configs/demo/cad.yaml", "configs/demo/cutler.yaml"
TEST = "scenes:val+first=4"
# a narrow ResNet-50 with few regions on images of 64 pixels
TINY = {
    "MODEL.DEVICE": "cpu",
    "MODEL.WEIGHTS": "",
    "MODEL.BACKBONE.FREEZE_AT": 2,
    "MODEL.RESNETS.DEPTH": 50,
    "MODEL.RESNETS.STEM_OUT_CHANNELS": 8,
    "MODEL.RESNETS.RES2_OUT_CHANNELS": 16,
    "MODEL.RESNETS.WIDTH_PER_GROUP": 4,
    "MODEL.FPN.OUT_CHANNELS": 8,
    "MODEL.RPN.CONV_DIMS": "[8]",
    "MODEL.RPN.POST_NMS_TOPK_TRAIN": 30,
    "MODEL.RPN.POST_NMS_TOPK_TEST": 8,
    "MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE": 8,
    "MODEL.ROI_HEADS.SCORE_THRESH_TEST": 0.0,
    "MODEL.ROI_BOX_HEAD.FC_DIM": 16,
    "MODEL.ROI_MASK_HEAD.CONV_DIM": 8,
    "INPUT.MIN_SIZE_TRAIN": "(48, 64)",
    "INPUT.MAX_SIZE_TRAIN": 96,
    "INPUT.MIN_SIZE_TEST": 64,
    "INPUT.MAX_SIZE_TEST": 96,
    "SOLVER.AMP.ENABLED": False,
    # a cosine depends on MAX_ITER, and these tests stop a run by a smaller MAX_ITER
    "SOLVER.LR_SCHEDULER_NAME": "WarmupMultiStepLR",
    "SOLVER.BASE_LR": 0.01,
    "SOLVER.REFERENCE_BATCH": 4,
    "SOLVER.WARMUP_ITERS": 0,
    "SOLVER.IMS_PER_BATCH": 2,
    "SOLVER.MAX_ITER": 6,
    "SOLVER.CHECKPOINT_PERIOD": 100,
    "DATALOADER.NUM_WORKERS": 0,
    "DATASETS.TEST": f"('{TEST}',)",
    "LOG_PERIOD": 1,
}


@pytest.fixture(autouse=True)
def loggers():
    """Restore the loggers after each test; each run opens log files of its own."""
    named = [logging.getLogger(name) for name in ("detectron2", "fvcore", "boxrefine_d2")]
    before = [(x, list(x.handlers), x.propagate, x.level) for x in named]
    yield
    for logger, handlers, propagate, level in before:
        for handler in set(logger.handlers) - set(handlers):
            handler.close()
        logger.handlers[:], logger.propagate = handlers, propagate
        logger.setLevel(level)


@pytest.fixture(scope="session")
def pseudo(tmp_path_factory) -> str:
    """Return the spec of eight scenes with a pseudo-label file of their true boxes and masks."""
    path = tmp_path_factory.mktemp("labels") / "labels.json"
    records = load_spec("scenes:train+first=8").records
    images = [{"id": r["image_id"], "file_name": r["relative_name"]} | size_of(r) for r in records]
    annotations = []
    for record in records:
        for annotation in record["annotations"]:
            x1, y1, x2, y2 = annotation["bbox"]
            label = {"image_id": record["image_id"], "bbox": [x1, y1, x2 - x1, y2 - y1]}
            annotations.append(label | {"score": 1.0, "segmentation": annotation["segmentation"]})
    write_pseudo_labels(path, images=images, annotations=annotations, info={})
    return f"scenes:train+first=8+pseudo={escape_path(path)}"


def size_of(record) -> dict[str, int]:
    return {key: record[key] for key in ("height", "width")}


@pytest.fixture
def arguments(pseudo):
    """Return a function for the words of a command that trains a tiny detector in `output`."""

    def words(output, changes=None, *flags, file=CAD) -> list[str]:
        settings = {"OUTPUT_DIR": output, "DATASETS.TRAIN": f"('{pseudo}',)"}
        settings |= TINY | (changes or {})
        values = [str(part) for pair in settings.items() for part in pair]
        return ["--config-file", file, *flags, *values]

    return words


@pytest.fixture(scope="module")
def main():
    return tool("train_cad").main


@pytest.fixture
def run(main, arguments):
    """Return a function that trains in this process."""

    def trained(output, changes=None, *flags, file=CAD) -> dict:
        assert main(arguments(output, changes, *flags, file=file)) == 0
        return results(output)

    return trained


def results(output) -> dict:
    return json.loads((output / "results.json").read_text())


def state(path) -> dict[str, torch.Tensor]:
    return torch.load(path, weights_only=True)["model"]


def differing(one, other) -> list[str]:
    """Return the names of the tensors that differ in two checkpoints."""
    first, second = state(one), state(other)
    assert first.keys() == second.keys()
    return [name for name in first if not torch.equal(first[name], second[name])]


def metrics(output) -> list[dict[str, float]]:
    return [json.loads(line) for line in (output / "metrics.json").read_text().splitlines()]


def test_it_trains_evaluates_and_writes_the_files_of_the_contract(tmp_path, run):
    Image.new("RGB", (90, 70), "gray").save(tmp_path / "a.png")
    unlabelled = f"folder:{escape_path(tmp_path)}"
    output = tmp_path / "out"
    both = {"DATASETS.TEST": f"('{TEST}', '{unlabelled}')", "MODEL.RESNETS.NORM": "SyncBN"}
    content = run(output, both)
    files = {path.name for path in output.iterdir()}
    assert {"config.yaml", "metrics.json", "model_final.pth", "results.json", "log.txt"} <= files
    scores = content["datasets"][TEST]
    assert {"corloc", "ap", "ap50", "ap75", "ar100"} <= set(scores)
    assert scores["images_evaluated"] == 4 and 0 <= scores["corloc"] <= 100
    counted = content["datasets"][unlabelled]
    assert counted["images"] == 1 and 0 < counted["detections"] <= 8
    record = content["record"]
    assert (record["images"], record["images_seen"]) == (8, 12)
    assert record["seconds"] > 0 and record["unreadable_images"] == {}
    assert content["weights"]["source"] == "random:0" and len(content["weights"]["sha256"]) == 64
    assert [entry["iteration"] for entry in metrics(output) if "loss_cls" in entry] == [*range(6)]
    log = (output / "log.txt").read_text()
    assert "SyncBN is replaced by BN for a single process: MODEL.RESNETS.NORM" in log
    assert "SOLVER.BASE_LR 0.01 belongs to batches of 4 images; for batches of 2" in log
    files_of_detections = sorted(output.glob("inference/*/detections.json"))
    assert len(files_of_detections) == 2
    labels = read_pseudo_labels(files_of_detections[1])
    assert len(labels.images) == 4 and labels.info["method"] == "ClassAgnosticRCNN"
    # the finished run gives the same scores without training data
    again = run(output, both | {"DATASETS.TRAIN": "('folder:nowhere',)"}, "--eval-only")
    assert again["datasets"] == content["datasets"] and again["record"] == {}


def test_a_resumed_run_has_the_bits_and_iterations_of_a_whole_one(tmp_path, run):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    one = run(whole)
    run(broken, {"SOLVER.MAX_ITER": 3, "DATASETS.TEST": "()"})
    stopped = state(broken / "model_final.pth")
    two = run(broken, None, "--resume")
    assert not differing(whole / "model_final.pth", broken / "model_final.pth")
    assert [x["iteration"] for x in metrics(broken) if "loss_cls" in x] == [0, 1, 2, 3, 4, 5]
    final = torch.load(broken / "model_final.pth", weights_only=True)
    assert final["iteration"] == 5
    assert any(not torch.equal(stopped[name], final["model"][name]) for name in stopped)
    assert one["datasets"] == two["datasets"]
    assert two["record"]["images_seen"] == 12


def test_a_seed_determines_a_run(tmp_path, run):
    short = {"SOLVER.MAX_ITER": 2, "DATASETS.TEST": "()"}
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        run(tmp_path / name, short | {"SEED": seed})
    final = {name: tmp_path / name / "model_final.pth" for name in "abc"}
    assert not differing(final["a"], final["b"])
    assert differing(final["a"], final["c"])


def test_a_finished_run_that_is_resumed_trains_no_further(tmp_path, run):
    run(tmp_path, {"SOLVER.MAX_ITER": 2})
    before = state(tmp_path / "model_final.pth")
    run(tmp_path, {"SOLVER.MAX_ITER": 2}, "--resume")
    after = state(tmp_path / "model_final.pth")
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert [x["iteration"] for x in metrics(tmp_path) if "loss_cls" in x] == [0, 1]


def test_a_killed_run_resumes_at_its_last_checkpoint_to_the_same_bits(tmp_path, arguments):
    changes = {"SOLVER.MAX_ITER": 14, "SOLVER.CHECKPOINT_PERIOD": 2, "DATASETS.TEST": "()"}
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    command = [sys.executable, str(SCRIPT)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": ENVIRONMENT}
    undisturbed = subprocess.Popen([*command, *arguments(whole, changes)], **quiet)
    process = subprocess.Popen([*command, *arguments(broken, changes)], **quiet)
    log = broken / "metrics.json"
    while not log.exists() or log.read_text().count("\n") < 3:  # iteration 2 is finished
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (broken / "model_final.pth").exists()
    saved = int(re.search(r"\d+", (broken / "last_checkpoint").read_text())[0])
    lines = log.read_text().count("\n")
    subprocess.run([*command, *arguments(broken, changes, "--resume")], check=True, **quiet)
    assert undisturbed.wait() == 0
    resumed = [json.loads(line)["iteration"] for line in log.read_text().splitlines()[lines:]]
    assert resumed == list(range(saved + 1, 14)) and saved >= 1
    assert not differing(whole / "model_final.pth", broken / "model_final.pth")


def test_a_mask_detector_trains_with_pasting_and_drop_loss_and_resumes(tmp_path, run):
    four = {"SOLVER.MAX_ITER": 4}
    whole, broken, plain = (tmp_path / name for name in ("whole", "broken", "plain"))
    content = run(whole, four, file=CUTLER)
    assert {"segm_ap", "segm_ap50", "ap", "corloc"} <= set(content["datasets"][TEST])
    entries = [entry for entry in metrics(whole) if "loss_mask" in entry]
    assert len(entries) == 4
    assert all(0 <= entry["drop_loss/kept_share"] <= 1 for entry in entries)
    [path] = whole.glob("inference/*/detections.json")
    detections = read_pseudo_labels(path).annotations
    assert detections and all("segmentation" in entry for entry in detections)
    run(broken, {"SOLVER.MAX_ITER": 2, "DATASETS.TEST": "()"}, file=CUTLER)
    run(broken, four, "--resume", file=CUTLER)
    assert not differing(whole / "model_final.pth", broken / "model_final.pth")
    run(plain, four | {"INPUT.COPY_PASTE.ENABLED": False, "DATASETS.TEST": "()"}, file=CUTLER)
    assert differing(whole / "model_final.pth", plain / "model_final.pth")


def test_with_precise_batch_norm_a_resumed_run_has_the_same_bits(tmp_path, run):
    precise = {"TEST.PRECISE_BN.ENABLED": True, "TEST.PRECISE_BN.NUM_ITER": 2}
    precise |= {"TEST.EVAL_PERIOD": 2, "SOLVER.MAX_ITER": 4}
    whole, broken, usual = (tmp_path / name for name in ("whole", "broken", "usual"))
    run(whole, precise)
    run(broken, precise | {"SOLVER.MAX_ITER": 2})
    run(broken, precise, "--resume")
    assert not differing(whole / "model_final.pth", broken / "model_final.pth")
    run(usual, {"TEST.EVAL_PERIOD": 2, "SOLVER.MAX_ITER": 4})
    names = differing(whole / "model_final.pth", usual / "model_final.pth")
    statistics = (".running_mean", ".running_var", ".num_batches_tracked")
    assert names and all(name.endswith(statistics) for name in names)


def test_two_processes_train_and_evaluate_the_model_that_they_save(tmp_path, run, arguments):
    """Each process trains with batch statistics of its own; the main one's are scored and saved."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    torchrun += ["--nproc_per_node", "2", str(SCRIPT)]
    changes = {"SOLVER.MAX_ITER": 3, "TEST.IMS_PER_BATCH": 1}
    command = [*torchrun, *arguments(tmp_path / "two", changes)]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    content = results(tmp_path / "two")
    assert content["datasets"][TEST]["images_evaluated"] == 4
    assert content["record"]["images_seen"] == 6
    assert [x["iteration"] for x in metrics(tmp_path / "two") if "loss_cls" in x] == [0, 1, 2]
    run(
        tmp_path / "one",
        changes | {"MODEL.WEIGHTS": tmp_path / "two" / "model_final.pth"},
        "--eval-only",
    )
    one, two = (scores_by_image(tmp_path / name) for name in ("one", "two"))
    assert len(one) == len(two) == 4
    assert all(two[image] == pytest.approx(one[image], rel=1e-4) for image in one)


def scores_by_image(output) -> dict[int, list[float]]:
    [path] = output.glob("inference/*/detections.json")
    labels = read_pseudo_labels(path)
    by_image = {image["id"]: [] for image in labels.images}
    for annotation in labels.annotations:
        by_image[annotation["image_id"]].append(annotation["score"])
    return by_image


@pytest.fixture
def classes(tmp_path) -> str:
    """Return the spec of a COCO dataset of two classes: four images, and a damaged one."""
    folder = tmp_path / "images"
    folder.mkdir()
    rng = np.random.default_rng(0)
    content = {"images": [], "annotations": []}
    content["categories"] = [{"id": 5, "name": "red"}, {"id": 9, "name": "green"}]
    for index in range(5):
        pixels = rng.integers(0, 90, (60, 80, 3), dtype=np.uint8)
        pixels[10:50, 20:60, index % 2] = 250
        name = f"{index}.png"
        Image.fromarray(pixels).save(folder / name)
        content["images"].append({"id": index, "file_name": name, "width": 80, "height": 60})
        label = {"id": index, "image_id": index, "category_id": (5, 9)[index % 2], "iscrowd": 0}
        content["annotations"].append(label | {"bbox": [20, 10, 40, 40], "area": 1600})
    (folder / "4.png").write_text("damaged")
    (tmp_path / "truth.json").write_text(json.dumps(content))
    return f"coco:{escape_path(tmp_path / 'truth.json')}:{escape_path(folder)}"


def test_a_detector_of_classes_starts_from_a_class_agnostic_one(tmp_path, run, arguments, classes):
    run(tmp_path / "agnostic", {"SOLVER.MAX_ITER": 1, "DATASETS.TEST": "()"})
    start = tmp_path / "agnostic" / "model_final.pth"
    changes = {
        "MODEL.META_ARCHITECTURE": "GeneralizedRCNN",
        "MODEL.ROI_HEADS.NUM_CLASSES": 2,
        "MODEL.WEIGHTS": start,
        "DATASETS.TRAIN": f"('{classes}',)",
        "DATASETS.TEST": f"('{classes}',)",
        "SOLVER.MAX_ITER": 3,
    }
    content = run(tmp_path / "aware", changes)
    assert content["weights"]["source"] == "model_final.pth"
    assert 0 <= content["datasets"][classes]["bbox"]["AP50"] <= 100
    [damaged] = content["record"]["unreadable_images"]
    assert damaged.endswith("4.png")
    (tmp_path / "fresh").mkdir()
    words = arguments(tmp_path / "fresh", changes)
    trainer = CADTrainer(load_config(words[1], words[2:]))
    trainer.resume_or_load(resume=False)
    start_state, detector_state = state(start), trainer.network.state_dict()
    predictors = ("roi_heads.box_predictor.cls_score", "roi_heads.box_predictor.bbox_pred")
    fresh = {
        name for name in detector_state if detector_state[name].shape != start_state[name].shape
    }
    assert fresh == {f"{name}.{part}" for name in predictors for part in ("weight", "bias")}
    assert detector_state["roi_heads.box_predictor.cls_score.weight"].shape[0] == 3
    assert detector_state["roi_heads.box_predictor.bbox_pred.weight"].shape[0] == 8
    assert all(
        torch.equal(detector_state[name], start_state[name]) for name in set(detector_state) - fresh
    )


def doubled_ids(folder) -> str:
    images = [{"id": 1, "file_name": f"train/00000{n}"} for n in (0, 1)]
    content = {"images": images, "annotations": [], "categories": [{"id": 1, "name": "object"}]}
    (folder / "doubled.json").write_text(json.dumps(content))
    return f"('scenes:train+first=8+pseudo={escape_path(folder / 'doubled.json')}',)"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"DATASETS.TRAIN": "('folder:nowhere',)"}, "nowhere"),
        ({"DATASETS.TRAIN": doubled_ids}, "1 image ids occur more than once"),
        (
            {"DATASETS.TRAIN": "('scenes:train+first=8',)"},
            r"NUM_CLASSES is 1; add \+agnostic",
        ),
        ({"DATASETS.TRAIN": "()"}, "DATASETS.TRAIN"),
        ({"DATASETS.TEST": "('scene:val',)"}, "did you mean scenes:SPLIT"),
        ({"SOLVER.IMS_PER_BATCH": 64}, "8 training images for a batch of 64"),
        ({"MODEL.WEIGHTS": "nowhere.pth"}, "no weights file at nowhere.pth"),
        ({"MODEL.ROI_HEADS.NUM_CLASSES": 3}, "a ClassAgnosticRCNN has 1"),
        ({"MODEL.META_ARCHITECTURE": "RetinaNet"}, "'RetinaNet' is not trained here; known: "),
        ({"INPUT.MIN_SIZE_TRAIN_SAMPLING": "any"}, "one of 'choice', 'range'"),
    ],
)
def test_a_mistake_is_one_line_and_exit_2_before_training(
    tmp_path, main, arguments, capfd, changes, message
):
    changes = {key: make(tmp_path) if callable(make) else make for key, make in changes.items()}
    assert main(arguments(tmp_path / "out", changes)) == 2
    [line] = capfd.readouterr().err.strip().splitlines()
    assert line.startswith("error: ") and re.search(message, line)
    assert not (tmp_path / "out" / "metrics.json").exists()


def test_weights_of_another_detector_are_refused_before_training(
    tmp_path, run, main, arguments, capfd
):
    run(tmp_path / "masks", {"SOLVER.MAX_ITER": 1, "DATASETS.TEST": "()"}, file=CUTLER)
    weights = {"MODEL.WEIGHTS": tmp_path / "masks" / "model_final.pth"}
    capfd.readouterr()
    assert main(arguments(tmp_path / "out", weights)) == 2
    line = capfd.readouterr().err.strip().splitlines()[-1]
    assert re.search(r"error: weights file .*model_final.pth is of another architecture", line)
    assert not (tmp_path / "out" / "metrics.json").read_text()


def test_a_loss_that_breaks_down_names_the_rate_to_lower(tmp_path, main, arguments, capfd):
    assert main(arguments(tmp_path, {"SOLVER.BASE_LR": 1e30})) == 2
    output = capfd.readouterr()
    assert "training broke down at iteration" in output.err and "SOLVER.BASE_LR" in output.err
    assert "Traceback" not in output.err + output.out


def test_an_evaluation_without_weights_is_refused(tmp_path, main, arguments, capfd):
    assert main(arguments(tmp_path, None, "--eval-only")) == 2
    assert "holds no checkpoint and MODEL.WEIGHTS is empty" in capfd.readouterr().err
