import torch

from boxrefine_d2.grounding import topics as topics_module
from boxrefine_d2.grounding.topics import Topic, TopicFinder, nearest
from boxrefine_d2.language.captioners import Captioner

SETTINGS = {"search_input": "uint8", "min_area": 0.1}
COMMUNITIES = {"min_similarity": 0.85, "min_size": 2, "overlap": "discard"}
# vectors of length 1: two similar phrases for a dog, and one for a cat
VECTORS = {
    "a dog": (1.0, 0.0),
    "the dog": (0.9, 0.19**0.5),
    "a cat": (0.0, 1.0),
}


class ByColour(Captioner):
    """Captioner that reads the first pixel as an index of `words`, and records its crops."""

    def __init__(self, words):
        self.words, self.shown = words, []

    def read(self, crops):
        self.shown.append([tuple(crop.shape) for crop in crops])
        return [self.words[int(crop[0, 0, 0])] for crop in crops]


def encode(phrases):
    return torch.tensor([VECTORS[phrase] for phrase in phrases])


def finder(words, monkeypatch, boxes):
    """Return a finder whose regions are the rows of an image, one pixel high, and its captioner."""
    monkeypatch.setattr(topics_module, "proposals", lambda image, **settings: boxes(image))
    return TopicFinder(captioner := ByColour(words), encode, **SETTINGS, **COMMUNITIES), captioner


def rows(image):
    height, width = image.shape[:2]
    return torch.tensor([(0, y, width, y + 1) for y in range(height)]).numpy()


def image_of_rows(*values):
    return torch.tensor(values, dtype=torch.uint8)[None, :, None].expand(3, -1, 5)


def test_regions_that_are_described_alike_make_a_topic(monkeypatch):
    topics, captioner = finder(["a dog", "the dog", "a cat", " "], monkeypatch, rows)
    first, second = topics.find([image_of_rows(0, 1, 0, 2, 3), image_of_rows(2, 2, 0)])
    # two captions are "a dog", so it is nearest to the mean; one cat and an empty one are no topic
    assert first == [Topic("a dog", 3)] and second == [Topic("a cat", 2)]
    assert captioner.shown == [[(3, 1, 5)] * 8]  # all images in one call


def test_there_is_no_topic_if_no_two_captions_are_alike(monkeypatch):
    topics, _ = finder(["a dog", "the dog", "a cat", ""], monkeypatch, rows)
    assert topics.find([image_of_rows(0, 2), image_of_rows(3), image_of_rows(2)]) == [[], [], []]
    topics, _ = finder([], monkeypatch, lambda image: rows(image)[:0])
    assert topics.find([image_of_rows(0)]) == [[]]


def test_a_phrase_is_answered_by_the_nearest_caption():
    captions = encode(["a cat", "a dog"])
    assert nearest(captions, encode(["the dog"])) == 1
    # the mean of both phrasings leans to the dog: 0.95 against 0.22
    assert nearest(captions, encode(["a dog", "the dog"])) == 1
    assert nearest(captions, encode(["a cat"])) == 0
