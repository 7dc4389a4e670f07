"""Phrases of images, drawn from seed and position alone."""

import numpy as np
import pytest

from boxrefine_d2.data import load_spec
from boxrefine_d2.data.mappers import SquareMapper
from boxrefine_d2.data.mappers.phrase import (
    PhraseMapper,
    QueryMapper,
    check_phrases,
    draw_decoys,
    phrases_of,
    queries_of,
)
from boxrefine_d2.errors import UserError


def mapper(**changes):
    squares = SquareMapper(
        size=32, crop_area=(), crop_aspect=(0.75, 1.33), flip=True, seed=changes.get("seed", 0)
    )
    settings = {"squares": squares, "prompt": "image of ", "word_drop": 0.0, "seed": 0}
    return PhraseMapper(**settings | changes)


def test_captions_come_before_phrases_and_each_counts_once():
    annotations = [{"phrase": "a dog"}, {"phrase": ""}, {}, {"phrases": ["dogs", "a dog"]}]
    record = {"annotations": annotations}
    assert phrases_of(record) == ["a dog", "dogs"]
    assert phrases_of(record | {"captions": ["two dogs run", "two dogs run"]}) == ["two dogs run"]
    assert phrases_of({}) == []


def test_the_position_determines_the_phrase():
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


def test_images_without_captions_and_phrases_are_refused_before_training():
    records = load_spec("scenes:train+first=2").records
    check_phrases(records, ["scenes:train+first=2"])
    bare = [records[0], {**records[1], "annotations": []}]
    with pytest.raises(UserError, match="1 of 2 images have neither captions nor phrases"):
        check_phrases(bare, ["x"])


def test_queries_have_their_prompt_and_ids():
    record = load_spec("scenes:val+first=1").records[0]
    annotations = [
        {"annotation_id": 5, "phrase": "a dog"},
        {"phrases": ["cats", "two cats"]},
        {"phrase": "people", "iscrowd": 1},
        {},
    ]
    sample = QueryMapper(48, "image of ")({**record, "annotations": annotations})
    assert sample["queries"] == [
        (5, ["image of a dog"]),
        (1, ["image of cats", "image of two cats"]),
    ]
    assert sample["image"].shape == (3, 48, 48) and "decoys" not in sample
    assert (sample["height"], sample["width"]) == (record["height"], record["width"])


def test_decoys_are_phrases_of_other_images():
    records = load_spec("scenes:val+first=20").records
    decoys = draw_decoys(records, seed=0)
    assert decoys == draw_decoys(records, seed=0) != draw_decoys(records, seed=1)
    every = {phrase for record in records for phrase in phrases_of(record)}
    for record in records:
        drawn = decoys[record["image_id"]]
        assert len(drawn) == len(queries_of(record))
        assert set(drawn) <= every - set(phrases_of(record))
    sample = QueryMapper(48, "image of ", decoys)(records[0])
    assert sample["decoys"] == ["image of " + text for text in decoys[records[0]["image_id"]]]
    # A data set of one image has no other phrases.
    alone = draw_decoys(records[:1], seed=0)
    assert alone[records[0]["image_id"]] == [p[0] for _, p in queries_of(records[0])]
