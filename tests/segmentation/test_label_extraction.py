import numpy as np
import pytest

from boxrefine_d2.errors import UserError
from boxrefine_d2.segmentation.contrast import PAD
from boxrefine_d2.segmentation.label_extraction import (
    curated,
    drawn_labels,
    frequent_nouns,
    labels_of,
    tagger_of,
)
from boxrefine_d2.segmentation.noun_tagger import phrases_of

CAPTIONS = {
    "A man riding a wave on top of a surfboard.": ["man", "wave", "surfboard"],
    "Two dogs are playing with a red frisbee in the park": ["dogs", "red frisbee", "park"],
    "a cat sitting on a wooden bench next to a parked car": ["cat", "wooden bench", "car"],
    "An old building with a clock tower": ["old building", "clock tower"],
    "The bathroom has a white toilet, sink and a mirror": [
        *("bathroom", "white toilet", "sink", "mirror"),
    ],
    "a woman slowly eating a piece of pizza": ["woman", "piece", "pizza"],
    "people at night": ["people", "night"],
    "sitting there": [],
    "": [],
}


@pytest.mark.parametrize(("caption", "phrases"), CAPTIONS.items())
def test_noun_phrases_of_captions(caption, phrases):
    assert [phrase.text for phrase in phrases_of(caption)] == phrases


def test_a_phrase_that_ends_the_caption_is_found():
    """The release loses it."""
    assert labels_of("a photo of a red bus", "phrases")[-1] == "red bus"


def test_labels_are_a_set():
    caption = "a red bus and a bus and a dog"
    assert labels_of(caption, "nouns") == ["bus", "dog"]
    assert labels_of(caption, "phrases") == ["red bus", "bus", "dog"]
    assert labels_of(caption) == ["bus", "dog", "red bus"]


@pytest.mark.parametrize(("fill", "filling"), [("pad", PAD), ("caption", "a dog and a cat")])
def test_empty_slots_are_filled(fill, filling):
    rng = np.random.default_rng(0)
    drawn = drawn_labels("a dog and a cat", ["dog", "cat"], 4, fill, rng)
    assert sorted(drawn[:2]) == ["cat", "dog"] and drawn[2:] == [filling] * 2
    assert drawn_labels("x", [], 2, fill, rng) == [PAD if fill == "pad" else "x"] * 2


def test_a_draw_is_without_replacement_and_depends_on_the_generator_alone():
    labels = list("abcdef")
    draws = [drawn_labels("x", labels, 3, "pad", np.random.default_rng(k)) for k in range(20)]
    assert all(len(set(draw)) == 3 for draw in draws) and len({*map(tuple, draws)}) > 5
    assert draws[3] == drawn_labels("x", labels, 3, "pad", np.random.default_rng(3))


def test_curated_lists():
    captions = ["a dog", "a dog and a cat", "a red cat", "a bird"]
    assert frequent_nouns(captions, 2) == {"dog", "cat"}
    assert curated(["bird", "dog"], {"dog", "cat"}) == ["dog"]
    assert curated(["bird"], {"dog", "cat"}) == ["bird"]  # never nothing


def test_mistakes_are_a_line():
    with pytest.raises(UserError, match="tagger 'x' is unknown; known: rules, nltk"):
        tagger_of("x")
    with pytest.raises(UserError, match="labels 'x' is unknown"):
        labels_of("a dog", "x")
