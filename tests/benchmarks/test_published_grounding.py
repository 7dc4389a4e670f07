"""The baselines of phrase grounding compute the same results as the package.

The networks have a few thousand parameters.
"""

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
    """Return a g whose batch norms have the images' statistics; otherwise heatmaps are flat."""
    network = tiny_heatmap()
    text = torch.randn(3, network.text_dim, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        for _ in range(50):
            network(random_images(), nn.functional.normalize(text, dim=1))
    return network.eval()


def random_images():
    """Return three images, (3, 3, S, S) in [-1, 1]."""
    return torch.rand(3, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0)) * 2 - 1


def smooth(seed, side=76):
    """Return a heatmap with some blobs, (side, side) in (0, 1)."""
    noise = torch.randn(1, 1, 6, 6, generator=torch.Generator().manual_seed(seed))
    large = nn.functional.interpolate(3 * noise, size=(side, side), mode="bicubic")
    return large[0, 0].sigmoid()


def test_relevance_of_single_pairs_equals_that_of_the_batch(clip):
    model = copy.deepcopy(clip.model).requires_grad_()
    model.set_attn_implementation("eager")
    pairs = [(0, "image of a dog"), (0, "image of two red birds"), (2, "image of grass")]
    images = nn.functional.interpolate(random_images(), size=(40, 48))  # resized to 32 x 32
    text = clip.encode_text([phrase for _, phrase in pairs])
    maps = relevance_maps(clip, images, text, [i for i, _ in pairs])
    for map_, (i, phrase) in zip(maps, pairs, strict=True):
        expected = published_grounding.relevance_map(model, clip.tokenizer, images[i], phrase)
        assert_close(map_, expected, atol=1e-5, rtol=0)
    assert (maps[0] - maps[1]).abs().max() > 0.01  # the phrase changes the map


@torch.no_grad()
def test_a_text_padded_to_the_whole_context_has_the_same_embedding(clip):
    phrases = [phrase for phrasings in ENTITIES for phrase in phrasings]
    alone = [published_grounding.text_embedding(clip.model, clip.tokenizer, p) for p in phrases]
    assert_close(clip.encode_text(phrases), torch.cat(alone), atol=1e-6, rtol=1e-5)


@torch.no_grad()
def test_a_complete_g_per_phrase_draws_the_heatmaps_of_shared_features(clip, network):
    image = random_images()[1]
    phrases = [phrase for phrasings in ENTITIES for phrase in phrasings]
    text = clip.encode_text(phrases)
    heatmaps = network(image[None], text, [0] * len(phrases))[:, 0]
    expected = [published_grounding.draw_heatmap(network, image, row[None]) for row in text]
    np.testing.assert_allclose(heatmaps, expected, atol=1e-6)
    assert all(heatmap.max() - heatmap.min() > 0.01 for heatmap in expected)
    assert np.abs(expected[0] - expected[3]).max() > 1e-3  # the phrase changes the heatmap


@pytest.mark.parametrize("seed", range(10))
def test_boxes_and_scores_equal_those_of_the_rule(seed):
    heatmap = smooth(seed)
    expected = published_grounding.boxes_of(heatmap.numpy())
    (ours,) = found_in_heatmaps(heatmap[None], release_rule(), heatmap.shape)
    np.testing.assert_allclose(ours.boxes, expected[:, :4], atol=1e-3)
    assert ours.score == pytest.approx(expected[0, 4])
    assert ours.point == published_grounding.brightest_pixel(heatmap.numpy(), heatmap.shape)


def test_the_cases_have_different_boxes_and_some_have_several():
    boxes = [published_grounding.boxes_of(smooth(seed).numpy())[:, :4] for seed in range(10)]
    assert max(map(len, boxes)) > 1
    assert len({tuple(box) for of_heatmap in boxes for box in of_heatmap}) > 10


@pytest.mark.parametrize("value", [0.0, 0.7])
def test_a_constant_heatmap_has_the_two_boxes_of_one_pixel(value):
    boxes = published_grounding.boxes_of(np.full((SIDE, SIDE), value, np.float32))
    assert boxes.tolist() == [[0, 0, 1, 1, 0]] * 2


@torch.no_grad()
def test_an_entity_has_the_points_and_boxes_of_its_averaged_heatmap(clip, network):
    image, agreement = random_images()[0], Agreement()
    features = network.read(image[None])

    def draw(number, phrases):
        image_features = features[number : number + 1]
        return network.draw_phrases(image_features, clip.encode_text(phrases), (SIDE, SIDE))

    (heatmaps,) = averaged_heatmaps([ENTITIES], draw)
    localisations = found_in_heatmaps(heatmaps, release_rule(), SIZE)
    parts = (network, clip.model, clip.tokenizer, image)
    answers = [published_grounding.answer(*parts, phrasings, SIZE) for phrasings in ENTITIES]
    for entity in zip(answers, heatmaps, localisations, strict=True):
        agreement.add(*entity)
    assert agreement.failures() == [] and agreement.entities == agreement.points == len(ENTITIES)
    assert agreement.least_iou == pytest.approx(1)
    agreement.add(answers[0], heatmaps[1] + 1, localisations[0])
    assert agreement.failures() == ["heatmaps differ by more than 1e-05"]


def test_each_difference_is_reported():
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
