"""Attention by rows, and the cases in which it replaces the fused kernel."""

import pytest
import torch
import torch.nn.functional as F

from boxrefine_d2.networks import attention
from boxrefine_d2.networks.attention import ROWS, FasterAttention, attention_by_rows
from boxrefine_d2.networks.timm_vit import TimmTransformer
from boxrefine_d2.networks.vit import DinoTransformer, resize_by_scale


def qkv(tokens, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    parts = torch.randn(3, 2, 3, tokens, 8, generator=generator).to(dtype)
    return parts.unbind(0)


@pytest.fixture
def calls(monkeypatch):
    """Return a list of the number of tokens of each attention by rows."""
    seen = []

    def recorded(query, key, value):
        seen.append(query.shape[2])
        return attention_by_rows(query, key, value)

    monkeypatch.setattr(attention, "attention_by_rows", recorded)
    return seen


@pytest.fixture(params=[False, True], ids=["without AMX", "with AMX"])
def amx(request, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": request.param})
    return request.param


@pytest.mark.parametrize("tokens", [1, ROWS - 1, ROWS, 2 * ROWS + 5])
def test_rows_give_what_the_fused_kernel_does(tokens):
    parts = qkv(tokens)
    expected = F.scaled_dot_product_attention(*parts)
    torch.testing.assert_close(attention_by_rows(*parts), expected, atol=1e-6, rtol=1e-5)


def test_only_bfloat16_without_amx_goes_by_rows(calls, amx):
    with FasterAttention():
        F.scaled_dot_product_attention(*qkv(5))
        assert calls == []
        F.scaled_dot_product_attention(*qkv(5, torch.bfloat16))
        assert calls == ([] if amx else [5])
    F.scaled_dot_product_attention(*qkv(5, torch.bfloat16))
    assert len(calls) == (not amx)


def test_masks_and_gradients_are_left_to_the_fused_kernel(calls, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    query, key, value = qkv(5, torch.bfloat16)
    mask = torch.ones(5, 5, dtype=torch.bool).tril()
    with FasterAttention():
        masked = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        causal = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        learning = F.scaled_dot_product_attention(query.clone().requires_grad_(), key, value)
    assert calls == [] and torch.equal(masked, causal) and learning.requires_grad


@pytest.mark.parametrize(
    "make",
    [
        lambda: DinoTransformer(patch_size=16, dim=24, depth=3, num_heads=3),
        lambda: TimmTransformer("vit_tiny_patch16_224", resize=resize_by_scale),
    ],
    ids=["DINO", "timm"],
)
def test_transformers_read_as_before(make, calls, monkeypatch):
    torch.manual_seed(0)
    network = make().eval().bfloat16()
    images = torch.randn(2, 3, 48, 64)
    found = []
    for amx in (True, False):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda amx=amx: {"amx_bf16": amx})
        with torch.no_grad():
            found.append(network(images).data)
    assert len(calls) == len(network.blocks) - 1  # only keys are read in the last block
    fused, by_rows = found
    assert F.cosine_similarity(fused, by_rows, dim=1).min() > 0.999
