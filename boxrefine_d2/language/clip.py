"""CLIP (arXiv:2103.00020): one space for images and phrases. Refinement never trains it.

The towers are those of `transformers`. The captioner comes from the same library.

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
Normalisation = tuple[tuple[float, float, float], tuple[float, float, float]]
PLAIN: Normalisation = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
OFFICIAL: Normalisation = (  # arXiv:2103.00020, code
    (0.48145466, 0.4578275, 0.40821073),
    (0.26862954, 0.26130258, 0.27577711),
)


def check_phrase(phrase: str) -> None:
    """Refuse an empty phrase, and one with bytes that are not text. Raises: UserError."""
    if any("\ud800" <= character <= "\udfff" for character in phrase):
        raise UserError(f"the phrase {phrase!r} has bytes that are no UTF-8; write it in UTF-8")
    if not phrase.strip():
        raise UserError(f"the phrase {phrase!r} is empty; say what to look for")


def token_ids(
    phrases: Sequence[str], tokenizer: CLIPTokenizer, context: int, *, cut: bool
) -> tuple[Tensor, list[int]]:
    """Return ids (P, L), padded with the end token, and the indices of the phrases too long.

    Args:
        context: most tokens of a phrase.
        cut: if true, a phrase that is longer than the context loses its end. If false, it is
            refused.
    Raises: UserError for a phrase of spaces alone, or one that is too long.
    """
    for phrase in phrases:
        check_phrase(phrase)
    ids = [tokenizer(phrase)["input_ids"] for phrase in phrases]
    long = [i for i, phrase_ids in enumerate(ids) if len(phrase_ids) > context]
    if long and not cut:
        raise UserError(
            f"the phrase {phrases[long[0]]!r} has {len(ids[long[0]])} tokens; "
            f"at most {context} are allowed"
        )
    end = tokenizer.eos_token_id
    fitting = [[*i[: context - 1], end] if len(i) > context else i for i in ids]
    length = max(map(len, fitting), default=0)
    padded = [i + [end] * (length - len(i)) for i in fitting]
    return torch.tensor(padded, dtype=torch.int64), long


class Clip(nn.Module):
    """CLIP's two towers and its tokenizer, in eval mode; their parameters take no gradients.

    Attributes:
        weights_info: source of the weights.
        side: pixels; images are resized to side x side.
        context: most tokens of a phrase, including the marks of its start and its end.
        dim: D.
        normalisation: mean and standard deviation of the colours in CLIP's own training.
    """

    normalisation: Normalisation = PLAIN
    weights_info: WeightsInfo

    def __init__(self, model: CLIPModel, tokenizer: CLIPTokenizer):
        super().__init__()
        self.model: CLIPModel = model.requires_grad_(False).eval()
        self.tokenizer = tokenizer
        # By its type, the configuration may hold dictionaries or None. A network's never does.
        config: Any = model.config
        text, vision = config.text_config, config.vision_config
        # The text tower reads the output at the end token. For id 2, in old files, it looks for the
        # token with the highest id.
        end = text.eos_token_id
        if end not in (2, tokenizer.eos_token_id):
            raise UserError(
                f"this CLIP ends texts with the token {end}, and its tokenizer with "
                f"{tokenizer.eos_token_id}; give the network and the tokenizer of one CLIP"
            )
        self.side: int = vision.image_size
        self.context: int = text.max_position_embeddings
        self.dim: int = config.projection_dim

    def train(self, mode: bool = True) -> "Clip":
        """Stay in eval mode, for any mode."""
        return super().train(False)

    @property
    def device(self) -> torch.device:
        """Device of the parameters."""
        device: torch.device = self.model.logit_scale.device
        return device

    @property
    def logit_scale(self) -> float:
        """Factor of cosines before a softmax, as CLIP learnt it."""
        return float(self.model.logit_scale.exp())

    def tokens(self, phrases: Sequence[str], *, cut: bool = True) -> tuple[Tensor, list[int]]:
        """Return ids (P, L) and the indices of the phrases too long; see `token_ids`."""
        ids, long = token_ids(phrases, self.tokenizer, self.context, cut=cut)
        return ids.to(self.device), long

    @torch.no_grad()
    def encode_text(self, phrases: Sequence[str], *, cut: bool = True) -> Tensor:
        """Return vectors of phrases, (P, D) of length 1. Raises: UserError, see `tokens`."""
        parts = [phrases[i : i + TEXTS_AT_ONCE] for i in range(0, len(phrases), TEXTS_AT_ONCE)]
        none = torch.zeros(0, self.dim, device=self.device)
        return torch.cat([none, *(self.encode_tokens(self.tokens(x, cut=cut)[0]) for x in parts)])

    def encode_tokens(self, ids: Tensor) -> Tensor:
        """Return vectors (P, D) of length 1 for ids (P, L); ids after the end are ignored."""
        # True for the ids of a row up to its first end token
        mask = (ids == self.tokenizer.eos_token_id).cumsum(dim=1) <= 1
        pooled = self.model.text_model(input_ids=ids, attention_mask=mask.long()).pooler_output
        return F.normalize(self.model.text_projection(pooled), dim=1)

    def encode_images(self, images: Tensor) -> Tensor:
        """Return vectors of images, (B, D) of length 1, differentiable in the images.

        Args: images: (B, 3, H, W) RGB in [-1, 1], as in the code of the grounding papers.
        """
        return encoded(self.model, self.resized(images))

    def encode_photos(self, images: Tensor) -> Tensor:
        """Return vectors of images, (B, D) of length 1, normalised as in CLIP's own training.

        Args: images: (B, 3, side, side) RGB in [0, 1].
        """
        mean, std = (
            torch.tensor(values, device=images.device)[:, None, None]
            for values in self.normalisation
        )
        return encoded(self.model, (images - mean) / std)

    def resized(self, images: Tensor) -> Tensor:
        """Return images of any shape resized to (B, C, side, side), bilinear, corners aligned."""
        size = (self.side, self.side)
        if images.shape[-2:] == size:
            return images
        return F.interpolate(images, size=size, mode="bilinear", align_corners=True)
