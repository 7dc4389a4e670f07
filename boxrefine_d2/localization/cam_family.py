"""Maps of a class that a classifier draws: CAM, and its family by gradients or by masked images.

Sources: CAM (CVPR 2016), Grad-CAM (arXiv:1610.02391), Grad-CAM++ (arXiv:1710.11063), LayerCAM (TIP
2021) and Score-CAM (arXiv:1910.01279), each on the features behind the trunk. torchcam (extra
`wsol`) computes Grad-CAM, LayerCAM and Score-CAM. Its version 0.5.0 leaves the denominator out of
the weights of Grad-CAM++, so these are computed here.

Shapes: B images, C channels, K classes, h x w cells, H x W pixels.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from detectron2.config import CfgNode
from torch import Tensor, nn

from boxrefine_d2.errors import UserError
from boxrefine_d2.networks.image_classifier import ImageClassifier, pixel_maps

CAM = "cam"
MASKED_IMAGES = 32  # images of a forward pass of Score-CAM

# function of the classifier, the images (B, 3, H, W), their features (B, C, h, w) and the classes
# (B,) int64 to maps (B, h, w)
Draw = Callable[[ImageClassifier, Tensor, Tensor, Tensor], Tensor]


class _Scores(nn.Module):
    """Scores (B, K) of a classifier, from its images or from its features.

    torchcam hooks the layer `features` of this module. The classifier itself has no hook.
    """

    def __init__(self, classifier: ImageClassifier, trunk: Callable[[Tensor], Tensor]):
        super().__init__()
        self.features = nn.Identity()
        self._trunk, self._outputs_of = trunk, classifier.outputs_of

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the scores."""
        return self._outputs_of(self.features(self._trunk(inputs)))


def _cam(classifier: ImageClassifier, _: Tensor, features: Tensor, classes: Tensor) -> Tensor:
    return classifier.activation(features, classes)


def _by_gradient(method: str) -> Draw:
    """Return a method of torchcam that reads the gradient of the score.

    The gradient ends at the features: it needs no memory of the trunk.
    """

    def draw(classifier: ImageClassifier, _: Tensor, features: Tensor, classes: Tensor) -> Tensor:
        with torch.enable_grad(), _extractor(method, _Scores(classifier, _same)) as extract:
            scores = extract.model(features.detach().requires_grad_())
            [maps] = extract(classes.tolist(), scores, normalized=False)
        drawn: Tensor = maps
        return drawn

    return draw


def _grad_cam_plus_plus(
    classifier: ImageClassifier, _: Tensor, features: Tensor, classes: Tensor
) -> Tensor:
    """Return the maps of Grad-CAM++, for the exponential of the score as in the paper."""
    with torch.enable_grad():
        leaf = features.detach().requires_grad_()
        scores = classifier.outputs_of(leaf).gather(1, classes[:, None])
        [gradient] = torch.autograd.grad(scores.sum(), leaf)
    squared, totals = gradient.square(), features.sum(dim=(2, 3), keepdim=True)
    denominator = 2 * squared + totals * squared * gradient
    alpha = squared / torch.where(denominator == 0, torch.inf, denominator)
    weights = (alpha * gradient.relu()).sum(dim=(2, 3))
    return torch.einsum("bchw,bc->bhw", features, weights).relu()


def _score_cam(classifier: ImageClassifier, images: Tensor, _: Tensor, classes: Tensor) -> Tensor:
    """Return the maps of Score-CAM: each channel counts as its masked image scores."""
    scores = _Scores(classifier, lambda images: classifier.trunk(images).float())
    with _extractor("ScoreCAM", scores, batch_size=MASKED_IMAGES) as extract:
        extract.model(images)
        [maps] = extract(classes.tolist(), normalized=False)
    drawn: Tensor = maps
    return drawn


DRAWN_MAPS: dict[str, Draw] = {
    CAM: _cam,
    "grad_cam": _by_gradient("GradCAM"),
    "grad_cam_plus_plus": _grad_cam_plus_plus,
    "layer_cam": _by_gradient("LayerCAM"),
    "score_cam": _score_cam,
}
_OF_TORCHCAM = ("grad_cam", "layer_cam", "score_cam")


def named_maps(cfg: CfgNode) -> tuple[str, ...]:
    """Return CAM and the maps of `DRAWN_MAPS` that LOCALIZATION.SOURCES names.

    Raises: UserError, with the install command, if one needs torchcam and it is missing.
    """
    producers = {words[0] for words in cfg.LOCALIZATION.SOURCES} | {CAM}
    named = tuple(name for name in DRAWN_MAPS if name in producers)
    for name in named:
        if name in _OF_TORCHCAM:
            _torchcam_methods(name)
    return named


def class_maps(
    classifier: ImageClassifier,
    images: Tensor,
    features: Tensor,
    classes: Tensor,
    names: Sequence[str] = (CAM,),
) -> list[dict[str, Tensor]]:
    """Return the maps of a class for each image, {name: (H, W) in [0, 1]}, on the CPU.

    Args:
        images: (B, 3, H, W), normalised.
        features: (B, C, h, w) float32, the trunk's of these images.
        classes: (B,) int64.
        names: keys of `DRAWN_MAPS`.
    """
    size = (images.shape[-2], images.shape[-1])
    drawn = {
        name: pixel_maps(DRAWN_MAPS[name](classifier, images, features, classes), size).cpu()
        for name in names
    }
    return [{name: maps[i] for name, maps in drawn.items()} for i in range(len(images))]


def _same(features: Tensor) -> Tensor:
    return features


def _extractor(method: str, scores: _Scores, **settings: Any) -> Any:
    return getattr(_torchcam_methods(method), method)(scores, "features", **settings)


def _torchcam_methods(needed_by: str) -> Any:
    try:
        from torchcam import methods
    except ImportError as error:
        raise UserError(
            f"LOCALIZATION.SOURCES: {needed_by} needs torchcam ({error}): pip install "
            "'boxrefine_d2[wsol]', or name cam or grad_cam_plus_plus"
        ) from error
    return methods
