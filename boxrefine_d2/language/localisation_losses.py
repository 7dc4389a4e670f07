"""Losses that train g, the heatmap of a phrase, without boxes.

Sources: "What is Where by Looking" (NeurIPS 2022); L_fore, L_back and L_rmap of the box-refinement
paper (ICCV 2023).

Shapes: B images with one phrase each; S x S pixels of image and heatmap; D dimensions of CLIP's
space.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from boxrefine_d2.errors import check_choice

from .clip import Clip

SIMILARITIES = ("matched", "all_pairs")


class LocalisationLosses(nn.Module):
    """Four loss terms of a heatmap.

    One term compares the heatmap with CLIP's relevance map, and one is its area. Two terms compare
    the phrase with the parts of the image that the heatmap shows and hides.

    Args (keyword):
        relevance_weight: weight of the mean squared difference to CLIP's relevance map.
        area_weight: weight of the mean of the heatmap.
        foreground_weight: weight of minus the similarity of the shown part to the phrase.
        background_weight: weight of the similarity of the hidden part to the phrase.
        similarity: "matched" compares each image with its own phrase (the papers' equations).
            "all_pairs" takes the mean of 1 - s and of |s| over all B x B pairs (the papers' code).
    """

    def __init__(
        self,
        *,
        relevance_weight: float,
        area_weight: float,
        foreground_weight: float,
        background_weight: float,
        similarity: str,
    ):
        super().__init__()
        check_choice("GROUNDING.SIMILARITY", similarity, SIMILARITIES)
        self.relevance_weight, self.area_weight = relevance_weight, area_weight
        self.foreground_weight, self.background_weight = foreground_weight, background_weight
        self.all_pairs = similarity == "all_pairs"

    @property
    def enabled(self) -> bool:
        """True if any weight is not 0."""
        map_weights = (self.relevance_weight, self.area_weight)
        return any((*map_weights, self.foreground_weight, self.background_weight))

    def forward(
        self, clip: Clip, images: Tensor, text: Tensor, heatmaps: Tensor, relevance: Tensor
    ) -> dict[str, Tensor]:
        """Return the weighted losses by name; their sum is the loss.

        Hidden pixels become 0, which is mid-grey in these images.

        Args:
            images: (B, 3, S, S) RGB in [-1, 1].
            text: (B, D) of length 1.
            heatmaps: (B, 1, S, S), differentiable.
            relevance: (B, side, side) from `PhraseTargets.relevance`.
        """
        resized, mask = clip.resized(images), clip.resized(heatmaps)
        both = clip.encode_images(torch.cat([resized * mask, resized * (1 - mask)]))
        shown, hidden = both.chunk(2)
        size = heatmaps.shape[-2:]
        target = F.interpolate(relevance[:, None], size=size, mode="bilinear", align_corners=True)
        if self.all_pairs:
            foreground, background = 1 - shown @ text.T, (hidden @ text.T).abs()
        else:
            foreground, background = -(shown * text).sum(dim=1), (hidden * text).sum(dim=1)
        return {
            "loss_relevance": self.relevance_weight * F.mse_loss(heatmaps, target),
            "loss_area": self.area_weight * mask.mean(),
            "loss_foreground": self.foreground_weight * foreground.mean(),
            "loss_background": self.background_weight * background.mean(),
        }
