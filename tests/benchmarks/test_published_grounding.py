"""The baselines of phrase grounding compute what the package computes, on networks of a few thousand parameters."""

import copy

import numpy as np
import published_grounding
import pytest
import torch
from grounding_eval import Agreement, release_rule
from torch import nn
from torch.testing import assert_close

from boxrefine_d2.grounding.queries import averaged_heatmaps, found_in_heatmaps
from boxrefine_d2.language import relevance_maps

SIDE, SIZE = 32, (48, 64)
ENTITIES = [["image of a dog", "image of the dog"], ["image of grass"], ["image of two red birds"]]


@pytest.fixture(scope="module")
def network(tiny_heatmap):
    """Batch norms know the images, or the heatmap is flat."""
    network = tiny_heatmap()
    text = torch.randn(3, network.text_dim, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        for _ in range(50):
            network(pictures(), nn.functional.normalize(text, dim=1))
    return network.eval()


def pictures():
    """(3, 3, S, S) in [-1, 1]."""
    return torch.rand(3, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0)) * 2 - 1


def smooth(seed, side=76):
    """A heatmap with some blobs."""
    noise = torch.randn(1, 1, 6, 6, generator=torch.Generator().manual_seed(seed))
    large = nn.functional.interpolate(3 * noise, size=(side, side), mode="bicubic")
    return large[0, 0].sigmoid()


def test_one_pair_at_a_time_has_the_relevance_of_all_together(clip):
    model = copy.deepcopy(clip.model).requires_grad_()
    model.set_attn_implementation("eager")
    pairs = [(0, "image of a dog"), (0, "image of two red birds"), (2, "image of grass")]
    images = nn.functional.interpolate(pictures(), size=(40, 48))  # resized to 32 x 32
    text = clip.encode_text([phrase for _, phrase in pairs])
    found = relevance_maps(clip, images, text, [i for i, _ in pairs])
    for map_, (i, phrase) in zip(found, pairs, strict=True):
        expected = published_grounding.relevance_map(model, clip.tokenizer, images[i], phrase)
        assert_close(map_, expected, atol=1e-5, rtol=0)
    assert (found[0] - found[1]).abs().max() > 0.01  # phrases count


@torch.no_grad()
def test_a_text_padded_to_the_whole_context_is_the_same(clip):
    phrases = [phrase for of in ENTITIES for phrase in of]
    alone = [published_grounding.text_embedding(clip.model, clip.tokenizer, p) for p in phrases]
    assert_close(clip.encode_text(phrases), torch.cat(alone), atol=1e-6, rtol=1e-5)


@torch.no_grad()
def test_all_of_g_for_each_phrase_draws_what_is_drawn_from_shared_features(clip, network):
    image, phrases = pictures()[1], [phrase for of in ENTITIES for phrase in of]
    text = clip.encode_text(phrases)
    found = network(image[None], text, [0] * len(phrases))[:, 0]
    expected = [published_grounding.draw_heatmap(network, image, row[None]) for row in text]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert all(heatmap.max() - heatmap.min() > 0.01 for heatmap in expected)
    assert np.abs(expected[0] - expected[3]).max() > 1e-3  # phrases count


@pytest.mark.parametrize("seed", range(10))
def test_boxes_and_scores_are_those_of_the_rule(seed):
    heatmap = smooth(seed)
    expected = published_grounding.boxes_of(heatmap.numpy())
    (found,) = found_in_heatmaps(heatmap[None], release_rule(), heatmap.shape)
    np.testing.assert_allclose(found.boxes, expected[:, :4], atol=1e-3)
    assert found.score == pytest.approx(expected[0, 4])
    assert found.point == published_grounding.brightest_pixel(heatmap.numpy(), heatmap.shape)


def test_the_cases_have_several_boxes_or_one_that_is_not_the_whole():
    boxes = [published_grounding.boxes_of(smooth(seed).numpy())[:, :4] for seed in range(10)]
    assert max(map(len, boxes)) > 1
    assert len({tuple(box) for of in boxes for box in of}) > 10


@pytest.mark.parametrize("value", [0.0, 0.7])
def test_a_constant_heatmap_has_the_two_boxes_of_one_pixel(value):
    found = published_grounding.boxes_of(np.full((SIDE, SIDE), value, np.float32))
    assert found.tolist() == [[0, 0, 1, 1, 0]] * 2


@torch.no_grad()
def test_an_entity_has_the_points_and_boxes_of_its_averaged_heatmap(clip, network):
    image, agreement = pictures()[0], Agreement()
    features = network.read(image[None])

    def draw(number, phrases):
        of_image = features[number : number + 1]
        return network.draw_phrases(of_image, clip.encode_text(phrases), (SIDE, SIDE))

    (heatmaps,) = averaged_heatmaps([ENTITIES], draw)
    found = found_in_heatmaps(heatmaps, release_rule(), SIZE)
    parts = (network, clip.model, clip.tokenizer, image)
    answers = [published_grounding.answer(*parts, phrasings, SIZE) for phrasings in ENTITIES]
    for of_entity in zip(answers, heatmaps, found, strict=True):
        agreement.add(*of_entity)
    assert agreement.failures() == [] and agreement.entities == agreement.points == len(ENTITIES)
    assert agreement.least_iou == pytest.approx(1)
    agreement.add(answers[0], heatmaps[1] + 1, found[0])
    assert agreement.failures() == ["heatmaps differ by more than 1e-05"]


def test_what_differs_is_named():
    heatmap = smooth(0)
    rule = release_rule()
    boxes = published_grounding.boxes_of(heatmap.numpy())[:, :4]
    answer = published_grounding.Answer(heatmap.numpy(), (76, 76), (0, 0), boxes)
    (other,) = found_in_heatmaps(1 - heatmap[None], rule, (76, 76))
    agreement = Agreement()
    agreement.add(answer, heatmap, other)
    assert agreement.failures() == [
        "a point is darker by more than 1e-05",
        "the IoU of a box is below 0.93",
    ]
