"""Training of the weight map from class folders as a user runs it, a few steps of each network."""

import hashlib
import json
import sys

import pytest
import safetensors
import torch

from boxrefine_d2.networks.image_classifier import read_classifier
from boxrefine_d2.networks.weight_map import read_weight_map
from tests.localization.class_folders import class_folders
from tests.training.test_training import TOOLS, run, state

CLASSES = ("blue", "green", "red")
SHORT = {
    "MODEL.DEVICE": "cpu",
    "MODEL.CLASSIFIER.TRUNK": "resnet_mini",
    "MODEL.CLASSIFIER.TRUNK_WEIGHTS": "random:0",
    "INPUT.CLASSIFIED.RESIZE": 36,
    "INPUT.CLASSIFIED.CROP": 32,
    "INPUT.CLASSIFIED.TEST_RESIZE": 32,
    "SOLVER.IMS_PER_BATCH": 4,
    "SOLVER.MAX_ITER": 2,
    "SOLVER.STEPS": "()",
    "SOLVER.BASE_LR": 0.01,
    "SOLVER.CHECKPOINT_PERIOD": 2,
    "DATALOADER.NUM_WORKERS": 0,
    "LOG_PERIOD": 1,
}
WEIGHT_MAP = {
    "WEIGHT_MAP.ENCODER": "resnet_mini",
    "WEIGHT_MAP.ENCODER_WEIGHTS": "random",
    "WEIGHT_MAP.DECODER_WIDTHS": "(64, 16, 16, 8, 8)",
    "WEIGHT_MAP.CHECK_PERIOD": 1,
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A folder of class folders, beside which the runs of this module leave their files."""
    return class_folders(tmp_path_factory.mktemp("runs") / "classes", CLASSES, 6)


@pytest.fixture(scope="module")
def train(folders):
    """A function that runs a config on the class folders and returns what it printed."""

    def train(config, output, changes, *flags, expect=0):
        data = f"('classes:{folders}',)"
        settings = SHORT | {"DATASETS.TRAIN": data, "DATASETS.TEST": data, "OUTPUT_DIR": output}
        values = [str(part) for pair in (settings | changes).items() for part in pair]
        config = ["--config-file", f"configs/{config}.yaml"]
        script = str(TOOLS / "train_net.py")
        result = run([sys.executable, script, *config, *flags, *values], expect=expect)
        return result.stdout + result.stderr

    return train


@pytest.fixture(scope="module")
def classifier(folders, train):
    """The file of a trained classifier."""
    output = folders.parent / "classifier"
    train("weight_map_classifier", output, {})
    return output / "classifier.safetensors"


def interrupt(folder, product):
    """Leave the files of a run of four iterations that was killed after the second one."""
    for name in ("model_final.pth", "model_0000003.pth", product):
        (folder / name).unlink()
    (folder / "last_checkpoint").write_text("model_0000001.pth")


def assert_same(resumed, whole):
    assert resumed.keys() == whole.keys()
    assert not [name for name in whole if not whole[name].equal(resumed[name])]


def test_method_1_learns_from_the_classifiers_file_and_resumes_to_the_same_bits(
    tmp_path, train, classifier
):
    assert read_classifier(classifier).classes == CLASSES
    changes = WEIGHT_MAP | {"MODEL.CLASSIFIER.WEIGHTS": classifier, "SOLVER.MAX_ITER": 4}
    shown = train("weight_map_1", tmp_path, changes)
    assert "16 images teach; 2 are held out of the training" in shown
    results = json.loads((tmp_path / "results.json").read_text())
    record, [scores] = results["record"], results["datasets"].values()
    assert record["images"] == 16 and record["unreadable_images"] == {}
    sha256 = hashlib.sha256(classifier.read_bytes()).hexdigest()
    named = {"source": "classifier.safetensors", "sha256": sha256}
    assert record["frozen"] == {"classifier": named}
    assert [check["iteration"] for check in record["map_checks"]] == [1, 2, 3, 4]
    best = max(record["map_checks"], key=lambda check: check["inside_share"])
    assert record["kept_iteration"] == best["iteration"]
    assert set(scores) == {"weight_map", "cam"}
    for source in scores.values():
        assert {"gt_known", "top1_cls", "top1_loc", "maxboxacc_v2"} <= source.keys()

    whole = state(tmp_path / "model_final.pth")
    assert {name.partition(".")[0] for name in whole} == {"map_network"}
    written = tmp_path / "weight_map.safetensors"
    network = read_weight_map(written)
    assert network.form.widths == (64, 16, 16, 8, 8)
    first = state(tmp_path / "model_0000001.pth")
    assert any(not torch.equal(first[name], whole[name]) for name in whole)

    interrupt(tmp_path, "weight_map.safetensors")
    train("weight_map_1", tmp_path, changes, "--resume")
    assert_same(state(tmp_path / "model_final.pth"), whole)
    again = json.loads((tmp_path / "results.json").read_text())
    assert again["record"]["map_checks"] == record["map_checks"]
    assert again["datasets"] == results["datasets"]


def test_method_2_learns_from_the_siamese_networks_file(tmp_path, train):
    siamese, output = tmp_path / "siamese", tmp_path / "map"
    train("weight_map_siamese", siamese, {"DATASETS.TEST": "()", "WEIGHT_MAP.EMBEDDING": 8})
    file = siamese / "siamese.safetensors"
    with safetensors.safe_open(file, "pt") as opened:
        assert opened.metadata()["outputs"] == "8"
    own = {"WEIGHT_MAP.EMBEDDING_WEIGHTS": file, "MODEL.CLASSIFIER.WEIGHTS": ""}
    own |= {"LOCALIZATION.SOURCES": "[['weight_map']]"}
    validation = class_folders(tmp_path / "validation", CLASSES, 1)
    damaged = validation / "red" / "0.png"
    damaged.write_text("damaged")
    own |= {"WEIGHT_MAP.VALIDATION": f"('classes:{validation}',)"}
    shown = train("weight_map_2", output, WEIGHT_MAP | own)
    assert "18 images teach; 3 are named by WEIGHT_MAP.VALIDATION" in shown
    rows = [json.loads(line) for line in (output / "metrics.json").read_text().splitlines()]
    losses = {key for row in rows for key in row if key.startswith("loss_")}
    assert losses == {"loss_inner", "loss_outer", "loss_area"}
    results = json.loads((output / "results.json").read_text())
    assert results["record"]["frozen"]["embedding"]["source"] == "siamese.safetensors"
    assert list(results["record"]["unreadable_images"]) == [str(damaged)]
    [scores] = results["datasets"].values()
    assert "gt_known" in scores["weight_map"] and "top1_cls" not in scores["weight_map"]
    assert "top1_loc, top5_loc are left out, because the model names no classes" in shown


def test_the_siamese_network_and_method_2_resume_to_the_same_bits(tmp_path, train):
    siamese, output = tmp_path / "siamese", tmp_path / "map"
    changes = {"DATASETS.TEST": "()", "SOLVER.MAX_ITER": 4, "WEIGHT_MAP.EMBEDDING": 8}
    file = siamese / "siamese.safetensors"
    own = WEIGHT_MAP | changes
    own |= {"WEIGHT_MAP.EMBEDDING_WEIGHTS": file, "MODEL.CLASSIFIER.WEIGHTS": ""}
    runs = (("weight_map_siamese", siamese, changes), ("weight_map_2", output, own))
    for config, folder, settings in runs:
        train(config, folder, settings)
        whole = state(folder / "model_final.pth")
        interrupt(folder, f"{folder.name.replace('map', 'weight_map')}.safetensors")
        train(config, folder, settings, "--resume")
        assert_same(state(folder / "model_final.pth"), whole)
