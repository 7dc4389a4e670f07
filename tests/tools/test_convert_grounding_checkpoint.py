"""tools/convert_grounding_checkpoint.py: a network saved whole becomes a file that loads."""

import pytest
import torch
from torch import nn

from boxrefine_d2.networks.text_heatmap import build_heatmap
from tests.tool_modules import tool


@pytest.fixture(scope="module")
def main():
    return tool("convert_grounding_checkpoint").main


def test_a_whole_network_is_refused_with_the_command_and_converted_by_it(
    tmp_path, main, capsys, monkeypatch
):
    monkeypatch.setenv("HOME", str(tmp_path))
    network = build_heatmap("heatmap_mini", "random:1")
    whole, out = tmp_path / "whole.pth", tmp_path / "out.safetensors"
    torch.save(nn.DataParallel(network), whole)
    with pytest.raises(ValueError, match=r"tools/convert_grounding_checkpoint\.py"):
        build_heatmap("heatmap_mini", whole)
    arguments = ["--input=~/whole.pth", "--output=~/out.safetensors"]
    assert main([*arguments, "--network", "heatmap_mini"]) == 0
    assert "tensors of heatmap_mini" in capsys.readouterr().out
    again = build_heatmap("heatmap_mini", out)
    assert all(v.equal(again.state_dict()[k]) for k, v in network.state_dict().items())
    assert main(arguments) == 2
    assert "is not of heatmap_vgg16" in capsys.readouterr().err
    assert main(["--input", str(whole), "--output", "out.pth"]) == 2
    assert "must end in .safetensors" in capsys.readouterr().err
