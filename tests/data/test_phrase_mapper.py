"""Phrases of images, drawn by seed and position alone."""

import numpy as np
import pytest

from boxrefine_d2.data import load_spec
from boxrefine_d2.data.mappers import SquareMapper
from boxrefine_d2.data.phrase_mapper import PhraseMapper, check_phrases, phrases_of
from boxrefine_d2.errors import UserError


def mapper(**changes):
    squares = SquareMapper(
        size=32, crop_area=(), crop_aspect=(0.75, 1.33), flip=True, seed=changes.get("seed", 0)
    )
    return PhraseMapper(**{"squares": squares, "prompt": "image of ", "word_drop": 0.0, "seed": 0} | changes)  # fmt: skip


def test_captions_come_before_phrases_and_each_counts_once():
    annotations = [{"phrase": "a dog"}, {"phrase": ""}, {}, {"phrases": ["dogs", "a dog"]}]
    record = {"annotations": annotations}
    assert phrases_of(record) == ["a dog", "dogs"]
    assert phrases_of(record | {"captions": ["two dogs run", "two dogs run"]}) == ["two dogs run"]
    assert phrases_of({}) == []


def test_the_position_says_which_phrase():
    record = next(r for r in load_spec("scenes:train").records if len(phrases_of(r)) > 2)
    draws = [mapper()(record, position) for position in range(40)]
    again = [mapper()(record, position) for position in range(40)]
    assert [x["phrase"] for x in draws] == [x["phrase"] for x in again]
    assert {x["drawn"] for x in draws} == set(phrases_of(record))
    assert all(x["phrase"] == "image of " + x["drawn"] for x in draws)
    assert draws[0]["image"].shape == (3, 32, 32)
    other = [mapper(seed=1)(record, position)["phrase"] for position in range(40)]
    assert other != [x["phrase"] for x in draws]


def test_words_are_left_out_and_all_of_them_may_be():
    record = {**load_spec("scenes:train+first=1").records[0], "captions": ["one two three four"]}
    texts = [mapper(word_drop=0.5)(record, p)["phrase"] for p in range(200)]
    counts = np.array([len(text.removeprefix("image of ").split()) for text in texts])
    assert counts.min() == 0 and counts.max() == 4
    assert abs(counts.mean() - 2) < 0.25
    assert mapper(word_drop=0.5)(record, 0)["drawn"] == "one two three four"


def test_images_of_which_nothing_is_said_are_refused_before_training():
    records = load_spec("scenes:train+first=2").records
    check_phrases(records, ["scenes:train+first=2"])
    bare = [records[0], {**records[1], "annotations": []}]
    with pytest.raises(UserError, match="1 of 2 images have neither captions nor phrases"):
        check_phrases(bare, ["x"])
