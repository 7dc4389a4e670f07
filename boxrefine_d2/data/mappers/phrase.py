"""Input of a network that reads images and phrases, for training and for testing."""

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

_WORDS = 1  # keeps the draws of words apart from those of the picture


def phrases_of(record: dict[str, Any]) -> list[str]:
    """What an image is said to show: its captions, or else the phrases of its annotations, each once."""
    captions = record.get("captions")
    if captions:
        return list(dict.fromkeys(captions))
    every = (_phrasings(annotation) for annotation in record.get("annotations", ()))
    return list(dict.fromkeys(phrase for phrases in every for phrase in phrases))


def _phrasings(annotation: dict[str, Any]) -> list[str]:
    phrases = annotation.get("phrases") or [annotation.get("phrase")]
    return [phrase for phrase in phrases if phrase]


class PhraseMapper:
    """A square picture and one of its phrases, drawn by the seed and the position in the stream alone."""

    @configurable
    def __init__(self, *, squares: SquareMapper, prompt: str, word_drop: float, seed: int):
        """Args:
        prompt: what stands before each phrase.
        word_drop: the chance of each word to be left out, as for captions of COCO in the papers' code.
        """
        self.squares = squares
        self.prompt = prompt
        self.word_drop = word_drop
        self.seed = seed

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """The settings under INPUT and GROUNDING."""
        return {
            # as the papers' code resizes
            "squares": SquareMapper(cfg, interpolation=InterpolationMode.BILINEAR),
            "prompt": cfg.GROUNDING.PROMPT,
            "word_drop": cfg.GROUNDING.WORD_DROP,
            "seed": cfg.SEED,
        }

    def __call__(self, record: dict[str, Any], position: int) -> dict[str, Any]:
        """What `SquareMapper` gives, with "phrase", as CLIP is to read it, and "phrases", all of the image's without the
        prompt. Raises: ImageReadError for a bad file."""
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
    """Test input: the whole image squeezed to a square (bilinear, antialiased), with the phrases that are asked of it."""

    def __init__(self, side: int, prompt: str, decoys: dict[Any, list[str]] | None = None):
        """Args:
        side: pixels.
        prompt: what stands before each phrase.
        decoys: of each image id a phrase of another image for each query, a control.
        """
        self.side = side
        self.prompt = prompt
        self.decoys = decoys

    def input_size(self, height: int, width: int) -> tuple[int, int]:
        """The square, whatever the image."""
        return self.side, self.side

    def __call__(self, record: dict[str, Any]) -> dict[str, Any]:
        """See `ImageMapper`; with "queries", [(annotation id, phrasings), ...], and "decoys" if there are."""
        sample = resized_sample(record, self.input_size, Image.Resampling.BILINEAR)
        sample["queries"] = [
            (key, [self.prompt + phrase for phrase in phrases])
            for key, phrases in queries_of(record)
        ]
        if self.decoys is not None:
            sample["decoys"] = [self.prompt + text for text in self.decoys[record["image_id"]]]
        return sample


def queries_of(record: dict[str, Any]) -> list[tuple[int | str, list[str]]]:
    """(annotation id, phrasings) of the annotations that have any, crowds left out; one without an id goes by its place."""
    found = []
    for place, annotation in enumerate(record.get("annotations", ())):
        phrases = _phrasings(annotation)
        if phrases and not annotation.get("iscrowd", 0):
            found.append((annotation.get("annotation_id", place), phrases))
    return found


def draw_decoys(records: Sequence[dict[str, Any]], seed: int) -> dict[Any, list[str]]:
    """Image id -> for each query a phrase of some other image which is none of its own, where there is one."""
    generator = np.random.default_rng(seed)
    every = [phrases[0] for record in records for _, phrases in queries_of(record)]
    known = set(every)
    decoys: dict[Any, list[str]] = {}
    for record in records:
        mine = [phrases[0] for _, phrases in queries_of(record)]
        own = {phrase for _, phrases in queries_of(record) for phrase in phrases}
        if not known <= own:
            mine = [_draw_another(every, own, generator) for _ in mine]
        decoys[record["image_id"]] = mine
    return decoys


def _draw_another(phrases: list[str], own: set[str], generator: np.random.Generator) -> str:
    while (drawn := phrases[generator.integers(len(phrases))]) in own:
        pass
    return drawn


def check_phrases(records: Sequence[dict[str, Any]], names: Sequence[str]) -> None:
    """Raises: UserError if a training image has nothing that is said of it."""
    without = [record["file_name"] for record in records if not phrases_of(record)]
    if without:
        raise UserError(
            f"DATASETS.TRAIN {', '.join(names)}: {len(without)} of {len(records)} images have neither captions nor "
            f"phrases (first: {without[0]}); use data sets such as cutouts_train or scenes:train"
        )
