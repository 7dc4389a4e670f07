"""Class activations of a batch by a classifier, with its ranked classes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from detectron2.config import CfgNode
from torch import Tensor

from boxrefine_d2.networks.image_classifier import ImageClassifier, pixel_maps

from .cam_family import METHODS, family_maps, require_torchcam
from .class_model import ClassAnswer, drawn_classes, ranked

CAM = "cam"


@dataclass(frozen=True)
class HeatmapChoice:
    """Choice of the maps that a classifier draws.

    Attributes:
        known_class: False to draw the predicted class of every image.
        family: further methods, keys of `cam_family.METHODS`.
    """

    known_class: bool = True
    family: tuple[str, ...] = ()

    @staticmethod
    def of_config(cfg: CfgNode) -> "HeatmapChoice":
        """Return the choice of LOCALIZATION. Raises: UserError if torchcam is needed and missing.

        A method is drawn only if a source names it.
        """
        named = {words[0] for words in cfg.LOCALIZATION.SOURCES}
        family = tuple(name for name in METHODS if name in named)
        if family:
            require_torchcam()
        return HeatmapChoice(cfg.LOCALIZATION.CAM_CLASS == "known", family)


def class_answers(
    classifier: ImageClassifier,
    images: Tensor,
    batched_inputs: Sequence[dict[str, Any]],
    choice: HeatmapChoice,
) -> list[ClassAnswer]:
    """Return "cam" and the chosen further maps of each image, and its ranked classes.

    Args:
        images: (B, 3, S, S), normalised.
        batched_inputs: the same images, with "image_label" where the class is known.
    """
    features = classifier.trunk(images).float()
    outputs = classifier.outputs_of(features)
    drawn = drawn_classes(batched_inputs, outputs, known=choice.known_class)
    maps = {CAM: classifier.activation(features, drawn)}
    maps |= family_maps(classifier, images, drawn, choice.family)
    size = (images.shape[-2], images.shape[-1])
    pixels = {name: pixel_maps(each, size).cpu() for name, each in maps.items()}
    return [
        ClassAnswer({name: each[i] for name, each in pixels.items()}, labels, score)
        for i, (labels, score) in enumerate(ranked(outputs))
    ]
