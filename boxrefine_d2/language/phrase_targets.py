"""Answers of a frozen CLIP for images and phrases that come back; each answer is computed once."""

from collections.abc import Hashable, Sequence

import torch
from torch import Tensor

from boxrefine_d2.networks.recurring import OncePerInput, Row, pair_names

from .clip import Clip
from .relevance import relevance_grids, stretched

TEXT_BYTES = 64 * 2**20


class PhraseTargets:
    """Vectors of phrases, and relevance maps of pairs of an image and a phrase.

    Args: start_layer: see `relevance_grids`.
    """

    def __init__(self, clip: Clip, start_layer: int):
        self._clip = clip
        self._start_layer = start_layer
        self._texts = OncePerInput(self._texts_of, TEXT_BYTES)
        self._grids = OncePerInput(self._grids_of)

    def text(self, phrases: Sequence[str]) -> Tensor:
        """Return vectors of phrases, (P, D) of length 1. Raises: UserError for an empty phrase."""
        return torch.stack([row for (row,) in self._texts(phrases, phrases)])

    def relevance(
        self,
        images: Tensor,
        phrases: Sequence[str],
        image_names: Sequence[Hashable | None] | None = None,
    ) -> Tensor:
        """Return the relevance map of each image with its phrase, (B, side, side) in [0, 1].

        Args:
            images: (B, 3, S, S) RGB in [-1, 1].
            image_names: names of images that come back unchanged; None for one that does not.
        """
        names = pair_names(image_names or [None] * len(images), phrases)
        pairs = list(zip(images, phrases, strict=True))
        grids = torch.stack([row for (row,) in self._grids(pairs, names)])
        return stretched(grids, self._clip.side)

    def _texts_of(self, phrases: Sequence[str]) -> list[Row]:
        return [(text,) for text in self._clip.encode_text(phrases)]

    def _grids_of(self, pairs: Sequence[tuple[Tensor, str]]) -> list[Row]:
        images = torch.stack([image for image, _ in pairs])
        text = self.text([phrase for _, phrase in pairs])
        grids = relevance_grids(self._clip, images, text, start_layer=self._start_layer)
        return [(grid.clone(),) for grid in grids]
