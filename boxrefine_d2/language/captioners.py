"""What says in a phrase what a picture shows. A captioner is one class and one entry of `CAPTIONERS`.

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
    """Pictures in, phrases out."""

    @torch.no_grad()
    def captions(self, crops: Sequence[Tensor]) -> list[str]:
        """One phrase a crop, whatever their number."""
        found: list[str] = []
        for start in range(0, len(crops), CROPS_AT_ONCE):
            found += self.read(crops[start : start + CROPS_AT_ONCE])
        return found

    @abstractmethod
    def read(self, crops: Sequence[Tensor]) -> list[str]:
        """One phrase a crop, of as many as fit into a batch."""


class PhraseRetrieval(Captioner):
    """Of a list of phrases the one that CLIP finds most alike: it can say nothing that is not on the list.

    Args:
        phrases: what may be said.
        prompt: what stands before each phrase when CLIP reads it.
        dtype: of the image tower.
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
        """See `Captioner`; of equals the first on the list."""
        squares = [
            self._clip.resized(crop[None].to(self._clip.device).float() / 127.5 - 1)
            for crop in crops
        ]
        likeness = encoded(self._tower, torch.cat(squares)).float() @ self._text.T
        return [self._phrases[i] for i in likeness.argmax(dim=1).tolist()]


def read_phrases(path: str | Path) -> list[str]:
    """The phrases of a text file, one a line, each once; empty lines and those that begin with # are passed over.

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
    from .blip import build_blip  # loads half of transformers

    return build_blip(weights).to(clip.device, dtype)


# by name: from CLIP, MODEL.CAPTIONER.WEIGHTS, the prompt of CLIP's phrases, and what the network computes in
CAPTIONERS: dict[str, Callable[[Clip, str, str, torch.dtype], Captioner]] = {
    "phrases": _retrieval,
    "blip": _blip,
}


def build_captioner(
    name: str, clip: Clip, weights: str | Path | None, prompt: str, precision: str = "fp32"
) -> Captioner:
    """A captioner by name, where CLIP is.

    Args:
        name: one of `CAPTIONERS`.
        weights: of "phrases" a text file with a phrase a line, of "blip" a folder as `transformers` writes it; None or
            "" for the list that ships, and the official network.
        precision: of its network, a name of `PRECISIONS`; in bf16 a crop may get another of two phrases that fit it alike.
    Raises: UserError for an unknown name or precision, or what cannot be had.
    """
    check_choice("captioner", name, CAPTIONERS)
    return CAPTIONERS[name](clip, str(weights or ""), prompt, precision_of(precision))
