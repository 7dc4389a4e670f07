"""Relevance maps against the rule, computed by the library's own forward pass and autograd."""

import pytest
import torch
import torch.nn.functional as F

from boxrefine_d2.errors import UserError
from boxrefine_d2.language import relevance_maps

PHRASES = ["a red bird", "a dog", "grass"]


def by_autograd(clip, image, text, start):
    """Return the relevance of one pair, with every matrix in full, as in the papers' code."""
    model = clip.model
    implementation = model.config._attn_implementation
    model.set_attn_implementation("eager")
    pixels = clip.resized(
        image[None]
    ).requires_grad_()  # without it the library records no gradient
    output = model.vision_model(pixel_values=pixels, output_attentions=True)
    model.set_attn_implementation(implementation)
    feature = F.normalize(model.visual_projection(output.pooler_output), dim=1)
    logit = model.logit_scale.exp() * (feature @ text)
    used = output.attentions[start:]
    relevance = torch.eye(used[0].shape[-1])
    for attention, gradient in zip(used, torch.autograd.grad(logit, used), strict=True):
        weight = (gradient * attention)[0].clamp(min=0).mean(dim=0)
        relevance = relevance + weight @ relevance
    low = relevance[0, 1:].reshape(1, 1, 4, 4)
    map_ = F.interpolate(low, size=(32, 32), mode="bilinear", align_corners=False)[0, 0]
    return (map_ - map_.min()) / (map_.max() - map_.min())


@pytest.mark.parametrize("start", [0, 1])
def test_equals_autograd_through_the_library(clip, images, start):
    text = clip.encode_text(PHRASES)
    pairs = [(0, 0), (0, 1), (2, 2), (1, 0)]
    found = relevance_maps(
        clip, images, text[[p for _, p in pairs]], [i for i, _ in pairs], start_layer=start
    )
    expected = torch.stack([by_autograd(clip, images[i], text[p], start) for i, p in pairs])
    torch.testing.assert_close(found, expected.detach(), atol=1e-5, rtol=0)


def test_the_last_layer_alone_is_the_row_of_cls(clip, images):
    text = clip.encode_text(PHRASES)
    torch.testing.assert_close(
        relevance_maps(clip, images, text), relevance_maps(clip, images, text, start_layer=1)
    )


def test_maps_are_in_0_1_and_touch_both_and_need_no_gradient(clip, images):
    with torch.no_grad():
        maps = relevance_maps(clip, images, clip.encode_text(PHRASES))
    assert maps.shape == (3, 32, 32) and not maps.requires_grad
    assert maps.amin(dim=(1, 2)).tolist() == [0, 0, 0]
    assert maps.amax(dim=(1, 2)).tolist() == [1, 1, 1]


def test_a_constant_map_is_zero(clip, images):
    """Check a text that is orthogonal to all images and has no gradient."""
    maps = relevance_maps(clip, images[:1], torch.zeros(1, clip.dim))
    assert maps.eq(0).all()


def test_no_pair_is_no_map(clip, images):
    assert relevance_maps(clip, images, torch.zeros(0, clip.dim), []).shape == (0, 32, 32)


def test_a_layer_that_there_is_not_is_named(clip, images):
    with pytest.raises(UserError, match="start layer 2: the image tower has layers 0 to 1"):
        relevance_maps(clip, images, clip.encode_text(PHRASES), start_layer=2)
