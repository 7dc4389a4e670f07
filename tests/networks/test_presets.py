"""Presets build, and load files with official names, which are generated here."""

import logging

import pytest
import torch

from boxrefine_d2.errors import UserError
from boxrefine_d2.networks import BACKBONES, build_backbone, official_file, padding_multiple
from boxrefine_d2.networks.presets import PRESETS, announce

from .official_transformers import SIZES, official_forward, official_shapes, random_state

SMALL = ["dinov2_vits14", "dinov2_vits14_reg", "dinov3_vits16", "mocov3_vits16"]


def write_official_file(name: str, path, state: dict[str, torch.Tensor]) -> None:
    wrapper = {"mae": "model", "mocov3": "state_dict"}.get(name.partition("_")[0])
    torch.save({wrapper: state, "epoch": 300} if wrapper else state, path)


def kept_names(name: str) -> set[str]:
    """Return the official names of the tensors that our network takes from an official file."""
    dropped = ("mask_token", "decoder", "momentum_encoder", "predictor", "head.", "bias_mask")
    return {key for key in official_shapes(name) if not any(part in key for part in dropped)}


@pytest.mark.parametrize("name", [name for name in PRESETS if "vitl" not in name])
def test_presets_build_with_random_weights(name):
    backbone = build_backbone(name, "random:1")
    patch = PRESETS[name].patch_size
    images = torch.linspace(-1, 1, 3 * 2 * patch * 3 * patch).view(1, 3, 2 * patch, 3 * patch)
    features = backbone(images)
    assert features.data.shape == (1, SIZES[name.partition("_vit")[2][0]][0], 2, 3)
    assert features.stride == patch
    assert features.data.std() > 0
    assert backbone.weights_info.source == "random:1"
    assert not backbone.training
    if name == "dinov2_vits14_reg":
        assert torch.equal(build_backbone(name, "random:1")(images).data, features.data)
        assert not torch.equal(build_backbone(name, "random:2")(images).data, features.data)


@pytest.mark.parametrize("name", PRESETS)
def test_the_table_is_true_of_the_network_and_every_official_name_has_its_place(name):
    preset = PRESETS[name]
    with torch.device("meta"):
        network = preset.build()
    assert padding_multiple(name) == network.stride == preset.patch_size
    assert network.prefix_tokens == preset.prefix_tokens
    # The reader removes "module." from names. The value i stands for the i-th name.
    shapes = official_shapes(name)
    official = {key.removeprefix("module."): torch.tensor(i) for i, key in enumerate(shapes)}
    ours = preset.our_names(official)
    ours = {key: value for key, value in ours.items() if not key.startswith("head.")}
    expected = network.state_dict()
    assert set(ours) == set(expected)
    names = list(shapes)
    for key, value in expected.items():
        if "qkv.bias" not in key:  # DINOv3's bias is multiplied by its mask
            assert tuple(value.shape) == shapes[names[int(ours[key])]], key
    assert len(kept_names(name)) == len(expected)
    assert set(preset.our_names(dict(expected))) == set(expected)


@pytest.mark.parametrize("name", SMALL)
def test_an_official_file_filled_at_random_loads_and_is_used(name, tmp_path):
    state = random_state(name, seed=3)
    write_official_file(name, tmp_path / "official.pth", state)
    backbone = build_backbone(name, tmp_path / "official.pth")
    assert backbone.weights_info.source == "official.pth"
    assert all(parameter.requires_grad for parameter in backbone.parameters())
    if name == "mocov3_vits16":  # the base encoder, not the momentum encoder; 12 heads of width 32
        prefix = "module.base_encoder."
        state = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
    patch = PRESETS[name].patch_size
    images = torch.randn(1, 3, 3 * patch, 2 * patch, generator=torch.Generator().manual_seed(0))
    _, keys, _, output, _ = official_forward(
        state,
        images,
        patch=patch,
        heads=12 if name == "mocov3_vits16" else 6,
        eps=1e-5 if name == "dinov3_vits16" else 1e-6,
        antialiased=name.endswith("_reg"),
    )
    with torch.no_grad():
        for facet, tokens in (("key", keys), ("output", output)):
            found = backbone(images, facet).tokens()
            torch.testing.assert_close(found, tokens.float(), atol=1e-4, rtol=1e-4)


def spread_state(name: str) -> dict[str, torch.Tensor]:
    """Return an official file's tensors, each expanded from one random number.

    Such a file is small for a network of any size.
    """
    generator = torch.Generator().manual_seed(4)
    return {
        key: torch.randn((), generator=generator).expand(shape)
        for key, shape in official_shapes(name).items()
    }


@pytest.mark.parametrize("name", PRESETS)
def test_every_official_file_loads_with_each_number_in_its_place(name, tmp_path):
    state = spread_state(name)
    write_official_file(name, tmp_path / "official.pth", state)
    loaded = build_backbone(name, tmp_path / "official.pth").state_dict()
    expected = {key: state[key] for key in kept_names(name)}
    masks = {key: state[f"{key}_mask"] for key in expected if f"{key}_mask" in state}
    expected |= {key: expected[key] * mask for key, mask in masks.items()}
    assert sorted(float(value.flatten()[0]) for value in loaded.values()) == sorted(
        float(value.flatten()[0]) for value in expected.values()
    )


def test_mae_needs_no_decoder_in_its_file(tmp_path):
    state = spread_state("mae_vitb16")
    encoder = {key: state[key] for key in kept_names("mae_vitb16")}
    write_official_file("mae_vitb16", tmp_path / "mae.pth", encoder)
    assert set(build_backbone("mae_vitb16", tmp_path / "mae.pth").state_dict()) == set(encoder)


def test_dinov3_keeps_its_rounded_periods_and_the_keys_have_no_bias(tmp_path):
    state = random_state("dinov3_vits16")
    write_official_file("dinov3_vits16", tmp_path / "v3.pth", state)
    loaded = build_backbone("dinov3_vits16", tmp_path / "v3.pth")
    assert torch.equal(loaded.rope.periods, state["rope_embed.periods"].float())
    query, key, value = loaded.blocks[5].attn.qkv.bias.detach().chunk(3)
    whole = state["blocks.5.attn.qkv.bias"].chunk(3)
    assert torch.equal(query, whole[0]) and torch.equal(value, whole[2])
    assert not key.any()


@pytest.mark.parametrize("name", ["dinov2_vits14_reg", "dinov3_vits16"])
def test_the_refined_network_of_a_run_loads(tmp_path, name):
    source = build_backbone(name, "random:2")
    state = {f"map_network.{key}": value for key, value in source.state_dict().items()}
    torch.save({"model": state, "iteration": 3}, tmp_path / "model_final.pth")
    loaded = build_backbone(name, tmp_path / "model_final.pth")
    images = torch.linspace(-1, 1, 3 * 112 * 112).view(1, 3, 112, 112)
    with torch.no_grad():
        assert torch.equal(loaded(images, "output").data, source(images, "output").data)


def test_a_file_of_another_network_is_named(tmp_path):
    state = random_state("dinov2_vits14")
    write_official_file("dinov2_vits14", tmp_path / "plain.pth", state)
    with pytest.raises(
        UserError, match=r"plain\.pth is not of dinov2_vits14_reg: parameters 1 mis"
    ):
        build_backbone("dinov2_vits14_reg", tmp_path / "plain.pth")
    del state["blocks.3.ls1.gamma"]
    write_official_file("dinov2_vits14", tmp_path / "cut.pth", state)
    with pytest.raises(UserError, match=r"1 missing \(first: blocks\.3\.ls1\.gamma\)"):
        build_backbone("dinov2_vits14", tmp_path / "cut.pth")


def test_a_preset_says_once_that_it_was_never_validated(caplog):
    announce.cache_clear()
    with caplog.at_level(logging.WARNING):
        build_backbone("dinov2_vits14", "random")
        announce("dinov2_vits14")
        announce("mocov3_vits16")
        build_backbone("dino_mini", "random")
    first, second = (record.getMessage() for record in caplog.records)
    assert first.startswith("dinov2_vits14 was never validated by this project")
    assert "Apache-2.0" in first
    assert "mocov3_vits16" in second and "forbids commercial use" in second and "tau, 0.2" in second


def test_dinov3_is_not_fetched_and_says_why(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(UserError) as raised:
        build_backbone("dinov3_vits16")
    message = str(raised.value)
    assert "DINOv3 License" in message and PRESETS["dinov3_vits16"].terms in message
    place = tmp_path / "hub/checkpoints/dinov3_vits16_pretrain_lvd1689m-08c60483.pth"
    assert message.endswith(f"or put it at {place}")
    place.parent.mkdir(parents=True)
    place.touch()
    assert official_file("dinov3_vits16") == place


def test_no_two_backbones_share_a_place_in_the_cache():
    files = [str(spec.weights).rpartition("/")[2] for spec in BACKBONES.values() if spec.weights]
    assert len(files) == len(set(files))
    assert set(PRESETS) <= set(BACKBONES)


def test_an_older_timm_is_named(monkeypatch):
    monkeypatch.setattr("timm.is_model", lambda name: False)
    with pytest.raises(UserError, match="has no vit_small_patch16_dinov3: python -m pip install"):
        PRESETS["dinov3_vits16"].build()
