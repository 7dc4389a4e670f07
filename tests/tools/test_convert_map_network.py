"""convert map-network: the network of a training, in a file of its own."""

import pytest
import safetensors
import torch

from boxrefine_d2 import __version__
from boxrefine_d2.cli.convert_map_network import main
from boxrefine_d2.networks import build_backbone

IMAGES = torch.linspace(-1, 1, 3 * 32 * 48).view(1, 3, 32, 48)


@pytest.fixture
def checkpoint(tmp_path):
    """Write a checkpoint of a training that holds a network, and return the network."""
    network = build_backbone("dino_mini", "random:3")
    state = {f"map_network.{name}": value for name, value in network.state_dict().items()}
    torch.save({"model": state | {"map_detector.x": torch.ones(2)}}, tmp_path / "model.pth")
    return network


def convert(folder, name, *flags):
    files = ["--input", str(folder / "model.pth"), "--output", str(folder / name)]
    assert main([*files, "--backbone", "dino_mini", *flags]) == 0
    return folder / name


def test_the_network_alone_in_equal_bytes(checkpoint, tmp_path, capsys):
    first, again = (convert(tmp_path, name) for name in ("a.safetensors", "b.safetensors"))
    assert first.read_bytes() == again.read_bytes()
    assert "tensors of dino_mini" in capsys.readouterr().out
    assert build_backbone("dino_mini", first)(IMAGES).data.equal(checkpoint(IMAGES).data)
    with safetensors.safe_open(first, "pt") as file:
        assert file.metadata() == {"backbone": "dino_mini", "version": __version__}
        assert not any("map_detector" in name for name in file.keys())  # noqa: SIM118


def test_half_precision_takes_half_the_size(checkpoint, tmp_path):
    whole, half = convert(tmp_path, "a.safetensors"), convert(tmp_path, "b.safetensors", "--half")
    assert half.stat().st_size < 0.51 * whole.stat().st_size
    loaded = build_backbone("dino_mini", half).state_dict()
    for name, value in checkpoint.state_dict().items():
        assert loaded[name].equal(value.half().float()), name


def test_the_mean_with_the_weights_from_before(checkpoint, tmp_path):
    before = tmp_path / "before.pth"
    start = build_backbone("dino_mini", "random:4").state_dict()
    torch.save(start, before)
    mixed = convert(tmp_path, "a.safetensors", "--share", "0.75", "--before", str(before))
    loaded = build_backbone("dino_mini", mixed).state_dict()
    for name, value in checkpoint.state_dict().items():
        torch.testing.assert_close(loaded[name], 0.75 * value + 0.25 * start[name])
    own = build_backbone("dino_mini").state_dict()
    loaded = build_backbone("dino_mini", convert(tmp_path, "b.safetensors", "--share", "0.5"))
    for name, value in checkpoint.state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[name], (value + own[name]) / 2)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--share", "0"], "--share is 0.0; give a number above 0 and at most 1"),
        (["--share", "nan"], "--share is nan"),
        (["--before", "random:1"], "--before 'random:1' is of no use with --share 1"),
    ],
)
def test_impossible_shares(checkpoint, tmp_path, capsys, flags, message):
    files = ["--input", str(tmp_path / "model.pth"), "--output", str(tmp_path / "a.safetensors")]
    assert main([*files, "--backbone", "dino_mini", *flags]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "a.safetensors").exists()
