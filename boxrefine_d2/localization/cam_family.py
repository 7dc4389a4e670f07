"""Grad-CAM, Grad-CAM++, LayerCAM and Score-CAM of a classifier, by torchcam (extra `wsol`).

torchcam hooks the trunk. The hooks exist only while the maps are drawn.

Shapes: B images, C channels, h x w cells, S x S pixels.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from boxrefine_d2.errors import UserError
from boxrefine_d2.networks.image_classifier import ImageClassifier

# producer -> class in torchcam.methods
METHODS = {
    "grad_cam": "GradCAM",
    "grad_cam_plus_plus": "GradCAMpp",
    "layer_cam": "LayerCAM",
    "score_cam": "ScoreCAM",
}
_WITHOUT_GRADIENT = "score_cam"


def require_torchcam() -> Any:
    """Return torchcam's methods. Raises: UserError, with the install command, if it is missing."""
    try:
        from torchcam import methods
    except ImportError as error:
        raise UserError(
            f"{', '.join(METHODS)} need torchcam ({error}): pip install 'boxrefine_d2[wsol]', or "
            "leave them out of LOCALIZATION.SOURCES"
        ) from error
    return methods


class _Logits(nn.Module):
    """The classifier as torchcam reads it: from images to logits.

    The trunk is no part of it, because torchcam would set its mode.
    """

    def __init__(self, classifier: ImageClassifier):
        super().__init__()
        self.trunk, self.head = classifier.trunk, classifier.head

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.trunk(images).mean(dim=(2, 3)))
        return logits


def family_maps(
    classifier: ImageClassifier, images: Tensor, classes: Tensor, names: Sequence[str]
) -> dict[str, Tensor]:
    """Return maps (B, h, w), not below 0, by the name of their method.

    Gradients are taken even inside `torch.no_grad()`. The parameters of the classifier get none.

    Args:
        images: (B, 3, S, S), normalised.
        classes: (B,) int64, class whose map is drawn.
        names: keys of `METHODS`.
    Raises: UserError if a method is named and torchcam is missing.
    """
    if not names:
        return {}
    methods, network = require_torchcam(), _Logits(classifier)
    learning = [p for p in network.parameters() if p.requires_grad]
    chosen, maps = classes.tolist(), {}
    try:
        network.requires_grad_(False)
        for name in names:
            with (
                torch.set_grad_enabled(name != _WITHOUT_GRADIENT),
                getattr(methods, METHODS[name])(network, network.trunk) as draw,
            ):
                logits = network(images.detach().requires_grad_())
                [found] = draw(chosen, logits, normalized=False)
            maps[name] = found.detach()
    finally:
        for parameter in learning:
            parameter.requires_grad_(True)
    return maps
