"""Inputs of a network that reads images and phrases, for training and for testing."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode, configurable
from PIL import Image
from torchvision.transforms import InterpolationMode

from boxrefine_d2.errors import UserError

from .draws import torch_draws
from .square import SquareMapper
from .whole_image import resized_sample

_WORDS = 1  # separates the draws of words from the draws of the crop


def phrases_of(record: dict[str, Any]) -> list[str]:
    """Return the texts that describe an image, each once.

    These are its captions or, if it has none, the phrases of its annotations.
    """
    captions = record.get("captions")
    if captions:
        return list(dict.fromkeys(captions))
    every = (_phrasings(annotation) for annotation in record.get("annotations", ()))
    return list(dict.fromkeys(phrase for phrases in every for phrase in phrases))


def _phrasings(annotation: dict[str, Any]) -> list[str]:
    phrases = annotation.get("phrases") or [annotation.get("phrase")]
    return [phrase for phrase in phrases if phrase]


class PhraseMapper:
    """Training input: a square image and one of its phrases.

    The draws depend only on the seed and the position in the stream.
    """

    @configurable
    def __init__(self, *, squares: SquareMapper, prompt: str, word_drop: float, seed: int):
        """Create the mapper.

        Args:   squares: mapper of the image.
                prompt: text before each phrase.
                word_drop: probability that a word is left out, as the papers' code does for COCO's
                captions.
                seed: seed of all draws.
        """
        self.squares = squares
        self.prompt = prompt
        self.word_drop = word_drop
        self.seed = seed

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Return the arguments of `__init__` from the settings under INPUT and GROUNDING."""
        return {
            # The papers' code resizes bilinearly.
            "squares": SquareMapper(cfg, interpolation=InterpolationMode.BILINEAR),
            "prompt": cfg.GROUNDING.PROMPT,
            "word_drop": cfg.GROUNDING.WORD_DROP,
            "seed": cfg.SEED,
        }

    def __call__(self, record: dict[str, Any], position: int) -> dict[str, Any]:
        """Return the sample of `SquareMapper` with "phrase", "drawn" and "phrases".

        "phrase" is the text for CLIP, with the prompt and perhaps without some words. "drawn" is
        the whole phrase without the prompt. "phrases" are all phrases of the image without the
        prompt.

        Raises: ImageReadError for a file that cannot be read.
        """
        phrases = phrases_of(record)
        with torch_draws(np.random.SeedSequence([self.seed, position, _WORDS])):
            phrase = phrases[int(torch.randint(len(phrases), ()))]
            text = self._thinned(phrase) if self.word_drop else phrase
        return self.squares(record, position) | {
            "phrase": self.prompt + text,
            "drawn": phrase,
            "phrases": phrases,
        }

    def _thinned(self, phrase: str) -> str:
        words = phrase.split(" ")
        kept = torch.rand(len(words)) >= self.word_drop
        return " ".join(word for word, keep in zip(words, kept, strict=True) if keep)


class QueryMapper:
    """Test input: the whole image resized to a square, with its query phrases.

    The resizing is bilinear and antialiased, and does not keep the aspect.
    """

    def __init__(self, side: int, prompt: str, decoys: dict[Any, list[str]] | None = None):
        """Create the mapper.

        Args:   side: side of the square in pixels.
                prompt: text before each phrase.
                decoys: image id -> a phrase of another image for each query; a control.
        """
        self.side = side
        self.prompt = prompt
        self.decoys = decoys

    def input_size(self, height: int, width: int) -> tuple[int, int]:
        """Return (side, side) for every image."""
        return self.side, self.side

    def __call__(self, record: dict[str, Any]) -> dict[str, Any]:
        """Return the input that `ImageMapper` documents, with "queries" and perhaps "decoys".

        "queries" is [(annotation id, phrasings), ...]. "decoys" has one phrase for each query.
        """
        sample = resized_sample(record, self.input_size, Image.Resampling.BILINEAR)
        sample["queries"] = [
            (key, [self.prompt + phrase for phrase in phrases])
            for key, phrases in queries_of(record)
        ]
        if self.decoys is not None:
            sample["decoys"] = [self.prompt + text for text in self.decoys[record["image_id"]]]
        return sample


def queries_of(record: dict[str, Any]) -> list[tuple[int | str, list[str]]]:
    """Return (annotation id, phrasings) of each annotation with a phrase. Crowds are left out.

    The position in the record takes the place of a missing annotation id.
    """
    queries = []
    for place, annotation in enumerate(record.get("annotations", ())):
        phrases = _phrasings(annotation)
        if phrases and not annotation.get("iscrowd", 0):
            queries.append((annotation.get("annotation_id", place), phrases))
    return queries


def draw_decoys(records: Sequence[dict[str, Any]], seed: int) -> dict[Any, list[str]]:
    """Draw a phrase of another image for each query, as image id -> phrases.

    The drawn phrase is none of the image's own phrases. If all phrases of the data set belong to
    the image, its own phrases are returned.
    """
    generator = np.random.default_rng(seed)
    every = [phrases[0] for record in records for _, phrases in queries_of(record)]
    known = set(every)
    decoys: dict[Any, list[str]] = {}
    for record in records:
        drawn = [phrases[0] for _, phrases in queries_of(record)]
        own = {phrase for _, phrases in queries_of(record) for phrase in phrases}
        if not known <= own:
            drawn = [_draw_another(every, own, generator) for _ in drawn]
        decoys[record["image_id"]] = drawn
    return decoys


def _draw_another(phrases: list[str], own: set[str], generator: np.random.Generator) -> str:
    while (drawn := phrases[generator.integers(len(phrases))]) in own:
        pass
    return drawn


def check_phrases(records: Sequence[dict[str, Any]], names: Sequence[str]) -> None:
    """Refuse training images that have neither captions nor phrases.

    Raises: UserError if there is such an image.
    """
    without = [record["file_name"] for record in records if not phrases_of(record)]
    if without:
        raise UserError(
            f"DATASETS.TRAIN {', '.join(names)}: {len(without)} of {len(records)} images have "
            f"neither captions nor phrases (first: {without[0]}); "
            "use data sets such as cutouts_train or scenes:train"
        )
