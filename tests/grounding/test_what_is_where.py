import pytest
import torch

from boxrefine_d2.errors import UserError
from boxrefine_d2.grounding.what_is_where import WhatIsWhere
from boxrefine_d2.language.captioners import Captioner

LOOKING = {
    "search_input": "uint8",
    "min_area": 0.1,
    "min_similarity": 0.999,
    "min_size": 2,
    "overlap": "discard",
}


class InTurn(Captioner):
    """Captioner that returns its phrases in turn."""

    def __init__(self, *phrases):
        self.phrases, self.count = phrases, 0

    def read(self, crops):
        numbers = range(self.count, self.count + len(crops))
        self.count += len(crops)
        return [self.phrases[number % len(self.phrases)] for number in numbers]


@pytest.fixture
def build(parts):
    def made(*phrases, **others):
        return WhatIsWhere(captioner=InTurn(*phrases), looking=LOOKING, **parts, **others).eval()

    return made


def test_objects_are_the_captions_of_regions(build, test_batch):
    described, *_ = build("a dog", "a cat", "a dog").describe(test_batch)
    assert [one.phrase for one in described] == ["a dog", "a cat"]
    dog, cat = described
    assert dog.regions >= 2 * cat.regions - 1 > 2
    assert dog.heatmap.shape == (32, 32) and not dog.heatmap.equal(cat.heatmap)
    x, y = dog.found.point
    assert 0 <= x < 64 and 0 <= y < 48


def test_a_caption_is_localised_like_a_query(build, test_batch):
    model = build("a dog", "a cat")
    described, *_ = model.describe(test_batch)
    asked = [test_batch[0] | {"queries": [(1, ["a cat"]), (2, ["a dog"])], "decoys": ["a", "a"]}]
    from_text = super(WhatIsWhere, model).answer(asked)[0]["grounding"]["g"]
    by_caption = {one.phrase: one.found for one in described}
    assert from_text == {1: by_caption["a cat"], 2: by_caption["a dog"]}


def test_phrases_are_answered_by_the_most_similar_caption(build, test_batch):
    model = build("a dog", "a cat")
    answers = model(test_batch)
    assert set(answers[0]["grounding"]) == {"clip", "g"}
    described, *_ = build("a dog", "a cat").describe(test_batch)
    by_caption = {one.phrase: one.found for one in described}
    # the queries are "a dog", and "a cat" or "the cat"
    assert answers[0]["grounding"]["g"][7] == by_caption["a dog"]
    assert set(answers[0]["grounding"]["g"]) == {7, 9}
    assert set(answers[1]["grounding"]["clip"]) == {7}
    assert answers[2]["grounding"] == {"clip": {}, "g": {}}  # it has no queries


def test_captions_are_localised_with_the_prompt_and_named_without(build, test_batch):
    model = build("a dog", "a cat", prompt="image of ")
    [dog, cat], *_ = model.describe(test_batch)
    assert [dog.phrase, cat.phrase] == ["a dog", "a cat"]
    phrases = [["a dog", "a cat"], [], []]
    [asked, _], *_ = model.localise(test_batch, phrases, "image of ")
    [bare, _], *_ = model.localise(test_batch, phrases, "")
    assert dog.found == asked.found != bare.found
    torch.testing.assert_close(dog.heatmap, asked.heatmap)
    answer = build("a dog", "a cat", prompt="image of ")(test_batch)[0]["grounding"]["g"]
    assert answer[7] == asked.found


def test_there_is_no_answer_if_no_two_captions_are_alike(build, test_batch):
    model = build(*(f"thing {number}" for number in range(500)))
    model._topic_finder._min_similarity = 1.1  # even a caption and itself are not similar
    assert model.describe(test_batch) == [[], [], []]
    assert [x["grounding"] for x in model(test_batch)] == [{"clip": {}, "g": {}}] * 3


def test_it_does_not_learn(build, test_batch):
    with pytest.raises(UserError, match="--eval-only"):
        build("a dog").train()(test_batch)


def test_the_encoder_reads_each_image_once(build, test_batch, monkeypatch):
    model = build("a dog", "a cat")
    read = []
    whole = model.map_network.read
    monkeypatch.setattr(model.map_network, "read", lambda x: read.append(len(x)) or whole(x))
    model(test_batch)
    assert read == [len(test_batch)]
    assert torch.is_grad_enabled()
