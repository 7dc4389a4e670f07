"""CLIP's answers are computed once, and equal its answers without a cache."""

import torch

from boxrefine_d2.language import phrase_targets, relevance_maps
from boxrefine_d2.language.phrase_targets import PhraseTargets


def test_what_comes_back_is_computed_once(clip, images, monkeypatch):
    calls = []
    compute = phrase_targets.relevance_grids
    monkeypatch.setattr(
        phrase_targets,
        "relevance_grids",
        lambda *a, **k: calls.append(len(a[1])) or compute(*a, **k),
    )
    targets = PhraseTargets(clip, start_layer=-1)
    phrases = ["a dog", "a cat", "a dog"]
    expected = relevance_maps(clip, images, clip.encode_text(phrases))
    first = targets.relevance(images, phrases, ["i", "j", "k"])
    again = targets.relevance(images, phrases, ["i", "j", "k"])
    torch.testing.assert_close(first, expected, atol=1e-5, rtol=0)
    assert again.equal(first) and calls == [1, 1, 1]
    # another phrase of a known image, and a known pair
    targets.relevance(images[:2], ["a cat", "a cat"], ["i", "j"])
    assert calls == [1, 1, 1, 1]


def test_images_that_do_not_come_back_are_computed_together(clip, images, monkeypatch):
    targets = PhraseTargets(clip, start_layer=0)
    phrases = ["a dog", "a cat", "grass"]
    expected = relevance_maps(clip, images, clip.encode_text(phrases), start_layer=0)
    torch.testing.assert_close(
        targets.relevance(images, phrases, ["i", None, "k"]), expected, atol=1e-6, rtol=0
    )
    torch.testing.assert_close(targets.relevance(images, phrases), expected, atol=1e-6, rtol=0)


def test_phrases_are_read_once(clip, monkeypatch):
    targets = PhraseTargets(clip, start_layer=-1)
    expected = clip.encode_text(["a dog", "a cat"])
    read = []
    encode = clip.encode_text
    monkeypatch.setattr(clip, "encode_text", lambda p: read.extend(p) or encode(p))
    texts = targets.text(["a dog", "a cat", "a dog"])
    torch.testing.assert_close(texts, expected[[0, 1, 0]], atol=1e-6, rtol=0)
    assert read == ["a dog", "a cat"]
