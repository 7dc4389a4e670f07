"""GroupViT (arXiv:2202.11094): a transformer that groups patches, in a common space with phrases.

The network is that of `transformers`. Its `output_segmentation` is not the evaluation of the
release, which `group_inference` follows.

Shapes: B images, N patches on an h x w grid, G final groups, D dimensions of the common space,
P phrases.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import CLIPTokenizer, GroupViTModel

from boxrefine_d2.language.clip import token_ids
from boxrefine_d2.networks.weights import WeightsInfo

TEXTS_AT_ONCE = 64


@dataclass(frozen=True)
class Groups:
    """Groups of a batch.

    Attributes:
        soft: maps of the grouping blocks, softmax over groups: (B, 64, N), then (B, G, 64).
        segments: vectors of the groups in the common space, (B, G, D) of length 1.
        pooled: vectors of the images, (B, D) of length 1.
        grid: (h, w).
    """

    soft: tuple[Tensor, ...]
    segments: Tensor
    pooled: Tensor
    grid: tuple[int, int]

    @property
    def attention(self) -> Tensor:
        """Shares of the final groups in each patch, (B, G, N); a column sums to 1."""
        product = self.soft[0]
        for block in self.soft[1:]:
            product = block @ product
        return product


class GroupViT(nn.Module):
    """GroupViT with its tokenizer.

    Attributes:
        weights_info: source of the weights.
        context: most tokens of a phrase, including the marks of its start and its end.
        patch: side of a patch in pixels.
    """

    weights_info: WeightsInfo

    def __init__(self, model: GroupViTModel, tokenizer: CLIPTokenizer):
        super().__init__()
        self.model, self.tokenizer = model, tokenizer
        config: Any = model.config  # by its type, its parts may be None
        self.context: int = config.text_config.max_position_embeddings
        self.patch: int = config.vision_config.patch_size

    @property
    def device(self) -> torch.device:
        """Device of the parameters."""
        device: torch.device = self.model.logit_scale.device
        return device

    @property
    def logit_scale(self) -> Tensor:
        """Factor of cosines before a softmax, at most 100."""
        return self.model.logit_scale.exp().clamp(max=100)

    def forward(self, images: Tensor) -> Groups:
        """Return the groups of images (B, 3, H, W), normalised; sides are multiples of the patch.

        The position table is resized (bicubic) for another size than that of the training.
        """
        vision = self.model.vision_model
        hidden = vision.embeddings(images, interpolate_pos_encoding=True)
        found = vision.encoder(hidden_states=hidden, output_attentions=True, return_dict=True)
        tokens = vision.layernorm(found.last_hidden_state)
        projected = self._projected(tokens.flatten(0, 1)).unflatten(0, tokens.shape[:2])
        pooled = self._projected(tokens.mean(dim=1))
        grid = images.shape[-2] // self.patch, images.shape[-1] // self.patch
        return Groups(tuple(found.attentions), projected, pooled, grid)

    def _projected(self, tokens: Tensor) -> Tensor:
        return F.normalize(self.model.visual_projection(tokens), dim=-1)

    def encode_tokens(self, ids: Tensor) -> Tensor:
        """Return vectors of phrases, (P, D) of length 1, for ids (P, L)."""
        pooled = self.model.text_model(input_ids=ids).pooler_output
        return F.normalize(self.model.text_projection(pooled), dim=-1)

    @torch.no_grad()
    def encode_text(self, phrases: Sequence[str], *, cut: bool = True) -> Tensor:
        """Return vectors of phrases, (P, D) of length 1.

        Raises: UserError for a phrase of spaces alone, or, unless `cut`, for one that is too long.
        """
        parts = [phrases[i : i + TEXTS_AT_ONCE] for i in range(0, len(phrases), TEXTS_AT_ONCE)]
        return torch.cat([self.encode_tokens(self.tokens(part, cut=cut)) for part in parts])

    def tokens(self, phrases: Sequence[str], *, cut: bool = True) -> Tensor:
        """Return ids (P, L), padded with the end token."""
        ids, _ = token_ids(phrases, self.tokenizer, self.context, cut=cut)
        return ids.to(self.device)
