"""Networks of timm's blocks against the official forward pass, written from its description."""

import copy

import pytest
import torch
from torch.testing import assert_close

from boxrefine_d2.networks.presets import PRESETS
from boxrefine_d2.networks.timm_vit import TimmTransformer
from boxrefine_d2.networks.vit import resize_by_scale, resize_to_size

from .official_transformers import official_forward, random_state

# preset -> arguments of the official forward pass
OFFICIAL = {
    "dinov2_vits14": {"patch": 14, "heads": 6, "eps": 1e-6},
    "dinov2_vits14_reg": {"patch": 14, "heads": 6, "eps": 1e-6, "antialiased": True},
    "dinov3_vits16": {"patch": 16, "heads": 6, "eps": 1e-5},
}


def filled(name: str) -> tuple[TimmTransformer, dict[str, torch.Tensor]]:
    """Return a preset's network with random numbers, and the same numbers as an official file."""
    state = random_state(name)
    network = PRESETS[name].build().eval()
    network.load_state_dict(PRESETS[name].our_names(state))
    return network, state


@pytest.fixture(scope="module", params=list(OFFICIAL))
def case(request):
    return request.param, *filled(request.param)


def images_of(name: str, h: int, w: int, batch: int = 2) -> torch.Tensor:
    patch = OFFICIAL[name]["patch"]
    return torch.randn(
        batch, 3, h * patch, w * patch, generator=torch.Generator().manual_seed(h + 100 * w)
    )


@pytest.mark.parametrize("grid", [(3, 5), (7, 4)])
def test_every_facet_equals_the_official_forward(case, grid):
    name, network, state = case
    images = images_of(name, *grid)
    q, k, v, *rest = (t.float() for t in official_forward(state, images, **OFFICIAL[name]))
    expected = {"query": q, "key": k, "value": v, "kqv": torch.cat([k, q, v], 2)}
    expected |= dict(zip(("output", "attention"), rest, strict=True))
    assert set(expected) == set(network.facets)
    with torch.no_grad():
        for facet, tokens in expected.items():
            features = network(images, facet)
            assert features.grid_size == grid
            assert features.stride == OFFICIAL[name]["patch"]
            assert_close(features.tokens(), tokens, atol=1e-4, rtol=1e-4)


def test_facets_equal_a_hook_on_the_qkv_layer(case):
    name, network, _ = case
    images = images_of(name, 4, 3)
    seen = []
    handle = network.blocks[-1].attn.qkv.register_forward_hook(lambda *args: seen.append(args[2]))
    with torch.no_grad():
        network(images, "output")
        handle.remove()
        query, key, value = seen[0][:, network.prefix_tokens :].chunk(3, dim=2)
        for facet, tokens in {"query": query, "key": key, "value": value}.items():
            assert_close(network(images, facet).tokens(), tokens, atol=1e-5, rtol=1e-5)


def test_prefix_tokens_are_counted_and_dropped(case):
    """Check that the last block alone maps each patch to its own cell.

    A planted patch changes only its own cell. Planted CLS and registers change no cell.
    """
    name, network, _ = case
    assert network.prefix_tokens == (1 if name == "dinov2_vits14" else 5)
    blocks, network.blocks = network.blocks, network.blocks[-1:]
    images = images_of(name, 3, 4, batch=1)
    patch = network.stride
    planted = images.clone()
    planted[:, :, patch : 2 * patch, 2 * patch : 3 * patch] += 5
    state = {key: value.clone() for key, value in network.state_dict().items()}
    try:
        with torch.no_grad():
            before = network(images).data
            after = network(planted).data
            for token in (network.cls_token, network.register_tokens):
                if token is not None:
                    token.add_(100)
            replaced = network(images).data
    finally:
        network.load_state_dict(state)
        network.blocks = blocks
    changed = (before - after).abs().amax(dim=1)[0] > 1e-3
    assert changed.nonzero().tolist() == [[1, 2]]
    assert before.shape[2:] == (3, 4)
    assert torch.equal(replaced, before)


def test_planted_prefix_tokens_do_reach_the_patches_through_attention(case):
    name, network, _ = case
    images = images_of(name, 3, 3, batch=1)
    token = network.cls_token if network.register_tokens is None else network.register_tokens
    with torch.no_grad():
        before, kept = network(images).data, token.clone()
        token.normal_(generator=torch.Generator().manual_seed(5))
        after = network(images).data
        token.copy_(kept)
    assert not torch.allclose(before, after, atol=1e-3)


def test_the_last_block_holds_what_refinement_reads(case):
    name, network, _ = case
    images = images_of(name, 3, 5)
    with torch.no_grad():
        last = network.forward_last_block(images)
        assert last.grid_size == (3, 5)
        assert last.qkv.shape == (2, 3, 1 + 15, 384)  # CLS and patches
        assert_close(network.key_map(last).data, network(images).data, atol=1e-5, rtol=1e-5)
        tokens, rotation, _ = network._embed(images)
        for block in network.blocks:
            tokens = block(tokens) if rotation is None else block(tokens, rope=rotation)
        assert_close(last.cls, network.norm(tokens)[:, 0], atol=1e-5, rtol=1e-5)


def test_gradient_reaches_all_but_what_lies_behind_the_keys(case):
    name, network, _ = case
    network.zero_grad()
    network(images_of(name, 2, 3)).data.square().sum().backward()
    idle = {key for key, p in network.named_parameters() if p.grad is None}
    assert all(key.startswith(("blocks.11.", "norm.")) for key in idle)
    assert not any("qkv" in key or "norm1" in key for key in idle)
    assert any("attn.proj" in key for key in idle)


def test_a_batch_gives_what_each_image_gives(case):
    name, network, _ = case
    images = images_of(name, 2, 5, batch=3)
    with torch.no_grad():
        alone = torch.cat([network(image[None], "output").data for image in images])
        assert_close(network(images, "output").data, alone, atol=1e-4, rtol=1e-4)


def test_bf16_runs_and_gives_float32_maps(case):
    name, network, _ = case
    images = images_of(name, 3, 3)
    with torch.no_grad():
        expected = network(images).data
        rounded = copy.deepcopy(network).to(torch.bfloat16)(images).data
    assert rounded.dtype == torch.float32
    assert (rounded - expected).norm() / expected.norm() < 0.05


def test_the_table_of_its_own_size_is_used_as_it_is():
    with torch.device("meta"):
        network = PRESETS["dinov2_vits14"].build()
    assert network.position_embedding((37, 37)) is network.pos_embed


def test_the_two_ways_to_resize_a_table_differ():
    table = torch.randn(1, 3, 37, 37, generator=torch.Generator().manual_seed(0))
    for grid in ((20, 45), (50, 50)):
        one, other = resize_by_scale(table, grid), resize_to_size(table, grid)
        assert one.shape == other.shape == (1, 3, *grid)
        assert (one - other).norm() / one.norm() > 0.02


def test_image_sizes_and_mistakes(case):
    name, network, _ = case
    images = images_of(name, 2, 2, batch=1)
    patch = network.stride
    assert network(images).image_sizes == [(2 * patch, 2 * patch)]
    assert network(images, image_sizes=[(patch + 1, 2 * patch)]).image_sizes == [
        (patch + 1, 2 * patch)
    ]
    with pytest.raises(ValueError, match="unknown facet 'keys'; known: key, query"):
        network(images, "keys")
    with pytest.raises(ValueError, match=f"not a multiple of the patch, {patch} pixels"):
        network(images[..., :-1])
