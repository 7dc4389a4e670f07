"""MOVE's segmenter against an explicit computation of its layers, and files with official names."""

import copy

import numpy as np
import pytest
import safetensors.torch
import torch
from torch.testing import assert_close

from boxrefine_d2.errors import UserError
from boxrefine_d2.networks import BACKBONES, build_backbone, padding_multiple
from boxrefine_d2.networks.build import DINO_MINI_1
from boxrefine_d2.networks.move_segmenter import MoveSegmenter, SegmenterHead, head_widths
from boxrefine_d2.networks.padding import normalise_and_pad
from boxrefine_d2.networks.vit import DinoTransformer
from boxrefine_d2.networks.weights import file_sha256

from .test_vit import official_forward, tiny_vit

IMAGES = torch.linspace(-1, 1, 3 * 32 * 48).view(1, 3, 32, 48)


def tiny_segmenter(block=-2, head="conv_minc5") -> MoveSegmenter:
    """Return a segmenter with patch 8, 24 channels, 3 blocks, and no initial value left."""
    segmenter = MoveSegmenter(tiny_vit(patch_size=8), head=head, block=block)
    return fill(segmenter)


def fill(module):
    generator = torch.Generator().manual_seed(5)
    for name, value in module.state_dict().items():
        if name.endswith("running_var") or (name.endswith("weight") and value.dim() == 1):
            value.uniform_(0.5, 2, generator=generator)
        elif value.is_floating_point():
            value.normal_(std=0.2, generator=generator)
    return module.eval()


def head_written_out(state, patches, depths):
    """Return the logits (H, W) of one image, float64.

    Args: patches: (C, h, w) float64.  depths: convolutions of each block.
    """
    for i, depth in enumerate(depths):
        upsampled = i < len(depths) - 1
        if upsampled:
            patches = patches.repeat(2, axis=1).repeat(2, axis=2)
        for d in range(depth):
            layer = 3 * d + upsampled
            kernel, bias = state[f"head.{i}.{layer}.weight"], state[f"head.{i}.{layer}.bias"]
            padded = np.pad(patches, ((0, 0), (1, 1), (1, 1)))
            h, w = patches.shape[1:]
            shifted = [[padded[:, y : y + h, x : x + w] for x in range(3)] for y in range(3)]
            patches = np.einsum("oiyx,yxihw->ohw", kernel, np.array(shifted)) + bias[:, None, None]
            norm = {
                part: state[f"head.{i}.{layer + 1}.{part}"][:, None, None]
                for part in ("weight", "bias", "running_mean", "running_var")
            }
            patches = (patches - norm["running_mean"]) / np.sqrt(norm["running_var"] + 1e-5)
            patches = patches * norm["weight"] + norm["bias"]
            patches = np.where(patches > 0, patches, 0.01 * patches)
    last = f"head.{len(depths)}."
    return (
        np.einsum("i,ihw->hw", state[last + "weight"][0, :, 0, 0], patches) + state[last + "bias"]
    )


@pytest.mark.parametrize(
    ("block", "name", "depth"), [(-2, "conv_minc5", 1), (-1, "conv_blockd2_wmult0.25_minc3", 2)]
)
def test_mask_equals_the_layers_written_out(block, name, depth):
    segmenter = tiny_segmenter(block, name)
    images = torch.randn(2, 3, 24, 40, generator=torch.Generator().manual_seed(1))
    extractor = segmenter.extractor.state_dict()
    extractor |= {f"norm.{key}": value for key, value in segmenter.norm.state_dict().items()}
    tokens = official_forward(extractor, images, 8, 4, depth=4 + block)[3]
    state = {key: value.double().numpy() for key, value in segmenter.state_dict().items()}
    patches = tokens[:, 1:].reshape(2, 3, 5, 24).permute(0, 3, 1, 2).numpy()
    expected = torch.from_numpy(
        np.stack([head_written_out(state, p, [depth] * 4) for p in patches])
    )
    with torch.no_grad():
        logits, mask = segmenter.logits(segmenter.share(images)), segmenter(images)
    assert_close(logits[:, 0], expected.float(), atol=1e-5, rtol=1e-4)
    assert expected.std() > 0.1
    assert_close(mask.data[:, 0], (1 / (1 + (-expected).exp())).float(), atol=1e-5, rtol=1e-4)
    assert (mask.facet, mask.stride, mask.grid_size) == ("mask", 1, (24, 40))


@pytest.mark.parametrize(
    ("dim", "patch", "parameters"),
    [(384, 8, 1_181_505), (768, 8, 3_689_025), (384, 16, 1_329_345), (1024, 16, 6_491_649)],
)
def test_published_parameter_counts(dim, patch, parameters):
    with torch.device("meta"):
        head = SegmenterHead("conv_minc128", dim=dim, patch_size=patch)
    assert sum(parameter.numel() for parameter in head.parameters()) == parameters


@pytest.mark.parametrize(
    ("name", "widths", "depth"),
    [
        ("conv_minc128", [192, 128, 128, 128], 1),
        ("conv", [192, 96, 64, 64], 1),
        ("conv_blockd3", [192, 96, 64, 64], 3),
        ("conv_wmult0.3_minc10", [115, 34, 10, 10], 1),
        ("conv_blockd2_wmult1_minc7", [384, 384, 384, 384], 2),
        ("conv_minc7_blockd2", [192, 96, 48, 24], 2),
    ],
)
def test_widths_follow_from_the_name(name, widths, depth):
    assert head_widths(name, dim=384, patch_size=8) == (widths, depth)


@pytest.mark.parametrize(
    "name", ["linear", "conv_", "conv128", "conv_minc", "conv_blockd0", "conv_wmult.5x", "conv_k3"]
)
def test_another_head_name_is_refused(name):
    with pytest.raises(ValueError, match=f"'{name}' is not of the form conv"):
        head_widths(name, dim=384, patch_size=8)


def test_a_patch_that_is_no_power_of_two_is_refused():
    with pytest.raises(ValueError, match="patch size is 14, not a power of two"):
        head_widths("conv", dim=384, patch_size=14)


@pytest.mark.parametrize("size", [(45, 70), (48, 40), (7, 3), (1, 1)])
def test_a_mask_of_any_image_fills_its_padded_input(size):
    segmenter = tiny_segmenter()
    image = torch.rand(3, *size, generator=torch.Generator().manual_seed(0)) * 255
    inputs = normalise_and_pad([image], segmenter.stride, segmenter.padding)
    with torch.no_grad():
        mask = segmenter(inputs, image_sizes=[size])
    assert mask.data.shape == (1, 1, -(-size[0] // 8) * 8, -(-size[1] // 8) * 8)
    assert mask.image_sizes == [size]
    assert mask.data.min() > 0 and mask.data.max() < 1


def test_a_batch_gives_what_each_image_gives():
    segmenter = tiny_segmenter()
    images = torch.randn(3, 3, 32, 48, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        together = segmenter(images).data
        alone = torch.cat([segmenter(image[None]).data for image in images])
    assert_close(together, alone, atol=1e-5, rtol=1e-5)


def test_the_extractor_never_learns_and_stays_in_eval():
    segmenter = tiny_segmenter().train()
    before = copy.deepcopy(segmenter.state_dict())
    assert not any(module.training for module in segmenter.extractor.modules())
    assert segmenter.head[0][2].training
    optimizer = torch.optim.AdamW(segmenter.parameters(), lr=0.1, weight_decay=0.1)
    segmenter(torch.randn(2, 3, 16, 24)).data.sum().backward()
    without = {name for name, p in segmenter.named_parameters() if p.grad is None}
    assert without == {name for name in before if name.startswith("extractor.")}
    optimizer.step()
    changed = {
        name for name, v in segmenter.state_dict().items() if not torch.equal(v, before[name])
    }
    assert {name.split(".")[0] for name in changed} == {"norm", "head"}
    assert changed >= set(dict(segmenter.norm.named_parameters(prefix="norm")))


def test_gradients_are_switched_for_norm_and_head_alone():
    segmenter = tiny_segmenter()
    for switch in (False, True):
        segmenter.requires_grad_(switch)
        for name, parameter in segmenter.named_parameters():
            assert parameter.requires_grad == (switch and not name.startswith("extractor."))


def test_the_last_block_goes_through_the_extractors_own_frozen_norm():
    segmenter = tiny_segmenter(block=-1)
    assert segmenter.norm is segmenter.extractor.norm
    assert not segmenter.norm.weight.requires_grad


def test_half_precision_gives_a_float32_mask_nearby():
    segmenter = tiny_segmenter()
    with torch.no_grad():
        exact = segmenter(IMAGES).data
        rounded = segmenter.to(torch.bfloat16)(IMAGES).data
    assert rounded.dtype == torch.float32
    assert_close(rounded, exact, atol=0.05, rtol=0)


def test_mistakes_are_named():
    segmenter = tiny_segmenter()
    with pytest.raises(ValueError, match="facet 'mask' only, not 'key'"):
        segmenter(IMAGES, "key")
    with pytest.raises(ValueError, match="30 x 48 is not a multiple of the patch"):
        segmenter(IMAGES[:, :, :30])


def test_move_vits8_is_dinos_hub_file_and_the_published_head():
    spec = BACKBONES["move_vits8"]
    # this is not the file of 300 epochs that LOST uses
    assert str(spec.extractor).endswith("/dino_deitsmall8_pretrain/dino_deitsmall8_pretrain.pth")
    with torch.device("meta"):
        segmenter = spec.build()
    assert segmenter.block == -2
    assert sum(p.numel() for p in segmenter.head.parameters()) == 1_181_505
    shapes = {name: tuple(value.shape) for name, value in segmenter.extractor.state_dict().items()}
    with torch.device("meta"):
        vit = DinoTransformer(patch_size=8, dim=384, depth=12, num_heads=6)
    assert shapes == {name: tuple(value.shape) for name, value in vit.state_dict().items()}
    assert padding_multiple("move_vits8") == 8


def official(state, *, prefix="", extractor=True):
    """Return the state under MOVE's names: {0..n-1}.{1 conv, 2 bn}, n.{0 conv, 1 bn}, n + 1."""
    last = 5  # log2(16) + 1
    names = {
        "norm.weight": "feature_extractor.norm.weight",
        "norm.bias": "feature_extractor.norm.bias",
    }
    for i in range(last):
        for layer, kind in enumerate(("conv", "bn"), start=int(i < last - 1)):
            parts = ["weight", "bias"]
            parts += ["running_mean", "running_var", "num_batches_tracked"] if kind == "bn" else []
            for part in parts:
                names[f"head.{i}.{layer}.{part}"] = f"segmenter_head.model.{i}.{layer}.{part}"
    for part in ("weight", "bias"):
        names[f"head.{last}.{part}"] = f"segmenter_head.model.{last}.{part}"
    if extractor:
        inside = [name for name in state if name.startswith("extractor.")]
        names |= {n: "feature_extractor.model." + n.removeprefix("extractor.") for n in inside}
        assert names.keys() == state.keys()
    return {prefix + official_name: state[name] for name, official_name in names.items()}


@pytest.fixture(scope="module")
def source():
    return fill(build_backbone("move_mini", "random:3"))


@pytest.mark.parametrize("prefix", ["", "module."])
def test_an_official_file_loads(tmp_path, source, prefix):
    path = tmp_path / "move.pth"
    torch.save(official(source.state_dict(), prefix=prefix), path)
    loaded = build_backbone("move_mini", path)
    assert torch.equal(loaded(IMAGES).data, source(IMAGES).data)
    assert loaded.weights_info.source == "move.pth"
    assert loaded.weights_info.sha256 == file_sha256(path)
    assert not loaded.training
    assert not any(parameter.requires_grad for parameter in loaded.extractor.parameters())
    assert all(parameter.requires_grad for parameter in loaded.head.parameters())


def test_an_official_file_without_its_extractor_takes_dinos(tmp_path, source):
    torch.save(official(source.state_dict(), extractor=False), tmp_path / "move.pth")
    loaded = build_backbone("move_mini", tmp_path / "move.pth")
    expected = copy.deepcopy(source)
    expected.extractor = build_backbone("dino_mini_1")
    assert torch.equal(loaded(IMAGES).data, expected(IMAGES).data)
    assert not torch.equal(loaded(IMAGES).data, source(IMAGES).data)
    assert loaded.weights_info.source == "move.pth + dino_mini_1.safetensors"


def test_what_training_changed_is_a_file_that_loads(tmp_path, source):
    trained = source.trained_state()
    assert {name.split(".")[0] for name in trained} == {"norm", "head"}
    safetensors.torch.save_file(trained, tmp_path / "head.safetensors")
    loaded = build_backbone("move_mini", tmp_path / "head.safetensors")
    state = loaded.state_dict()
    assert all(torch.equal(state[name], value) for name, value in trained.items())
    frozen = safetensors.torch.load_file(DINO_MINI_1)
    assert all(torch.equal(state["extractor." + name], v.float()) for name, v in frozen.items())


def test_the_hash_follows_the_tensors_where_two_files_were_read(tmp_path, source):
    for seed, name in enumerate(("a.safetensors", "b.safetensors")):
        trained = {k: v + seed for k, v in source.trained_state().items()}
        safetensors.torch.save_file(trained, tmp_path / name)
    first, second = (
        build_backbone("move_mini", tmp_path / n).weights_info.sha256
        for n in ("a.safetensors", "b.safetensors")
    )
    assert first != second
    assert first == build_backbone("move_mini", tmp_path / "a.safetensors").weights_info.sha256


def test_the_extractor_of_move_vits8_comes_from_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with torch.device("meta"):
        segmenter = BACKBONES["move_vits8"].build()
    shapes = {name: value.shape for name, value in segmenter.state_dict().items()}
    head = {name: torch.zeros(s) for name, s in shapes.items() if not name.startswith("extractor.")}
    frozen = {
        name.removeprefix("extractor."): torch.full(shape, 0.5, dtype=torch.float16)
        for name, shape in shapes.items()
        if name.startswith("extractor.")
    }
    safetensors.torch.save_file(head, tmp_path / "head.safetensors")
    (tmp_path / "hub/checkpoints").mkdir(parents=True)
    torch.save(frozen, tmp_path / "hub/checkpoints/dino_deitsmall8_pretrain.pth")
    loaded = build_backbone("move_vits8", tmp_path / "head.safetensors")
    assert loaded.weights_info.source == "head.safetensors + dino_deitsmall8_pretrain.pth"
    assert all((parameter == 0.5).all() for parameter in loaded.extractor.parameters())


def test_an_extractor_that_cannot_be_had_is_named(tmp_path, source, monkeypatch):
    def fetch(url, by):
        raise UserError(f"cannot fetch {url}")

    monkeypatch.setattr("boxrefine_d2.networks.build.fetch", fetch)
    torch.save(source.trained_state(), tmp_path / "head.pth")
    with pytest.raises(UserError, match=r"head\.pth holds only a head.*dino_deitsmall8_pretrain"):
        build_backbone("move_vits8", tmp_path / "head.pth")


@pytest.mark.parametrize("name", ["move_mini", "move_vits8"])
def test_without_weights_the_remedy_is_named(name):
    with pytest.raises(UserError, match=f"{name} has no weights.*train it.*--weights FILE.*random"):
        build_backbone(name)


def test_foreign_files_are_refused(tmp_path, source):
    with pytest.raises(UserError, match=r"dino_mini_1\.safetensors is not of move_mini.*missing"):
        build_backbone("move_mini", DINO_MINI_1)
    deeper = MoveSegmenter(source.extractor, head="conv_blockd2_minc32", block=-2)
    torch.save(deeper.state_dict(), tmp_path / "deeper.pth")
    with pytest.raises(UserError, match=r"unknown \(first: head\.0\.4\.weight\)"):
        build_backbone("move_mini", tmp_path / "deeper.pth")


def test_random_weights_are_the_seed(source):
    first, again, other = (build_backbone("move_mini", f"random:{seed}") for seed in (3, 3, 4))
    with torch.no_grad():
        assert torch.equal(first(IMAGES).data, again(IMAGES).data)
        assert not torch.equal(first(IMAGES).data, other(IMAGES).data)
