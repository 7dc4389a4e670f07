"""The four loss terms, computed by hand for a CLIP with chosen features."""

import pytest
import torch
import torch.nn.functional as F

from boxrefine_d2.errors import UserError
from boxrefine_d2.language.localisation_losses import LocalisationLosses

WEIGHTS = {
    "relevance_weight": 64.0,
    "area_weight": 1.0,
    "foreground_weight": 1.0,
    "background_weight": 2.0,
}


class Colours:
    """CLIP whose features are the mean colour: (B, 3) of length 1; black is the third axis."""

    side = 4

    def resized(self, images):
        return F.interpolate(images, size=(4, 4), mode="bilinear", align_corners=True)

    def encode_images(self, images):
        mean = images.mean(dim=(2, 3)) + images.new_tensor([0, 0, 1e-6])
        return F.normalize(mean, dim=1)


def losses(similarity="matched", **changes):
    settings = WEIGHTS | {"similarity": similarity} | changes
    return LocalisationLosses(**settings)


def left_and_right():
    """Return two images, red on the left and green on the right, and their heatmaps.

    One heatmap covers the left half, the other one the whole image.
    """
    images = torch.zeros(2, 3, 4, 4)
    images[:, 0, :, :2] = 1
    images[:, 1, :, 2:] = 1
    heatmaps = torch.zeros(2, 1, 4, 4)
    heatmaps[0, :, :, :2] = 1
    heatmaps[1] = 1
    text = torch.tensor([[1.0, 0, 0], [0, 1.0, 0]])
    return images, text, heatmaps


def test_matched_pairs_by_hand():
    images, text, heatmaps = left_and_right()
    relevance = torch.zeros(2, 4, 4)
    relevance[1] = 1
    found = losses()(Colours(), images, text, heatmaps, relevance)
    # squares: half of the first image is off by 1, the second by 0
    assert found["loss_relevance"].item() == pytest.approx(64 * 0.25)
    assert found["loss_area"].item() == pytest.approx(0.75)
    # shown: red alone is red; both are half way between red and green
    half = 0.5**0.5
    assert found["loss_foreground"].item() == pytest.approx(-(1 + half) / 2, abs=1e-5)
    # hidden: green has nothing of red, and nothing has nothing of green
    assert found["loss_background"].item() == pytest.approx(0, abs=1e-5)


def test_all_pairs_by_hand():
    images, text, heatmaps = left_and_right()
    found = losses("all_pairs")(Colours(), images, text, heatmaps, torch.zeros(2, 4, 4))
    half = 0.5**0.5
    # similarities of what is shown: [[1, 0], [half, half]]; of what is hidden: [[0, 1], [0, 0]]
    assert found["loss_foreground"].item() == pytest.approx(1 - (1 + 2 * half) / 4, abs=1e-5)
    assert found["loss_background"].item() == pytest.approx(2 * 1 / 4, abs=1e-5)


def test_the_relevance_is_resized_with_corners_and_the_heatmap_learns():
    images, text, heatmaps = (F.interpolate(x, 8) if x.dim() == 4 else x for x in left_and_right())
    heatmaps = heatmaps.clamp(0.1, 0.9).requires_grad_()
    relevance = torch.rand(2, 4, 4, generator=torch.Generator().manual_seed(0))
    found = losses()(Colours(), images, text, heatmaps, relevance)
    expected = F.interpolate(relevance[:, None], size=(8, 8), mode="bilinear", align_corners=True)
    torch.testing.assert_close(found["loss_relevance"], 64 * (heatmaps - expected).square().mean())
    sum(found.values()).backward()
    assert torch.isfinite(heatmaps.grad).all() and heatmaps.grad.abs().sum() > 0


def test_terms_that_do_not_count():
    off = dict.fromkeys(WEIGHTS, 0.0)
    assert losses().enabled and not losses(**off).enabled
    assert losses(**off | {"background_weight": 1.0}).enabled


def test_an_unknown_similarity_is_named():
    with pytest.raises(
        UserError, match="GROUNDING.SIMILARITY 'cosine' is unknown; known: matched, all_pairs"
    ):
        losses("cosine")
