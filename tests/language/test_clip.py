"""Inputs and outputs of CLIP, and the source of its weights."""

import json
import logging

import pytest
import torch
import torch.nn.functional as F

from boxrefine_d2.errors import UserError
from boxrefine_d2.language import Clip, build_clip
from boxrefine_d2.language.build import CLIPS, random_clip
from boxrefine_d2.language.phrase_vocabulary import learn_tokenizer


def test_batched_is_single_and_what_follows_the_end_plays_no_part(clip):
    phrases = ["a cat", "a much longer word", "x"]
    together = clip.encode_text(phrases)
    torch.testing.assert_close(together.norm(dim=1), torch.ones(3))
    for phrase, row in zip(phrases, together, strict=True):
        torch.testing.assert_close(clip.encode_text([phrase])[0], row, atol=1e-6, rtol=0)


def test_case_and_spaces_do_not_count_and_any_script_is_read(clip):
    one, other = clip.encode_text(["a Red  bird ", "a red bird"])
    torch.testing.assert_close(one, other)
    texts = ["ένα πουλί", "一只红色的鸟", "🐦"]
    ids, long = clip.tokens(texts)
    assert [clip.tokenizer.decode(row, skip_special_tokens=True).strip() for row in ids] == [
        text.strip() for text in texts
    ]
    assert long == []


def test_a_long_phrase_is_cut_with_its_end_put_last_or_refused(clip):
    long = "a very long phrase about nothing in particular"
    ids, which = clip.tokens(["a", long])
    assert which == [1] and ids.shape == (2, clip.context)
    assert ids[1, -1] == clip.tokenizer.eos_token_id
    whole = clip.tokenizer(long)["input_ids"]
    assert ids[1, :-1].tolist() == whole[: clip.context - 1]
    with pytest.raises(UserError, match=f"'a very long .* has {len(whole)} tokens; at most 40 are"):
        clip.encode_text([long], cut=False)


@pytest.mark.parametrize("phrase", ["", "  \n"])
def test_an_empty_phrase_is_refused(clip, phrase):
    with pytest.raises(UserError, match="is empty; say what to look for"):
        clip.encode_text(["a dog", phrase])


def test_images_are_resized_with_corners_and_differentiable(clip, images):
    corners = clip.resized(images)[:, :, [0, 0, -1, -1], [0, -1, 0, -1]]
    torch.testing.assert_close(corners, images[:, :, [0, 0, -1, -1], [0, -1, 0, -1]])
    images.requires_grad_()
    features = clip.encode_images(images)
    torch.testing.assert_close(features.norm(dim=1), torch.ones(3))
    features[:, 0].sum().backward()
    assert images.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in clip.parameters())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_images_are_read_as_the_library_reads_them(clip, images, dtype):
    squares = clip.resized(images).requires_grad_()
    with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        found = clip.encode_images(squares)
        pooled = clip.model.vision_model(pixel_values=squares).pooler_output
        expected = F.normalize(clip.model.visual_projection(pooled), dim=1)
    weights = torch.linspace(-1, 1, found.shape[1])
    (gradient,) = torch.autograd.grad((found * weights).sum(), squares)
    (expected_gradient,) = torch.autograd.grad((expected * weights).sum(), squares)
    tolerance = 1e-5 if dtype == torch.float32 else 0.02
    torch.testing.assert_close(found, expected, atol=tolerance, rtol=0)
    scale = expected_gradient.abs().max()
    torch.testing.assert_close(
        gradient / scale, expected_gradient / scale, atol=10 * tolerance, rtol=0
    )


def test_it_stays_in_eval_mode(clip):
    assert not clip.train().training and not clip.model.training


def test_a_folder_is_read_back_and_named(clip, tmp_path):
    folder = tmp_path / "mine"
    clip.model.save_pretrained(folder)
    clip.tokenizer.save_pretrained(folder)
    again = build_clip("clip_mini", folder)
    torch.testing.assert_close(again.encode_text(["a dog"]), clip.encode_text(["a dog"]))
    assert again.weights_info.source == "mine"
    assert again.weights_info.sha256 == clip.weights_info.sha256


def test_the_one_that_ships_knows_colours_and_kinds():
    clip = build_clip("clip_mini")
    assert clip.weights_info.source == "clip_mini" and len(clip.weights_info.sha256) == 64
    one, same, colour, kind = clip.encode_text(
        [
            "image of a plain red car-like shape",
            "image of a Plain red car-like shape",
            "image of a plain green car-like shape",
            "image of a plain red tree-like shape",
        ]
    )
    assert one @ same > 1 - 1e-5 > max(one @ colour, one @ kind)


def test_the_official_one_is_asked_of_its_host(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match="clip_vitb32 cannot be read from openai/clip-vit-base"):
        build_clip("clip_vitb32")


def test_mistakes_are_one_line(clip, tmp_path, caplog):
    with pytest.raises(UserError, match="CLIP 'clip' is unknown; known: clip_mini, clip_vitb32"):
        build_clip("clip")
    with pytest.raises(UserError, match="no folder .*gone"):
        build_clip("clip_mini", tmp_path / "gone")
    with pytest.raises(UserError, match="clip_mini cannot be read from"):
        build_clip("clip_mini", tmp_path)
    clip.model.save_pretrained(tmp_path)
    clip.tokenizer.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["vision_config"]["num_hidden_layers"] = 3
    (tmp_path / "config.json").write_text(json.dumps(config))
    with caplog.at_level(logging.WARNING), pytest.raises(UserError, match="parameters missing"):
        build_clip("clip_mini", tmp_path)


def test_the_official_architecture():
    """Check ViT-B/32: 50 tokens, 12 layers of 12 heads, 512 dimensions."""
    config = CLIPS["clip_vitb32"].config()
    vision, text = config.vision_config, config.text_config
    assert (vision.image_size, vision.patch_size, vision.hidden_size) == (224, 32, 768)
    assert (vision.num_hidden_layers, vision.num_attention_heads) == (12, 12)
    assert (config.projection_dim, text.max_position_embeddings) == (512, 77)
    assert vision.hidden_act == text.hidden_act == "quick_gelu"


def test_a_seed_says_which_random_weights(tiny_config):
    first, again, other = (random_clip(tiny_config(), seed) for seed in (1, 1, 2))
    assert first.weights_info == again.weights_info != other.weights_info
    assert first.weights_info.source == "random:1"


def test_words_of_phrases_become_tokens_and_other_texts_stay_bytes():
    phrases = ["a red bird", "a red car", "a blue bird"] * 3
    tokenizer = learn_tokenizer(phrases, 540)
    assert len(tokenizer) == 540 and tokenizer.eos_token_id == 539
    assert tokenizer.tokenize("a RED bird") == ["a</w>", "red</w>", "bird</w>"]
    assert (
        tokenizer.decode(tokenizer("ζώο")["input_ids"], skip_special_tokens=True).strip() == "ζώο"
    )
    again = learn_tokenizer(reversed(phrases), 540)
    assert again.get_vocab() == tokenizer.get_vocab()
    with pytest.raises(
        UserError, match="a vocabulary of 500 tokens: 514 bytes and marks come first"
    ):
        learn_tokenizer(phrases, 500)


def test_different_phrases_are_different(clip):
    """Check that the tower reads a text at its end; elsewhere phrases could be equal."""
    texts = clip.encode_text(["a cat", "a cab"])
    assert (texts[0] - texts[1]).abs().max() > 1e-3


def test_files_of_two_clips_are_refused(clip):
    with pytest.raises(UserError, match="give the network and the tokenizer of one CLIP"):
        Clip(clip.model, learn_tokenizer([], 600))
