"""The inpainter: MAE's names and pixel layout, written out here, and MOVE's soft hiding."""

import math
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch.testing import assert_close

from boxrefine_d2.errors import UserError
from boxrefine_d2.pretraining import mae
from boxrefine_d2.pretraining.mae import INPAINTERS, Inpainter, build_inpainter, sinusoids

SMALL = {
    "image_size": 12,
    "patch_size": 4,
    "dim": 8,
    "depth": 2,
    "num_heads": 2,
    "decoder_dim": 12,
    "decoder_depth": 1,
    "decoder_heads": 3,
}
BLOCK = [
    f"{layer}.{kind}"
    for layer in ("norm1", "attn.qkv", "attn.proj", "norm2", "mlp.fc1", "mlp.fc2")
    for kind in ("weight", "bias")
]
OFFICIAL_NAMES = {
    "cls_token",
    "pos_embed",
    "mask_token",
    "decoder_pos_embed",
    *(
        f"{layer}.{kind}"
        for layer in ("patch_embed.proj", "norm", "decoder_embed", "decoder_norm", "decoder_pred")
        for kind in ("weight", "bias")
    ),
    *(f"blocks.{i}.{name}" for i in range(2) for name in BLOCK),
    *(f"decoder_blocks.0.{name}" for name in BLOCK),
}
IMAGES = torch.randn(2, 3, 12, 12, generator=torch.Generator().manual_seed(3))


@pytest.fixture
def small(monkeypatch) -> Inpainter:
    """Return a small inpainter under the official name; all numbers differ from initial ones."""
    spec = replace(INPAINTERS["mae_vitl16"], build=partial(Inpainter, **SMALL))
    monkeypatch.setitem(mae.INPAINTERS, "mae_vitl16", spec)
    inpainter = build_inpainter("mae_vitl16", "random:1")
    generator = torch.Generator().manual_seed(2)
    for value in inpainter.state_dict().values():
        value.normal_(std=0.3, generator=generator)
    return inpainter.requires_grad_(False)


def test_a_file_in_official_naming_loads(small, tmp_path):
    state = small.state_dict()
    assert set(state) == OFFICIAL_NAMES
    path = tmp_path / "mae_visualize_vit_large_ganloss.pth"
    torch.save({"model": state}, path)
    loaded = build_inpainter("mae_vitl16", str(path))
    assert loaded.weights_info.source == path.name
    assert_close(loaded(IMAGES), small(IMAGES))
    del state["mask_token"]
    torch.save({"model": state}, path)
    with pytest.raises(UserError, match=r"1 missing \(first: mask_token\)"):
        build_inpainter("mae_vitl16", str(path))


def test_the_official_inpainter_is_vit_large():
    with torch.device("meta"):
        network = INPAINTERS["mae_vitl16"].build()
    assert len(network.blocks) == 24 and len(network.decoder_blocks) == 8
    assert network.pos_embed.shape == (1, 197, 1024)
    assert network.decoder_pos_embed.shape == (1, 197, 512)
    assert network.decoder_pred.weight.shape == (768, 512)


def test_sinusoids_against_the_formula():
    side, dim = 3, 8
    table = sinusoids(side, dim)[0]
    assert table[0].tolist() == [0] * dim
    for row in range(side):
        for column in range(side):
            expected = []
            for place in (column, row):
                angles = [place / 10000 ** (i / 2) for i in range(2)]
                expected += [math.sin(a) for a in angles] + [math.cos(a) for a in angles]
            assert table[1 + row * side + column].tolist() == pytest.approx(expected, abs=1e-6)


def test_pixels_are_laid_out_as_in_mae(small):
    pixels = torch.arange(9 * 48.0).view(1, 9, 48)
    image = small.unpatchify(pixels)[0]
    for y, x, colour in ((0, 0, 0), (0, 3, 2), (5, 2, 1), (11, 11, 2), (7, 9, 0)):
        patch, inside = (y // 4) * 3 + x // 4, ((y % 4) * 4 + x % 4) * 3 + colour
        assert image[colour, y, x] == pixels[0, patch, inside]


def test_soft_hiding_interpolates_to_the_mask_token(small):
    everything = torch.ones(2, 9)
    assert_close(small(IMAGES, everything), small(IMAGES))
    embedded = small.decoder_embed(small.encode(IMAGES))
    kept = torch.rand(2, 9, generator=torch.Generator().manual_seed(4))
    by_hand = embedded.clone()
    for image in range(2):
        for patch in range(9):
            c = kept[image, patch]
            token = c * embedded[image, 1 + patch] + (1 - c) * small.mask_token[0, 0]
            by_hand[image, 1 + patch] = token
    assert_close(small.decode(embedded, kept), small.decode(by_hand))
    hidden = small.decode(embedded, 0 * everything)
    with_same_cls = embedded[:1].clone()
    with_same_cls[:, 1:] = 7.0
    assert_close(hidden[:1], small.decode(with_same_cls, 0 * everything[:1]))


def test_the_gradient_reaches_the_kept_shares(small):
    kept = torch.full((2, 9), 0.5, requires_grad=True)
    (gradient,) = torch.autograd.grad(small(IMAGES, kept).square().sum(), kept)
    assert gradient.count_nonzero() == 18


def test_hidden_patches_do_not_influence_the_painting(small):
    visible = torch.tensor([[4, 0, 7], [1, 2, 8]])
    painted = small.paint_hidden(IMAGES, visible)
    changed = IMAGES.clone()
    changed[0, :, 0:4, 4:8] += 1  # patch 1, hidden in the first image and visible in the second
    changed[1, :, 0:4, 4:8] += 1
    again = small.paint_hidden(changed, visible)
    assert_close(again[0], painted[0])
    assert (again[1] - painted[1]).abs().max() > 1e-3
    in_any_order = torch.randperm(9, generator=torch.Generator().manual_seed(0)).expand(2, 9)
    assert_close(small.paint_hidden(IMAGES, in_any_order), small(IMAGES))


@pytest.mark.parametrize(
    ("name", "weights", "message"),
    [
        ("mae_vitb16", "", "inpainter 'mae_vitb16' is unknown; known: mae_vitl16, mae_mini"),
        ("mae_mini", "", "train it with configs/pretrain/mae_mini.yaml"),
        ("mae_mini", "missing.pth", "no weights file at missing.pth"),
    ],
)
def test_mistakes(name, weights, message):
    with pytest.raises(UserError, match=message):
        build_inpainter(name, weights)


def test_another_size_is_refused(small):
    with pytest.raises(ValueError, match=r"reads \(12, 12\) pixels, not \(12, 16\)"):
        small(torch.zeros(1, 3, 12, 16))
