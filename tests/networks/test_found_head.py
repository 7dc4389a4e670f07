"""FOUND's segmenter against an explicit computation of its layer; its file with official names."""

import numpy as np
import pytest
import safetensors.torch
import torch
from torch.testing import assert_close
from torchvision.ops import box_iou

from boxrefine_d2.data import load_spec, read_image
from boxrefine_d2.discovery import discover
from boxrefine_d2.errors import UserError
from boxrefine_d2.networks import build_backbone, padding_multiple, read_map
from boxrefine_d2.networks.build import DINO_MINI_1
from boxrefine_d2.networks.found_head import FoundSegmenter
from boxrefine_d2.networks.weights import file_sha256, read_state_dict

from .test_vit import tiny_vit

IMAGES = torch.randn(2, 3, 32, 48, generator=torch.Generator().manual_seed(1))
HEAD = {
    "weight": torch.randn(1, 192, 1, 1, generator=torch.Generator().manual_seed(2)) * 0.1,
    "bias": torch.tensor([0.25]),
}


def tiny_segmenter() -> FoundSegmenter:
    return FoundSegmenter(tiny_vit(patch_size=8)).eval()


def test_mask_is_a_linear_reading_of_the_keys_as_they_are():
    segmenter = tiny_segmenter()
    found = segmenter(IMAGES, image_sizes=[(30, 48), (32, 41)])
    with torch.no_grad():
        keys = segmenter.extractor(IMAGES, "key").data.double().numpy()
        weight, bias = (p.double().numpy() for p in segmenter.head.parameters())
    logits = np.einsum("bchw,c->bhw", keys, weight[0, :, 0, 0]) + bias
    expected = torch.from_numpy(1 / (1 + np.exp(-logits))).float()
    assert_close(found.data[:, 0], expected, atol=1e-6, rtol=1e-5)
    assert (found.facet, found.stride, found.grid_size) == ("mask", 8, (4, 6))
    assert found.image_sizes == [(30, 48), (32, 41)]


def test_only_the_head_learns():
    segmenter = tiny_segmenter().train()
    segmenter(IMAGES).data.sum().backward()
    assert {n for n, p in segmenter.named_parameters() if p.grad is not None} == {
        "head.weight",
        "head.bias",
    }
    assert segmenter.head.training and not segmenter.extractor.training
    segmenter.requires_grad_(False)
    assert not any(p.requires_grad for p in segmenter.parameters())


def test_it_has_one_facet():
    with pytest.raises(ValueError, match="the facet 'mask' only, not 'key'"):
        tiny_segmenter()(IMAGES, "key")


def test_a_file_of_found_loads_above_the_shipped_extractor(tmp_path):
    path = tmp_path / "decoder_weights.pt"
    torch.save({"decoder": HEAD}, path)
    segmenter = build_backbone("found_mini", path)
    assert segmenter.head.weight.equal(HEAD["weight"]) and segmenter.head.bias.equal(HEAD["bias"])
    shipped = read_state_dict(DINO_MINI_1)
    for name, value in segmenter.extractor.state_dict().items():
        assert value.equal(shipped[name].float()), name
    assert segmenter.weights_info.source == f"{path.name} + {DINO_MINI_1.name}"
    assert not any(p.requires_grad for p in segmenter.extractor.parameters())
    assert padding_multiple("found_mini") == 16 and padding_multiple("found_vits8") == 8


def test_what_it_learnt_loads_again_and_so_does_a_whole_file(tmp_path):
    torch.save({"decoder": HEAD}, tmp_path / "official.pt")
    segmenter = build_backbone("found_mini", tmp_path / "official.pt")
    assert set(segmenter.trained_state()) == {"head.weight", "head.bias"}
    safetensors.torch.save_file(segmenter.trained_state(), tmp_path / "head.safetensors")
    safetensors.torch.save_file(segmenter.state_dict(), tmp_path / "whole.safetensors")
    for name in ("head.safetensors", "whole.safetensors"):
        again = build_backbone("found_mini", tmp_path / name)
        assert_close(again(IMAGES).data, segmenter(IMAGES).data)
    assert again.weights_info.sha256 == file_sha256(tmp_path / "whole.safetensors")


def test_the_head_that_ships_finds_a_scene():
    found = build_backbone("found_mini")
    assert found.weights_info.source == "found_mini.safetensors + dino_mini_1.safetensors"
    record = load_spec("scenes:val+first=1").records[0]
    image = torch.from_numpy(read_image(record["file_name"])).permute(2, 0, 1)
    [boxes] = discover("found", read_map([image], found, "mask"))
    truth = torch.tensor([a["bbox"] for a in record["annotations"]])
    assert box_iou(boxes.boxes[:1], truth).max() >= 0.5


def test_mistakes(tmp_path):
    with pytest.raises(UserError, match="found_vits8 has no weights"):
        build_backbone("found_vits8")
    path = tmp_path / "decoder_weights.pt"
    torch.save({"decoder": {"weight": torch.zeros(1, 384, 1, 1), "bias": torch.zeros(1)}}, path)
    with pytest.raises(UserError, match=r"not of found_mini: .* of another shape \(first: head"):
        build_backbone("found_mini", path)
