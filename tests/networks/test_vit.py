"""The ViT against the official DINO forward pass, written here from its description."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from boxrefine_d2.networks import BACKBONES, build_backbone
from boxrefine_d2.networks.vit import DinoTransformer, VisionTransformer

SIZES = [(224, 224), (112, 448), (48, 80), (176, 304), (336, 208)]


def tiny_vit(patch_size=16) -> VisionTransformer:
    torch.manual_seed(0)
    vit = DinoTransformer(patch_size=patch_size, dim=24, depth=3, num_heads=4).eval()
    for parameter in vit.parameters():  # away from the special values of an initialisation
        torch.nn.init.normal_(parameter, std=0.2)
    return vit


def cubic(t: float) -> float:
    """Return Keys' kernel with the coefficient -0.75."""
    a, t = -0.75, abs(t)
    if t < 1:
        return (a + 2) * t**3 - (a + 3) * t**2 + 1
    if t < 2:
        return a * t**3 - 5 * a * t**2 + 8 * a * t - 4 * a
    return 0.0


def interpolation_matrix(cells: int, side: int) -> torch.Tensor:
    """Return the weights of sampling at (i + 0.5) * side / (cells + 0.1) - 0.5, (cells, side).

    Borders are repeated.
    """
    weights = torch.zeros(cells, side, dtype=torch.float64)
    for i in range(cells):
        x = (i + 0.5) * side / (cells + 0.1) - 0.5
        for tap in range(math.floor(x) - 1, math.floor(x) + 3):
            weights[i, min(max(tap, 0), side - 1)] += cubic(x - tap)
    return weights


def official_forward(state: dict[str, torch.Tensor], images, patch, heads, depth):
    """Return q, k, v of the last block and the output, float64, with written-out attention."""
    s = {name: value.double() for name, value in state.items()}
    dim, side = s["cls_token"].shape[2], 224 // patch
    batch, _, height, width = images.shape
    h, w = height // patch, width // patch
    cut = images.double().unfold(2, patch, patch).unfold(3, patch, patch)
    patches = cut.permute(0, 2, 3, 1, 4, 5).reshape(batch, h * w, -1)
    kernel = s["patch_embed.proj.weight"].reshape(dim, -1)
    x = patches @ kernel.T + s["patch_embed.proj.bias"]
    x = torch.cat([s["cls_token"].expand(batch, -1, -1), x], dim=1)
    position = s["pos_embed"]
    if not (h * w == side * side and height == width):
        table = position[0, 1:].reshape(side, side, dim)
        rows, columns = interpolation_matrix(h, side), interpolation_matrix(w, side)
        resized = torch.einsum("is,jt,std->ijd", rows, columns, table).reshape(1, h * w, dim)
        position = torch.cat([position[:, :1], resized], dim=1)
    x = x + position

    def norm(tokens, name):
        return F.layer_norm(tokens, (dim,), s[name + ".weight"], s[name + ".bias"], 1e-6)

    for i in range(depth):
        name = f"blocks.{i}."
        qkv = norm(x, name + "norm1") @ s[name + "attn.qkv.weight"].T + s[name + "attn.qkv.bias"]
        q, k, v = qkv.split(dim, dim=2)
        outputs = []
        for head in range(heads):
            part = slice(head * dim // heads, (head + 1) * dim // heads)
            scaled = q[..., part] @ k[..., part].transpose(1, 2) / math.sqrt(dim / heads)
            outputs.append(scaled.softmax(dim=2) @ v[..., part])
        attended = torch.cat(outputs, dim=2)
        x = x + attended @ s[name + "attn.proj.weight"].T + s[name + "attn.proj.bias"]
        hidden = norm(x, name + "norm2") @ s[name + "mlp.fc1.weight"].T + s[name + "mlp.fc1.bias"]
        hidden = 0.5 * hidden * (1 + torch.erf(hidden / math.sqrt(2)))
        x = x + hidden @ s[name + "mlp.fc2.weight"].T + s[name + "mlp.fc2.bias"]
    return q, k, v, norm(x, "norm")


@pytest.mark.parametrize("size", SIZES)
def test_every_facet_equals_the_official_forward(size):
    vit = tiny_vit()
    images = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1))
    q, k, v, out = (t.float() for t in official_forward(vit.state_dict(), images, 16, 4, 3))
    expected = {"query": q, "key": k, "value": v, "kqv": torch.cat([k, q, v], 2), "output": out}
    of_heads = [(a[:, :1] * b).sum(dim=2) / 6**0.5 for a, b in zip(q.split(6, 2), k.split(6, 2))]
    expected["attention"] = torch.stack(of_heads, dim=2).softmax(dim=1)
    with torch.no_grad():
        for facet, tokens in expected.items():
            features = vit(images, facet)
            assert features.grid_size == (size[0] // 16, size[1] // 16)
            assert_close(features.tokens(), tokens[:, 1:], atol=1e-5, rtol=1e-5)
        last = vit.forward_last_block(images)
    assert_close(last.qkv, torch.stack([q, k, v], dim=1), atol=1e-5, rtol=1e-5)
    assert_close(last.cls, out[:, 0], atol=1e-5, rtol=1e-5)
    assert_close(vit.key_map(last).tokens(), k[:, 1:], atol=1e-5, rtol=1e-5)


def test_patch_8_equals_the_official_forward():
    vit = tiny_vit(patch_size=8)
    images = torch.randn(1, 3, 72, 40, generator=torch.Generator().manual_seed(1))
    _, k, _, _ = official_forward(vit.state_dict(), images, 8, 4, 3)
    with torch.no_grad():
        assert_close(vit(images).tokens(), k[:, 1:].float(), atol=1e-5, rtol=1e-5)


def test_position_table_is_used_as_it_is_only_at_224_square():
    vit = tiny_vit()
    assert vit.position_embedding((14, 14)) is vit.pos_embed
    assert not torch.equal(vit.position_embedding((7, 28))[:, 1:], vit.pos_embed[:, 1:])


def test_a_batch_gives_what_each_image_gives():
    vit = tiny_vit()
    images = torch.randn(3, 3, 64, 96, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        together = vit(images).data
        alone = torch.cat([vit(image[None]).data for image in images])
    assert_close(together, alone, atol=1e-5, rtol=1e-5)


def test_gradient_reaches_all_but_what_lies_behind_the_keys():
    vit = tiny_vit()
    vit(torch.randn(1, 3, 32, 48)).data.sum().backward()
    idle = {name for name, p in vit.named_parameters() if p.grad is None}
    behind = ("attn.proj", "norm2", "mlp.fc1", "mlp.fc2")
    assert idle == {
        *(f"blocks.2.{part}.{kind}" for part in behind for kind in ("weight", "bias")),
        "norm.weight",
        "norm.bias",
    }


def test_golden_keys_of_dino_mini():
    """Compare with stored numbers of this code, to detect a change of network or weights."""
    features = build_backbone("dino_mini", "random:0")(
        torch.linspace(-1, 1, 3 * 32 * 48).view(1, 3, 32, 48)
    )
    assert features.data.shape == (1, 192, 2, 3)
    assert_close(features.data[0, :3, 1, 2], GOLDEN, atol=1e-5, rtol=1e-5)


GOLDEN = torch.tensor([-0.158437699, 0.028504975, 0.295666844])


@pytest.mark.parametrize("name", [name for name in BACKBONES if name.startswith("dino_vit")])
def test_official_shapes(name):
    """Check names and shapes of the official files: 12 blocks, 150 tensors, a 224 x 224 table."""
    with torch.device("meta"):
        state = BACKBONES[name].build().state_dict()
    dim, patch = (
        (384 if "vits" in name else 768),
        int(name.removeprefix("dino_vits").removeprefix("dino_vitb")),
    )
    assert len(state) == 6 + 12 * 12
    assert state["pos_embed"].shape == (1, 1 + (224 // patch) ** 2, dim)
    assert state["patch_embed.proj.weight"].shape == (dim, 3, patch, patch)
    assert state["blocks.11.attn.qkv.weight"].shape == (3 * dim, dim)
    assert state["blocks.11.mlp.fc1.weight"].shape == (4 * dim, dim)


def test_mistakes_are_named():
    vit = tiny_vit()
    with pytest.raises(ValueError, match="unknown facet 'keys'; known: key, query"):
        vit(torch.zeros(1, 3, 32, 32), "keys")
    with pytest.raises(ValueError, match="33 x 32 is not a multiple of the patch"):
        vit(torch.zeros(1, 3, 33, 32))
