"""Training input of a network that reads pictures and phrases."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode, configurable

from boxrefine_d2.errors import UserError

from .mappers import SquareMapper, torch_draws

_WORDS = 1  # keeps the draws of words apart from those of the picture


def phrases_of(record: dict[str, Any]) -> list[str]:
    """What an image is said to show: its captions, or else the phrases of its annotations, each once."""
    captions = record.get("captions")
    if captions:
        return list(dict.fromkeys(captions))
    found: dict[str, None] = {}
    for annotation in record.get("annotations", ()):
        for phrase in annotation.get("phrases") or [annotation.get("phrase")]:
            if phrase:
                found[phrase] = None
    return list(found)


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
            "squares": SquareMapper(cfg),
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


def check_phrases(records: Sequence[dict[str, Any]], names: Sequence[str]) -> None:
    """Raises: UserError if a training image has nothing that is said of it."""
    without = [record["file_name"] for record in records if not phrases_of(record)]
    if without:
        raise UserError(
            f"DATASETS.TRAIN {', '.join(names)}: {len(without)} of {len(records)} images have neither captions nor "
            f"phrases (first: {without[0]}); use data sets such as cutouts_train or scenes:train"
        )
