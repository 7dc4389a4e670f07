"""Whole networks are read without running the code that their files name."""

import sys
import types

import pytest
import torch
from torch import nn

from boxrefine_d2.errors import UserError
from boxrefine_d2.networks.pickled_module import read_pickled_module


@pytest.fixture
def foreign_class():
    """Yield a network class of a module that does not exist when the file is read."""
    module = types.ModuleType("authors_code")

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
            self.free = nn.Parameter(torch.randn(2, 3).half())
            self.register_buffer("kept", torch.arange(5))
            self.register_buffer("forgotten", torch.ones(2), persistent=False)
            self.settings = {"a": (1, 2), "where": torch.float32, "how": torch.relu}

    Network.__module__, Network.__qualname__ = "authors_code", "Network"
    module.Network = Network
    sys.modules["authors_code"] = module
    yield Network
    sys.modules.pop("authors_code", None)


@pytest.mark.parametrize("parallel", [False, True])
def test_tensors_are_those_of_the_state_dict(tmp_path, foreign_class, parallel):
    torch.manual_seed(0)
    network = foreign_class()
    network.layers[0].weight.data = network.layers[0].weight.data.transpose(2, 3)  # not contiguous
    whole = nn.DataParallel(network) if parallel else network
    torch.save(whole, tmp_path / "whole.pth")
    expected = whole.state_dict()
    del sys.modules["authors_code"]
    found = read_pickled_module(tmp_path / "whole.pth")
    assert list(found) == list(expected)
    for name, value in expected.items():
        assert found[name].dtype == value.dtype and found[name].equal(value), name
    assert "authors_code" not in sys.modules


class Harmful:
    def __reduce__(self):
        return (open, ("was_run", "w"))


def test_what_a_file_would_run_is_not_run(tmp_path, monkeypatch, foreign_class):
    monkeypatch.chdir(tmp_path)
    network = foreign_class()
    network.settings = {"bad": Harmful()}
    torch.save(network, tmp_path / "whole.pth")
    found = read_pickled_module(tmp_path / "whole.pth")
    assert "free" in found and not (tmp_path / "was_run").exists()


def test_files_that_are_none_are_named(tmp_path):
    with pytest.raises(UserError, match="no weights file at .*gone"):
        read_pickled_module(tmp_path / "gone")
    (tmp_path / "text").write_text("x")
    with pytest.raises(UserError, match="is a text file, no checkpoint"):
        read_pickled_module(tmp_path / "text")
    torch.save(nn.Linear(1, 1).state_dict(), tmp_path / "state.pth")
    with pytest.raises(UserError, match="holds a state dict, not a whole network"):
        read_pickled_module(tmp_path / "state.pth")
    torch.save(nn.ReLU(), tmp_path / "empty.pth")
    with pytest.raises(UserError, match="holds no network with parameters"):
        read_pickled_module(tmp_path / "empty.pth")
