"""Network g of the weight map: its sizes, its map, its files."""

import pytest
import torch
import torchvision

from boxrefine_d2.errors import UserError
from boxrefine_d2.files.safetensors_file import safetensors_bytes
from boxrefine_d2.networks.weight_map import (
    ENCODERS,
    WeightMap,
    WeightMapForm,
    new_weight_map,
    read_weight_map,
)


def count(module):
    return sum(p.numel() for p in module.parameters())


def test_the_network_of_the_paper_has_the_published_sizes():
    network = WeightMap(WeightMapForm("resnet18"))
    assert count(network) == 14_326_851
    assert count(network.encoder) == 11_176_512
    widths = [(block[0].in_channels, block[0].out_channels) for block in network.decoder]
    assert widths == [(768, 256), (384, 128), (192, 64), (128, 32), (32, 16)]
    stages = network.encoder(torch.zeros(1, 3, 64, 64))
    assert [(x.shape[1], 64 // x.shape[2]) for x in stages] == [
        (64, 2),
        (64, 4),
        (128, 8),
        (256, 16),
        (512, 32),
    ]


@pytest.mark.parametrize("encoder", ENCODERS)
def test_a_map_has_the_size_of_its_input_and_is_between_0_and_1(encoder):
    network = WeightMap(WeightMapForm(encoder)).eval()
    with torch.no_grad():
        features = network(torch.randn(2, 3, 64, 96), image_sizes=[(60, 90), (64, 96)])
    assert features.data.shape == (2, 1, 64, 96)
    assert features.strides == (1, 1) and features.facet == "heatmap"
    assert features.data.min() > 0 and features.data.max() < 1


def test_forms_leave_norms_out():
    whole = WeightMap(WeightMapForm("resnet_mini"))
    without_last = WeightMap(WeightMapForm("resnet_mini", last_norm=False))
    plain = WeightMap(WeightMapForm("resnet_mini", inner_activation=False))
    assert count(whole) - count(without_last) == 2
    widths = (128, 64, 32, 16)
    assert count(whole) - count(plain) == 2 * sum(widths)


def test_a_file_gives_the_same_map(tmp_path):
    network = new_weight_map(WeightMapForm("resnet_mini"), "", seed=3).eval()
    file = tmp_path / "g.safetensors"
    file.write_bytes(safetensors_bytes(network.state_dict(), network.file_facts()))
    again = read_weight_map(file)
    images = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(again(images).data, network(images).data)
    assert network.weights_info.source == "resnet_mini.safetensors + random:3"


def test_an_official_file_fills_the_encoder(tmp_path):
    net = torchvision.models.resnet18(weights=None)
    file = tmp_path / "resnet18.pth"
    torch.save(net.state_dict(), file)
    network = new_weight_map(WeightMapForm("resnet18"), str(file), seed=0)
    official = net.state_dict()
    for name, value in network.encoder.state_dict().items():
        assert torch.equal(value, official[name]), name


def test_a_file_of_another_network_is_a_line(tmp_path):
    file = tmp_path / "other.safetensors"
    file.write_bytes(safetensors_bytes({"a": torch.zeros(1)}, {}))
    with pytest.raises(UserError, match="is no weight map of this package"):
        read_weight_map(file)


@pytest.mark.parametrize(
    ("depth", "whole", "head"), [(34, 21_797_672, 513_000), (50, 25_557_032, 2_049_000)]
)
def test_deeper_encoders_are_torchvisions_without_the_head(tmp_path, depth, whole, head):
    official = getattr(torchvision.models, f"resnet{depth}")(weights=None).state_dict()
    torch.save(official, tmp_path / "official.pth")
    network = new_weight_map(
        WeightMapForm(f"resnet{depth}"), str(tmp_path / "official.pth"), seed=0
    )
    assert count(network.encoder) == whole - head
    for name, value in network.encoder.state_dict().items():
        assert torch.equal(value, official[name]), name


def test_widths_of_the_decoder_are_kept_in_the_file(tmp_path):
    form = WeightMapForm("resnet_mini", widths=(99, 40, 30, 20, 10))
    network = new_weight_map(form, "random", seed=0)
    assert [block[0].out_channels for block in network.decoder] == [40, 30, 20, 10]
    assert [block[-2].out_channels for block in network.decoder] == [40, 30, 20, 1]
    file = tmp_path / "g.safetensors"
    file.write_bytes(safetensors_bytes(network.state_dict(), network.file_facts()))
    assert read_weight_map(file).form == form


@pytest.mark.parametrize(("encoder", "stride"), [("resnet_mini", 16), ("resnet18", 32)])
def test_inputs_are_multiples_of_the_encoders_cells(encoder, stride):
    network = WeightMap(WeightMapForm(encoder)).eval()
    assert network.stride == stride
    with torch.no_grad():
        assert network(torch.zeros(1, 3, stride, 3 * stride)).data.shape[2:] == (stride, 3 * stride)


@pytest.mark.parametrize(
    "facts",
    [
        "[]",
        "3",
        "no JSON",
        '{"depth": 18}',
        '{"encoder": "vgg"}',
        '{"widths": [1, 2]}',
        '{"widths": "abcde"}',
    ],
)
def test_damaged_facts_are_a_line(tmp_path, facts):
    file = tmp_path / "g.safetensors"
    file.write_bytes(safetensors_bytes({"a": torch.zeros(1)}, {"weight_map": facts}))
    with pytest.raises(UserError, match="is no weight map of this package"):
        read_weight_map(file)
