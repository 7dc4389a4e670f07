"""Trunks of classifiers: official files load by their names, each parameter arrives."""

import pytest
import timm
import torch
import torchvision

from boxrefine_d2.errors import UserError
from boxrefine_d2.files.safetensors_file import safetensors_bytes
from boxrefine_d2.networks.build import BACKBONES
from boxrefine_d2.networks.image_classifier import new_classifier
from boxrefine_d2.networks.trunks import TRUNKS, build_trunk, empty_trunk


def filled(module, seed=0):
    """Return a state dict of random numbers in the shapes of a module."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.rand(value.shape, generator=generator) if value.is_floating_point() else value
        for name, value in module.state_dict().items()
    }


def same(trunk, official):
    own = trunk.network.state_dict()
    assert own
    return all(torch.equal(value, official[name]) for name, value in own.items())


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50", "resnet101"])
def test_a_file_of_torchvision(tmp_path, name):
    official = filled(getattr(torchvision.models, name)(weights=None))
    torch.save(official, tmp_path / "file.pth")
    trunk = build_trunk(name, tmp_path / "file.pth")
    assert same(trunk, official)
    assert trunk.channels == (512 if name in ("resnet18", "resnet34") else 2048)


@pytest.mark.parametrize("name", ["moco_v2_resnet50", "moco_v2_resnet50_stride16"])
def test_a_file_of_moco_holds_both_encoders_and_a_queue(tmp_path, name):
    net = torchvision.models.resnet50(weights=None)
    query, key = filled(net, seed=1), filled(net, seed=2)
    heads = {"fc.0.weight": torch.rand(2048, 2048), "fc.2.weight": torch.rand(128, 2048)}
    for state in (query, key):
        for part in ("weight", "bias"):
            del state[f"fc.{part}"]
    state = {f"module.encoder_q.{k}": v for k, v in (query | heads).items()}
    state |= {f"module.encoder_k.{k}": v for k, v in (key | heads).items()}
    state |= {"module.queue": torch.rand(128, 8), "module.queue_ptr": torch.zeros(1).long()}
    torch.save({"epoch": 800, "arch": "resnet50", "state_dict": state}, tmp_path / "file.pth.tar")
    assert same(build_trunk(name, tmp_path / "file.pth.tar"), query)


def test_a_file_of_timm(tmp_path):
    official = filled(timm.create_model("tf_efficientnet_b7", num_classes=10))
    torch.save(official, tmp_path / "file.pth")
    assert same(build_trunk("efficientnet_b7", tmp_path / "file.pth"), official)


def test_a_file_of_dino(tmp_path):
    official = filled(BACKBONES["dino_vits16"].build())
    torch.save(official, tmp_path / "file.pth")
    trunk = build_trunk("dino_vits16", tmp_path / "file.pth")
    assert same(trunk, official)
    tokens = trunk.network.forward_tokens(torch.ones(1, 3, 32, 48))
    grid = trunk(torch.ones(1, 3, 32, 48))
    assert grid.shape == (1, 384, 2, 3)
    torch.testing.assert_close(grid[0, :, 1, 2], tokens[0, 6])


@pytest.mark.parametrize("name", TRUNKS)
def test_channels_and_stride_are_those_of_the_features(name):
    if empty_trunk(name).channels > 1000 and name != "moco_v2_resnet50_stride16":
        pytest.skip("large networks of the same form as a smaller one")
    trunk = build_trunk(name, "random:0")
    with torch.no_grad():
        features = trunk(torch.zeros(1, 3, 64, 96))
    assert features.shape == (1, trunk.channels, 64 // trunk.stride, 96 // trunk.stride)


def test_a_file_of_another_network_is_a_line(tmp_path):
    torch.save({"weight": torch.zeros(3)}, tmp_path / "file.pth")
    with pytest.raises(UserError, match="is not of resnet18"):
        build_trunk("resnet18", tmp_path / "file.pth")


@pytest.mark.parametrize("name", ["convnext_atto", "mobilenetv3_small_100", "regnetx_002"])
def test_any_convolutional_network_of_timm_with_its_file(tmp_path, name):
    official = filled(timm.create_model(name, num_classes=10))
    torch.save(official, tmp_path / "file.pth")
    trunk = build_trunk(f"timm:{name}", tmp_path / "file.pth")
    assert same(trunk, official)
    with torch.no_grad():
        features = trunk(torch.ones(1, 3, 64, 96))
    assert features.shape == (1, trunk.channels, 64 // trunk.stride, 96 // trunk.stride)


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("timm:convnext_ato", "timm has no such network; similar: .*timm:convnext_atto"),
        ("timm:vit_tiny_patch16_224", r"shape \(1, 197, 192\), and a trunk needs a map"),
        ("timm:swin_tiny_patch4_window7_224", r"shape \(1, 7, 7, 768\), and a trunk needs"),
        ("resnet19", "trunk of a classifier 'resnet19' is unknown; known: resnet_mini"),
    ],
)
def test_a_name_that_is_no_trunk_is_a_line(name, line):
    with pytest.raises(UserError, match=line):
        build_trunk(name, "random:0")


def test_a_trunk_without_a_file_says_what_to_give():
    assert not timm.get_pretrained_cfg("convnext_tiny").url  # on a hub, without an address
    with pytest.raises(UserError, match="MODEL.CLASSIFIER.TRUNK_WEIGHTS, or random:0"):
        build_trunk("timm:convnext_tiny")


def test_a_trunk_reads_the_file_of_a_classifier(tmp_path):
    classifier = new_classifier("resnet_mini", "random:3", 2, seed=0)
    path = tmp_path / "classifier.safetensors"
    path.write_bytes(safetensors_bytes(classifier.state_dict(), classifier.file_facts()))
    trunk = build_trunk("resnet_mini", path)
    for name, value in trunk.state_dict().items():
        assert torch.equal(value, classifier.trunk.state_dict()[name]), name
