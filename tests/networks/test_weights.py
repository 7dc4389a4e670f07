"""Files with official names and random numbers load; any other file is refused in one line."""

import argparse
import os
import pickle
from collections import OrderedDict

import numpy as np
import pytest
import safetensors
import safetensors.torch
import torch

from boxrefine_d2.errors import UserError
from boxrefine_d2.networks import BACKBONES, build_backbone, official_file, padding_multiple
from boxrefine_d2.networks.weights import WeightsInfo, fetch, file_sha256, read_checkpoint

IMAGES = torch.linspace(-1, 1, 3 * 32 * 48).view(1, 3, 32, 48)


@pytest.fixture(scope="module")
def state():
    return build_backbone("dino_mini", "random:3").state_dict()


@pytest.fixture(scope="module")
def expected():
    return build_backbone("dino_mini", "random:3")(IMAGES).data


def test_random_weights_are_the_seed_and_leave_the_callers_generator_alone(expected):
    before = torch.random.get_rng_state()
    backbone = build_backbone("dino_mini", "random:3")
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(backbone(IMAGES).data, expected)
    assert not torch.equal(build_backbone("dino_mini", "random:4")(IMAGES).data, expected)
    assert backbone.weights_info.source == "random:3"
    assert not backbone.training


@pytest.mark.parametrize("name", ["dino_mini", "dino_mini_1"])
def test_an_edition_of_dino_mini_ships_with_its_card(name):
    backbone = build_backbone(name)
    path = official_file(name)
    assert backbone.weights_info == WeightsInfo(f"{name}.safetensors", file_sha256(path))
    assert path.stat().st_size <= 12e6
    card = path.with_suffix(".md").read_text(encoding="utf-8")
    assert backbone.weights_info.sha256 in card
    with safetensors.safe_open(path, "pt") as file:
        metadata = file.metadata()
        assert {file.get_tensor(name).dtype for name in file.keys()} == {torch.float16}  # noqa: SIM118
    # the first edition had another name when it was trained, and the second began as the first
    assert metadata["backbone"] in ("dino_mini", "dino_mini_1")
    # only a file of a pre-training states its iterations
    assert ("iterations" in metadata) == (name == "dino_mini_1")
    assert name == "dino_mini" or metadata["iterations"] in card
    assert not backbone(IMAGES).data.equal(build_backbone(name, "random:0")(IMAGES).data)


def test_the_editions_of_dino_mini_differ():
    first, second = (build_backbone(name)(IMAGES).data for name in ("dino_mini_1", "dino_mini"))
    assert first.shape == second.shape and not first.equal(second)


def test_a_flat_file_loads(tmp_path, state, expected):
    path = tmp_path / "dino.pth"
    torch.save(OrderedDict(state), path)
    backbone = build_backbone("dino_mini", path)
    assert torch.equal(backbone(IMAGES).data, expected)
    assert backbone.weights_info.source == "dino.pth"
    assert backbone.weights_info.sha256 == file_sha256(path)
    assert all(parameter.requires_grad for parameter in backbone.parameters())


def test_the_teacher_of_a_full_checkpoint_loads(tmp_path, state, expected):
    teacher = {f"backbone.{name}": value for name, value in state.items()}
    student = {f"module.backbone.{name}": value + 1 for name, value in state.items()}
    teacher |= {"head.mlp.0.weight": torch.zeros(3, 3), "head.last_layer.weight_g": torch.ones(2)}
    content = {
        "student": student,
        "teacher": teacher,
        "epoch": 100,
        "args": argparse.Namespace(lr=1),
    }
    torch.save(content, tmp_path / "full.pth")
    assert torch.equal(build_backbone("dino_mini", tmp_path / "full.pth")(IMAGES).data, expected)


def test_module_prefix_loads(tmp_path, state, expected):
    teacher = {f"module.backbone.{name}": value for name, value in state.items()}
    torch.save({"teacher": teacher}, tmp_path / "full.pth")
    assert torch.equal(build_backbone("dino_mini", tmp_path / "full.pth")(IMAGES).data, expected)


def test_the_refined_network_of_a_run_loads(tmp_path, state, expected):
    model = {f"map_network.{name}": value for name, value in state.items()}
    model |= {f"reference_network.{name}": value + 1 for name, value in state.items()}
    model |= {"map_detector.trunk.fc.weight": torch.zeros(2, 2)}
    torch.save({"model": model, "trainer": {"iteration": 3}, "iteration": 3}, tmp_path / "m.pth")
    assert torch.equal(build_backbone("dino_mini", tmp_path / "m.pth")(IMAGES).data, expected)


def test_safetensors_and_half_precision_load(tmp_path, state, expected):
    path = tmp_path / "dino.safetensors"
    safetensors.torch.save_file({name: value.half() for name, value in state.items()}, path)
    features = build_backbone("dino_mini", path)(IMAGES).data
    assert features.dtype == torch.float32
    torch.testing.assert_close(features, expected, atol=5e-3, rtol=5e-3)


def test_a_pickle_of_arrays_loads(tmp_path, state, expected):
    arrays = {name: value.numpy() for name, value in state.items()}
    content = {"model": arrays, "matching_heuristics": True, "__author__": "x", "n": np.float32(1)}
    (tmp_path / "dino.pkl").write_bytes(pickle.dumps(content, protocol=2))
    assert torch.equal(build_backbone("dino_mini", tmp_path / "dino.pkl")(IMAGES).data, expected)


class Bomb:
    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("suffix", ["pkl", "pth", "pt"])
def test_a_pickle_with_code_is_refused_and_not_run(tmp_path, suffix):
    path = tmp_path / f"bomb.{suffix}"
    if suffix == "pkl":
        path.write_bytes(pickle.dumps({"model": Bomb(tmp_path / "ran")}))
    else:
        torch.save({"model": Bomb(tmp_path / "ran")}, path)
    with pytest.raises(UserError, match=r"bomb\.\w+ is refused: it is a pickle that would run \w+"):
        build_backbone("dino_mini", path)
    assert not (tmp_path / "ran").exists()


def test_a_whole_pickled_module_is_refused(tmp_path):
    torch.save(torch.nn.Linear(2, 2), tmp_path / "module.pth")
    with pytest.raises(UserError, match="torch.nn.modules.linear.Linear"):
        read_checkpoint(tmp_path / "module.pth")


def test_another_architecture_is_named(tmp_path, state):
    torch.save(state, tmp_path / "mini.pth")
    with pytest.raises(UserError, match=r"mini\.pth is not of dino_vits16: parameters 72 missing"):
        build_backbone("dino_vits16", tmp_path / "mini.pth")


def test_foreign_files_are_named(tmp_path):
    (tmp_path / "text.pth").write_text("hello")
    (tmp_path / "text.safetensors").write_text("hello")
    torch.save([1, 2], tmp_path / "list.pth")
    for name in ("text.pth", "text.safetensors"):
        with pytest.raises(UserError, match=name):
            read_checkpoint(tmp_path / name)
    with pytest.raises(UserError, match="holds a list"):
        read_checkpoint(tmp_path / "list.pth")
    with pytest.raises(UserError, match="no weights file at"):
        build_backbone("dino_mini", tmp_path / "absent.pth")
    with pytest.raises(UserError, match="seed must be a whole number"):
        build_backbone("dino_mini", "random:x")
    with pytest.raises(UserError, match="backbone 'dino' is unknown; known: dino_mini"):
        build_backbone("dino")


def test_what_cannot_be_fetched_names_the_url_and_the_place(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    url = "http://127.0.0.1:9/dino_deitsmall16_pretrain.pth"
    with pytest.raises(UserError, match=f"cannot fetch {url}.*or put it at {tmp_path}"):
        fetch(url)
    with pytest.raises(UserError, match="give it with MODEL.WEIGHTS FILE, or put it at"):
        fetch(url, "MODEL.WEIGHTS FILE")


def test_a_cached_file_is_used(tmp_path, monkeypatch, state):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    (tmp_path / "hub/checkpoints").mkdir(parents=True)
    (tmp_path / "hub/checkpoints/x.pth").write_bytes(b"")
    assert fetch("http://127.0.0.1:9/x.pth") == tmp_path / "hub/checkpoints/x.pth"


@pytest.mark.parametrize("name", ["dino_resnet50", "imagenet_vgg16"])
def test_cnn_files_in_torchvision_naming_load(tmp_path, name):
    source = build_backbone(name, "random:1")
    content = source.state_dict() | {
        "fc.weight": torch.zeros(2),
        "classifier.0.weight": torch.zeros(2),
    }
    content = {key: value for key, value in content.items() if "num_batches" not in key}
    torch.save(content, tmp_path / "cnn.pth")
    loaded = build_backbone(name, tmp_path / "cnn.pth")
    images = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        features = loaded(images)
        assert torch.equal(features.data, source(images).data)
    assert features.strides == (16, 16)
    assert features.grid_size == (4, 6)
    assert padding_multiple(name) == 16
    # The map is normalised as a whole, which makes negative inner products possible.
    torch.testing.assert_close(features.data.mean(), torch.tensor(0.0), atol=1e-5, rtol=0)
    torch.testing.assert_close(
        features.data.std(unbiased=False), torch.tensor(1.0), atol=1e-3, rtol=0
    )
    with pytest.raises(ValueError, match="'output' only"):
        loaded(images, "key")


def test_every_backbone_is_known_by_its_padding():
    multiples = {name: padding_multiple(name) for name, spec in BACKBONES.items() if not spec.read}
    assert BACKBONES.keys() - multiples.keys() == {"classifier", "weight_map", "distilled_heads"}
    assert multiples["dino_vits8"] == 8
    assert multiples["dino_mini"] == multiples["dino_vitb16"] == 16
