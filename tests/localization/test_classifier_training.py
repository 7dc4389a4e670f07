"""Training of a classifier on a folder per class, as a user runs it, and its results."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.utils.events import EventStorage

from boxrefine_d2.cli.evaluate import main as evaluate
from boxrefine_d2.errors import UserError
from boxrefine_d2.localization.classifier_training import ClassifierTraining
from boxrefine_d2.networks.image_classifier import new_classifier, pixel_maps, read_classifier
from boxrefine_d2.training.jobs import trainer_for
from boxrefine_d2.training.setup import load_config

from .conftest import COLOURS, write_tree

TOOLS = Path(__file__).parents[2] / "tools"
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
SHORT = {
    "MODEL.DEVICE": "cpu",
    "INPUT.CLASSIFIED.RESIZE": 56,
    "INPUT.CLASSIFIED.CROP": 48,
    "INPUT.CLASSIFIED.TEST_RESIZE": 56,
    "INPUT.CACHE_GIB": 0.0,
    "SOLVER.IMS_PER_BATCH": 6,
    "SOLVER.WARMUP_ITERS": 0,
    "SOLVER.MAX_ITER": 4,
    "SOLVER.CHECKPOINT_PERIOD": 2,
    "SOLVER.AMP.ENABLED": False,
    "DATALOADER.NUM_WORKERS": 0,
    "LOG_PERIOD": 1,
}


def settings_of(output, data, changes):
    given = {key.replace("__", "."): value for key, value in changes.items()}
    settings = SHORT | {"OUTPUT_DIR": output, "DATASETS.TRAIN": f"('classes:{data}',)"}
    return settings | {"DATASETS.TEST": f"('classes:{data}',)"} | given


def train(output, data, *flags, **changes):
    """Run the training; return the process."""
    values = [str(x) for pair in settings_of(output, data, changes).items() for x in pair]
    command = [sys.executable, str(TOOLS / "train_net.py"), "--config-file"]
    return subprocess.run(
        [*command, "configs/demo/classifier.yaml", *flags, *values],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        check=False,
    )


@pytest.fixture(scope="module")
def trained(tree, tmp_path_factory):
    output = tmp_path_factory.mktemp("trained") / "run"
    done = train(
        output, tree, LOCALIZATION__SOURCES='[["cam"],["grad_cam_plus_plus","bright=0.3"]]'
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return output


def results_of(output):
    [results] = json.loads((output / "results.json").read_text())["datasets"].values()
    return results


def test_the_files_of_a_run(trained, tree):
    network = read_classifier(trained / "classifier.safetensors")
    assert (network.classes, network.trunk_name) == (tuple(COLOURS), "resnet_mini")
    [folder] = (trained / "inference").iterdir()
    sources = {"cam", "grad_cam_plus_plus_bright=0.3"}
    assert {path.name for path in folder.iterdir()} == sources == set(results_of(trained))
    for source in sources:
        entries = json.loads((folder / source / "localization.json").read_text())
        assert len(entries) == 12
        for entry in entries:
            assert set(entry) == {"image_id", "bbox", "score", "labels", "heatmap"}
            assert sorted(entry["labels"]) == [1, 2, 3] and 1 / 3 <= entry["score"] <= 1
            heatmap = np.load(folder / source / entry["heatmap"])["map"]
            assert heatmap.shape == (56, 56)
            assert heatmap.min() >= 0 and heatmap.max() <= 1
            assert not heatmap[:4].any() and heatmap[4:52, 4:52].any()  # the centre crop
        metrics = json.loads((folder / source / "metrics.json").read_text())
        assert metrics["method"] == "ClassifierTraining"
    losses = [json.loads(line) for line in (trained / "metrics.json").read_text().splitlines()]
    assert [row["iteration"] for row in losses if "total_loss" in row] == [0, 1, 2, 3]


def test_evaluate_gives_the_numbers_of_the_run(trained, tree, tmp_path):
    [folder] = (trained / "inference").iterdir()
    for source, expected in results_of(trained).items():
        predictions = str(folder / source / "localization.json")
        names = ",".join(expected)
        output = tmp_path / "scores.json"
        arguments = ["--gt", f"classes:{tree}", "--pred", predictions, "--metrics", names]
        assert evaluate([*arguments, "--json", str(output)]) == 0
        scores = json.loads(output.read_text())
        assert {name: scores[name] for name in expected} == pytest.approx(expected)
    assert {"gt_known", "gt_loc_90", "top1_cls", "top5_loc", "maxboxacc_v2", "pxap"} <= set(
        expected
    )


def test_a_resumed_run_ends_with_the_same_bytes(trained, tree, tmp_path):
    whole = torch.load(trained / "model_final.pth", weights_only=True)["model"]
    parts = tmp_path / "parts"
    shutil.copytree(trained, parts)
    for name in ("model_final.pth", "model_0000003.pth", "classifier.safetensors", "results.json"):
        (parts / name).unlink()
    (parts / "last_checkpoint").write_text("model_0000001.pth")
    done = train(parts, tree, "--resume", DATASETS__TEST="()")
    assert done.returncode == 0, done.stderr[-3000:]
    resumed = torch.load(parts / "model_final.pth", weights_only=True)["model"]
    first = torch.load(parts / "model_0000001.pth", weights_only=True)["model"]
    assert resumed.keys() == whole.keys()
    assert not [name for name in whole if not whole[name].equal(resumed[name])]
    assert any(not whole[name].equal(first[name]) for name in whole)
    mine, other = (read_classifier(p / "classifier.safetensors") for p in (trained, parts))
    assert all(map(torch.equal, mine.state_dict().values(), other.state_dict().values()))


def check(data, **changes):
    """Check and build the training, as the command does before its first step."""
    settings = settings_of("output", data, changes) | {"MODEL.CLASSIFIER.TRUNK_WEIGHTS": "random"}
    values = [str(part) for pair in settings.items() for part in pair]
    cfg = load_config("configs/demo/classifier.yaml", values)
    trainer = trainer_for(cfg)
    trainer.check(cfg, eval_only=False)
    trainer.build_model(cfg)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"LOCALIZATION__SOURCES": '[["weight_map"]]'}, "map 'weight_map' is unknown; known: cam"),
        ({"LOCALIZATION__SOURCES": '[["cam","blur"]]'}, "blur is no step"),
        ({"MODEL__CLASSIFIER__TRUNK": "resnet19"}, "trunk of a classifier 'resnet19' is unknown"),
        (
            {"DATASETS__TRAIN": "('kinds:train+first=8',)"},
            "has the classes blue, green, red, and the training",
        ),
        ({"DATASETS__TRAIN": "('scenes:train+first=2',)"}, "has no class label of its own"),
    ],
)
def test_a_mistake_is_a_line_before_the_training(tree, changes, line):
    with pytest.raises(UserError, match=line):
        check(tree, **changes)


def test_one_class_is_a_line(tree):
    with pytest.raises(UserError, match="all images have one class, and a classifier needs two"):
        check(f"{tree}+classes=red", DATASETS__TEST="()")


def test_data_sets_of_different_classes_are_a_line(tree, tmp_path):
    data = write_tree(tmp_path / "more", colours=COLOURS | {"white": (255, 255, 255)})
    specs = f"('classes:{tree}','classes:{data}')"
    with pytest.raises(UserError, match="the data sets have different classes: .* has blue, gre"):
        check(tree, DATASETS__TRAIN=specs)
    line = "has the classes blue, green, red, white, and the training data blue, green, red"
    with pytest.raises(UserError, match=line):
        check(tree, DATASETS__TEST=f"('classes:{data}',)")


@pytest.fixture
def model():
    network = new_classifier("resnet_mini", "random:0", 3, seed=0, classes=tuple(COLOURS))
    return ClassifierTraining(classifier=network, weight_decay=0.1, cam_of_known_class=True)


def inputs(labels):
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (len(labels), 3, 32, 32), generator=generator, dtype=torch.uint8)
    given = [{} if label is None else {"image_label": label} for label in labels]
    return [{"image": image} | label for image, label in zip(images, given, strict=True)]


def test_the_loss_is_the_cross_entropy_of_the_labels(model):
    batch = inputs([2, 0])
    model.train()
    with EventStorage():
        losses = model(batch)
    model.map_network.train()
    probabilities = model.map_network.outputs_of(
        model.map_network.trunk(model.images_of(batch))
    ).softmax(1)
    expected = -(probabilities[0, 2].log() + probabilities[1, 0].log()) / 2
    torch.testing.assert_close(losses, {"loss_class": expected})
    [group] = model.parameter_groups()
    assert set(group["params"]) == set(model.map_network.parameters())


@pytest.mark.parametrize("known", [True, False])
def test_the_known_class_is_drawn_where_an_image_has_one(model, known):
    model.cam_of_known_class = known
    batch = inputs([1, None])
    answers = [output["answer"] for output in model.eval()(batch)]
    features = model.map_network.trunk(model.images_of(batch))
    outputs = model.map_network.outputs_of(features)
    predicted = outputs.argmax(1).tolist()
    assert predicted[0] == 2
    drawn = torch.tensor([1 if known else predicted[0], predicted[1]])
    maps = pixel_maps(model.map_network.activation(features, drawn), (32, 32))
    for i, answer in enumerate(answers):
        torch.testing.assert_close(answer.heatmaps["cam"], maps[i])
        assert answer.labels == outputs[i].argsort(descending=True).tolist()
        assert answer.score == pytest.approx(outputs[i].softmax(0).max().item())
