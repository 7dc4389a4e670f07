"""The small CLIP: its initial weights, and its loss by hand."""

import copy
import math

import pytest
import torch
from detectron2.utils.events import EventStorage
from torch import nn

from boxrefine_d2.config import boxrefine_cfg
from boxrefine_d2.errors import UserError
from boxrefine_d2.language import build_clip
from boxrefine_d2.networks import IMAGENET_MEAN, IMAGENET_STD, build_backbone
from boxrefine_d2.pretraining.clip_training import (
    ClipTraining,
    positives_loss,
    right_pairs,
    start_from,
)
from boxrefine_d2.training.setup import load_config


@pytest.fixture(scope="module")
def clip():
    return build_clip("clip_mini", "random:0")


def test_the_image_tower_equals_the_backbone(clip):
    """They are equal except for CLIP's own norm before the blocks."""
    backbone = build_backbone("dino_mini", "random:3")
    nn.init.normal_(backbone.patch_embed.proj.bias)
    start_from(clip, backbone)
    vision = copy.deepcopy(clip.model.vision_model)
    vision.pre_layrnorm = nn.Identity()
    images = torch.rand(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    mean, std = (torch.tensor(x)[:, None, None] for x in (IMAGENET_MEAN, IMAGENET_STD))
    with torch.no_grad():
        backbone_tokens = backbone((images - mean) / std, "output").tokens()
        hidden = vision(pixel_values=images * 2 - 1).last_hidden_state[:, 1:]
        tower_tokens = vision.post_layernorm(hidden)
    torch.testing.assert_close(tower_tokens, backbone_tokens, atol=2e-3, rtol=0)


def test_a_backbone_of_another_shape_is_refused(clip):
    with pytest.raises(UserError, match="starts from a DINO transformer"):
        start_from(clip, nn.Linear(1, 1))
    with pytest.raises(UserError, match="its patch, tokens, channels, blocks and heads are"):
        start_from(clip, build_backbone("dino_vits16", "random"))


def test_right_pairs_are_the_phrases_of_an_image():
    batch = [
        {"drawn": "a dog", "phrases": ["a dog", "a cat"]},
        {"drawn": "a cat", "phrases": ["a cat"]},
        {"drawn": "a dog", "phrases": ["a dog"]},
    ]
    expected = [[True, True, True], [False, True, False], [True, False, True]]
    assert right_pairs(batch).tolist() == expected


def test_loss_by_hand():
    """Row 1: the right entry has half of the mass; row 2: both are right, with 3/4 and 1/4."""
    logits = torch.log(torch.tensor([[2.0, 2.0], [3.0, 1.0]]))
    right = torch.tensor([[True, False], [True, True]])
    expected = (math.log(2) + (math.log(4 / 3) + math.log(4)) / 2) / 2
    assert positives_loss(logits, right).item() == pytest.approx(expected)


def batch_of(count):
    """Return images of one colour each."""
    phrases = ["a red bird", "a dog", "a green car", "grass"]
    return [
        {
            "image": torch.eye(3, dtype=torch.uint8)[i].mul(255)[:, None, None].expand(3, 224, 224),
            "phrase": f"image of {phrases[i]}",
            "drawn": phrases[i],
            "phrases": [phrases[i]],
        }
        for i in range(count)
    ]


def test_a_fixed_batch_is_learnt():
    cfg = load_config("configs/pretrain/clip_mini.yaml", ["PRETRAIN.CLIP.VOCABULARY", "520"])
    clip = ClipTraining.from_config(cfg)["clip"]
    model = ClipTraining(clip=clip, name="clip_mini", vocabulary=520, weight_decay=0.0)
    model.learn_words(["a red bird", "a dog", "a green car", "grass"])
    optimizer = torch.optim.AdamW(model.parameter_groups(), lr=1e-3)
    batch, losses = batch_of(3), []
    with EventStorage() as storage:
        for _ in range(16):
            loss = sum(model(batch).values())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert storage.latest()["right_phrase"][0] == 1.0
    assert losses[-1] < losses[0] / 3


def test_an_unknown_name_is_refused():
    cfg = boxrefine_cfg()
    cfg.MODEL.CLIP.NAME = "clip_big"
    with pytest.raises(
        UserError, match="CLIP 'clip_big' is unknown; known: clip_mini, clip_vitb32"
    ):
        ClipTraining.from_config(cfg)


def test_it_is_not_evaluated():
    cfg = boxrefine_cfg()
    cfg.DATASETS.TEST = ("scenes:val",)
    with pytest.raises(UserError, match="CLIP draws no boxes"):
        ClipTraining.from_config(cfg)
