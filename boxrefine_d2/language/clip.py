"""CLIP (arXiv:2103.00020) as this project uses it: one space for pictures and phrases, never trained by refinement.

The towers are those of `transformers`, which also has the captioner, so that one well-kept library serves both.

Shapes: B images, P phrases, D dimensions of the common space, H x W pixels.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import CLIPModel, CLIPTokenizer

from boxrefine_d2.errors import UserError
from boxrefine_d2.networks.weights import WeightsInfo

from .image_tower import encoded

TEXTS_AT_ONCE = 64


def check_phrase(phrase: str) -> None:
    """Raises: UserError for one that says nothing, or has bytes that are no text."""
    if any("\ud800" <= character <= "\udfff" for character in phrase):
        raise UserError(f"the phrase {phrase!r} has bytes that are no UTF-8; write it in UTF-8")
    if not phrase.strip():
        raise UserError(f"the phrase {phrase!r} is empty; say what to look for")


class Clip(nn.Module):
    """Both towers and the tokenizer, in eval mode, without gradients of their own.

    Attributes:
        weights_info: where the weights came from.
        side: pixels; images are resized to side x side.
        context: tokens a phrase has at most, with those that mark its start and its end.
    """

    weights_info: WeightsInfo

    def __init__(self, model: CLIPModel, tokenizer: CLIPTokenizer):
        super().__init__()
        self.model: CLIPModel = model.requires_grad_(False).eval()
        self.tokenizer = tokenizer
        # the tower reads a text at the end's place; 2, of old files, lets it look for the highest number
        # by its type the library's settings may be dictionaries or None; those of a network are not
        config: Any = model.config
        text, vision = config.text_config, config.vision_config
        end = text.eos_token_id
        if end not in (2, tokenizer.eos_token_id):
            raise UserError(
                f"this CLIP's texts end with the token {end}, and its tokenizer's with {tokenizer.eos_token_id}: the "
                "files are not of one CLIP"
            )
        self.side: int = vision.image_size
        self.context: int = text.max_position_embeddings
        self.dim: int = config.projection_dim

    def train(self, mode: bool = True) -> "Clip":
        """It stays in eval mode."""
        return super().train(False)

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        device: torch.device = self.model.logit_scale.device
        return device

    def tokens(self, phrases: Sequence[str], *, cut: bool = True) -> tuple[Tensor, list[int]]:
        """(P, L) ids, padded with the end's, and which phrases were longer than the context.

        Args: cut: long phrases lose their end; if not, they are refused.
        Raises: UserError for a phrase without any character that counts, or one that is too long.
        """
        for phrase in phrases:
            check_phrase(phrase)
        ids = [self.tokenizer(phrase)["input_ids"] for phrase in phrases]
        long = [i for i, of_phrase in enumerate(ids) if len(of_phrase) > self.context]
        if long and not cut:
            raise UserError(
                f"the phrase {phrases[long[0]]!r} has {len(ids[long[0]])} tokens and {self.context} fit"
            )
        end = self.tokenizer.eos_token_id
        fitting = [[*i[: self.context - 1], end] if len(i) > self.context else i for i in ids]
        length = max(map(len, fitting), default=0)
        padded = [i + [end] * (length - len(i)) for i in fitting]
        return torch.tensor(padded, dtype=torch.int64, device=self.device), long

    @torch.no_grad()
    def encode_text(self, phrases: Sequence[str], *, cut: bool = True) -> Tensor:
        """(P, D) of length 1. Raises: UserError, see `tokens`."""
        parts = [phrases[i : i + TEXTS_AT_ONCE] for i in range(0, len(phrases), TEXTS_AT_ONCE)]
        none = torch.zeros(0, self.dim, device=self.device)
        return torch.cat([none, *(self.encode_tokens(self.tokens(x, cut=cut)[0]) for x in parts)])

    def encode_tokens(self, ids: Tensor) -> Tensor:
        """(P, D) of length 1, of (P, L) ids. What stands after the end of a phrase does not change it."""
        # all of a row up to its first end
        mask = (ids == self.tokenizer.eos_token_id).cumsum(dim=1) <= 1
        pooled = self.model.text_model(input_ids=ids, attention_mask=mask.long()).pooler_output
        return F.normalize(self.model.text_projection(pooled), dim=1)

    def encode_images(self, images: Tensor) -> Tensor:
        """(B, D) of length 1, differentiable in the images.

        Args: images: (B, 3, H, W) RGB in [-1, 1], which is how the grounding papers' code feeds CLIP.
        """
        return encoded(self.model, self.resized(images))

    def resized(self, images: Tensor) -> Tensor:
        """(B, C, side, side), bilinear, corners aligned, whatever their shape."""
        size = (self.side, self.side)
        if images.shape[-2:] == size:
            return images
        return F.interpolate(images, size=size, mode="bilinear", align_corners=True)
