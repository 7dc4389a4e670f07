"""Refinement of a classifier's map: what learns, what stays, and the file that it writes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors
import torch
from detectron2.utils.events import EventStorage

from boxrefine_d2.cli.convert_map_network import main as convert_main
from boxrefine_d2.cli.discover import main as discover_main
from boxrefine_d2.discovery import build_rule
from boxrefine_d2.errors import UserError
from boxrefine_d2.files.safetensors_file import safetensors_bytes
from boxrefine_d2.networks import build_backbone
from boxrefine_d2.networks.image_classifier import new_classifier
from boxrefine_d2.refinement import BoxRefiner, MapDetector, SetCriterion
from boxrefine_d2.refinement.map_inputs import build_map_input
from boxrefine_d2.refinement.preservation import PreservationLoss
from boxrefine_d2.refinement.trunks import build_trunk

TRAIN = Path(__file__).parents[2] / "tools" / "train_net.py"
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
SIDE = 64


@pytest.fixture
def refiner():
    torch.manual_seed(0)
    rule = build_rule("largest_contour", share=0.5)
    criterion = SetCriterion(class_weight=2, l1_weight=5, giou_weight=2, no_object_weight=0.1)
    trunk = build_trunk("small_cnn", outputs=18, norm="BN", weights="random")
    return BoxRefiner(
        map_network=new_classifier("resnet_mini", "random:0", 3, seed=0).for_refinement(),
        map_detector=MapDetector(trunk=trunk, num_boxes=3, criterion=criterion),
        discovery=rule,
        discovery_name="largest_contour",
        map_input=build_map_input("heatmap_as_image", with_cls=False, with_tokens=False, rule=rule),
        preservation=PreservationLoss(weight=1.0, on="map", reduction="sum"),
        square_size=SIDE,
    ).train()


def step(model, phase):
    """Make a step; return the names of the parameters that it changes, and its losses."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (2, 3, SIDE, SIDE), generator=generator, dtype=torch.uint8)
    before = {name: value.clone() for name, value in model.named_parameters()}
    model.set_phase(phase)
    with EventStorage():
        losses = model([{"image": image} for image in images])
    sum(losses.values()).backward()
    torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.01).step()
    model.zero_grad()
    changed = {name for name, value in model.named_parameters() if not value.equal(before[name])}
    return changed, losses


def test_h_learns_first_and_then_the_second_trunk_alone(refiner):
    changed, losses = step(refiner, "detector")
    assert {name.partition(".")[0] for name in changed} == {"map_detector"}
    assert set(losses) == {"loss_class", "loss_l1", "loss_giou"}
    changed, losses = step(refiner, "refine")
    assert {".".join(name.split(".")[:2]) for name in changed} == {"map_network.trunk"}
    assert losses["loss_preservation"] == 0  # f starts at its frozen copy
    assert step(refiner, "refine")[1]["loss_preservation"] > 0
    assert refiner.weight_distance() > 0
    assert refiner.map_network.classifier is refiner.reference_network.classifier


def test_boxes_before_and_after_are_those_of_the_same_class(refiner):
    for phase in ("detector", "refine"):
        step(refiner, phase)
    image = torch.randint(0, 256, (3, 48, 64), dtype=torch.uint8)
    (output,) = refiner.eval()([{"image": image, "height": 96, "width": 128}])
    assert output["pseudo_boxes"].keys() == {"largest_contour", "refined"}
    assert output["feature_shift"] > 0


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Folder of a short run of the demo's configuration, and the classifier before it."""
    folder = tmp_path_factory.mktemp("cam_refine")
    names = tuple("abcdefghijkl")
    network = new_classifier("resnet_mini", "", 12, seed=0, classes=names)
    classifier = folder / "classifier.safetensors"
    classifier.write_bytes(safetensors_bytes(network.state_dict(), network.file_facts()))
    settings = {
        "MODEL.MAP_NETWORK.WEIGHTS": classifier,
        "MODEL.DEVICE": "cpu",
        "DATASETS.TRAIN": "('kinds:train+first=6',)",
        "DATASETS.TEST": "('kinds:val+first=3',)",
        "INPUT.CACHE_GIB": 0.0,
        "SOLVER.IMS_PER_BATCH": 2,
        "SOLVER.STEPS": "()",
        "SOLVER.MAX_ITER": 4,
        "REFINE.WARMUP_ITERS": 2,
        "REFINE.REFINE_ITERS": 2,
        "REFINE.RECORD_IMAGES": 2,
        "REFINE.DRIFT.PERIOD": 0,
        "DATALOADER.NUM_WORKERS": 0,
        "OUTPUT_DIR": folder / "run",
    }
    values = [str(part) for pair in settings.items() for part in pair]
    command = [sys.executable, str(TRAIN), "--config-file", "configs/demo/cam_refine.yaml"]
    done = subprocess.run(
        [*command, *values], capture_output=True, text=True, env=ENVIRONMENT, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def test_the_run_writes_a_network_that_discover_reads(trained):
    path = trained / "run" / "map_network.safetensors"
    with safetensors.safe_open(path, "pt") as file:
        facts = file.metadata()
    assert (facts["backbone"], facts["trunk"]) == ("classifier", "resnet_mini")
    assert json.loads(facts["classes"])[2] == "c"
    before = build_backbone("classifier", trained / "classifier.safetensors")
    after = build_backbone("classifier", path)
    for name, value in before.state_dict().items():
        assert torch.allclose(after.classifier.state_dict()[name], value, atol=1e-3), name
    weights = "trunk.network.stem.conv1.weight"
    assert not after.state_dict()[weights].half().equal(before.state_dict()[weights].half())
    results = json.loads((trained / "run" / "results.json").read_text())
    assert set(results["datasets"]["kinds:val+first=3"]["corloc"]) == {
        "h",
        "largest_contour",
        "refined",
    }
    output = trained / "boxes.json"
    arguments = ["--method", "largest_contour", "--backbone", "classifier", "--weights", str(path)]
    arguments += ["--data", "kinds:val+first=3", "--set", "share=0.5", "--device", "cpu"]
    assert discover_main([*arguments, "--num-workers", "0", "--output", str(output)]) == 0
    found = json.loads(output.read_text())
    assert len(found["annotations"]) == 3
    assert found["info"]["backbone"] == "classifier"


def test_the_mean_of_the_trunks_before_and_after(trained):
    before, after = trained / "classifier.safetensors", trained / "run" / "map_network.safetensors"
    output = trained / "mean.safetensors"
    arguments = ["--backbone", "classifier", "--input", str(after), "--before", str(before)]
    assert convert_main([*arguments, "--share", "0.25", "--output", str(output)]) == 0
    name = "network.stem.conv1.weight"
    first, last, mean = (
        build_backbone("classifier", path).trunk.state_dict()[name]
        for path in (before, after, output)
    )
    torch.testing.assert_close(mean, 0.75 * first + 0.25 * last)


def test_a_refinement_may_start_from_a_refined_network(trained):
    path = trained / "run" / "map_network.safetensors"
    network = build_backbone("classifier", path)
    assert network.for_refinement() is network


def test_the_map_of_a_classifier_has_no_tokens():
    rule = build_rule("largest_contour")
    with pytest.raises(UserError, match="shows a transformer's tokens, and f has none"):
        build_map_input("qkv_as_image", with_cls=False, with_tokens=False, rule=rule)
