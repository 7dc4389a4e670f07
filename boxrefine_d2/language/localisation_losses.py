"""What teaches g, the heatmap of a phrase, where no box is given ("What is Where by Looking", NeurIPS 2022; L_fore, L_back
and L_rmap of the box-refinement paper, ICCV 2023).

Shapes: B images, each with a phrase; S x S pixels of image and heatmap, D dimensions of CLIP's space.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from boxrefine_d2.errors import check_choice

from .clip import Clip

SIMILARITIES = ("matched", "all_pairs")


class LocalisationLosses(nn.Module):
    """Four terms that compare a heatmap with CLIP's relevance, and what it shows and hides of the image with the phrase.

    Args (keyword):
        relevance_weight: of the mean squared difference to CLIP's relevance map.
        area_weight: of the mean of the heatmap.
        foreground_weight: of minus the similarity of what the heatmap shows to the phrase.
        background_weight: of the similarity of what it hides.
        similarity: "matched" takes each image with its own phrase (the papers' equations); "all_pairs" the mean over all
            B x B of 1 - s and of |s| (their code).
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
        """Whether any term counts."""
        of_map = (self.relevance_weight, self.area_weight)
        return any((*of_map, self.foreground_weight, self.background_weight))

    def forward(
        self, clip: Clip, images: Tensor, text: Tensor, heatmaps: Tensor, relevance: Tensor
    ) -> dict[str, Tensor]:
        """Weighted and summable.

        What is hidden becomes 0, in these images mid-grey.

        Args:
            images: (B, 3, S, S) RGB in [-1, 1].
            text: (B, D) of length 1.
            heatmaps: (B, 1, S, S), differentiable.
            relevance: (B, side, side) as `PhraseTargets` gives them.
        """
        seen, mask = clip.resized(images), clip.resized(heatmaps)
        both = clip.encode_images(torch.cat([seen * mask, seen * (1 - mask)]))
        shown, hidden = both.chunk(2)
        size = heatmaps.shape[-2:]
        wanted = F.interpolate(relevance[:, None], size=size, mode="bilinear", align_corners=True)
        if self.all_pairs:
            foreground, background = 1 - shown @ text.T, (hidden @ text.T).abs()
        else:
            foreground, background = -(shown * text).sum(dim=1), (hidden * text).sum(dim=1)
        return {
            "loss_relevance": self.relevance_weight * F.mse_loss(heatmaps, wanted),
            "loss_area": self.area_weight * mask.mean(),
            "loss_foreground": self.foreground_weight * foreground.mean(),
            "loss_background": self.background_weight * background.mean(),
        }
