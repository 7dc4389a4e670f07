"""Captioners, which describe an image in a phrase.

A new captioner needs one class and one entry of `CAPTIONERS`.

Shapes: crops are (3, H, W) uint8 RGB, each of its own size.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from boxrefine_d2.errors import UserError, check_choice
from boxrefine_d2.files.inputs import read_lines
from boxrefine_d2.networks.device import precision_of

from .build import SHIPPED
from .clip import Clip
from .image_tower import encoded, in_precision

CROPS_AT_ONCE = 64
SHIPPED_PHRASES = SHIPPED / "phrases.txt"


class Captioner(ABC):
    """Base class of the captioners: images in, phrases out."""

    @torch.no_grad()
    def captions(self, crops: Sequence[Tensor]) -> list[str]:
        """Return one phrase per crop, for any number of crops."""
        phrases: list[str] = []
        for start in range(0, len(crops), CROPS_AT_ONCE):
            phrases += self.read(crops[start : start + CROPS_AT_ONCE])
        return phrases

    @abstractmethod
    def read(self, crops: Sequence[Tensor]) -> list[str]:
        """Return one phrase per crop, for at most as many crops as fit into a batch."""


class PhraseRetrieval(Captioner):
    """Captioner that chooses, from a list of phrases, the one most similar to the crop by CLIP.

    It never returns a phrase that is not on the list.

    Args:
        phrases: the list of phrases.
        prompt: text before each phrase when CLIP reads it.
        dtype: number format of the image tower.
    """

    def __init__(
        self, clip: Clip, phrases: Sequence[str], prompt: str, dtype: torch.dtype = torch.float32
    ):
        self._clip = clip
        self._phrases = list(phrases)
        self._prompt = prompt
        self._tower = in_precision(clip.model, dtype)

    @cached_property
    def _text(self) -> Tensor:
        return self._clip.encode_text([self._prompt + phrase for phrase in self._phrases])

    def read(self, crops: Sequence[Tensor]) -> list[str]:
        """Return one phrase per crop, see `Captioner`; among equals, the first on the list."""
        squares = [
            self._clip.resized(crop[None].to(self._clip.device).float() / 127.5 - 1)
            for crop in crops
        ]
        similarity = encoded(self._tower, torch.cat(squares)).float() @ self._text.T
        return [self._phrases[i] for i in similarity.argmax(dim=1).tolist()]


def read_phrases(path: str | Path) -> list[str]:
    """Return the phrases of a text file with one phrase per line, each phrase once.

    Empty lines and lines that begin with # are skipped.

    Raises: UserError for a file that cannot be read, or has no phrase.
    """
    lines = read_lines(path, "list of phrases")
    phrases = [line for line in lines if not line.startswith("#")]
    if not phrases:
        raise UserError(f"{path} has no phrase; write one a line")
    return list(dict.fromkeys(phrases))


def _retrieval(clip: Clip, weights: str, prompt: str, dtype: torch.dtype) -> Captioner:
    return PhraseRetrieval(clip, read_phrases(weights or SHIPPED_PHRASES), prompt, dtype)


def _blip(clip: Clip, weights: str, prompt: str, dtype: torch.dtype) -> Captioner:
    from .blip import build_blip  # this import loads half of transformers

    return build_blip(weights).to(clip.device, dtype)


# Builders by name. Their arguments are CLIP, MODEL.CAPTIONER.WEIGHTS, the prompt before CLIP's
# phrases and the number format of the network.
CAPTIONERS: dict[str, Callable[[Clip, str, str, torch.dtype], Captioner]] = {
    "phrases": _retrieval,
    "blip": _blip,
}


def build_captioner(
    name: str, clip: Clip, weights: str | Path | None, prompt: str, precision: str = "fp32"
) -> Captioner:
    """Return a captioner by name, on CLIP's device.

    Args:
        name: one of `CAPTIONERS`.
        weights: for "phrases" a text file with one phrase per line; for "blip" a folder as
            `transformers` writes it. None or "" stands for the list that ships or the official
            network.
        prompt: text before each phrase when CLIP reads it.
        precision: number format of the network, a name in `PRECISIONS`. In bf16 a crop may get the
            other one of two phrases that fit it equally well.
    Raises: UserError for an unknown name or precision, or weights that cannot be read or fetched.
    """
    check_choice("captioner", name, CAPTIONERS)
    return CAPTIONERS[name](clip, str(weights or ""), prompt, precision_of(precision))
