"""ClassifierTraining: a classifier of images learns from class labels alone."""

from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY
from torch import Tensor

from boxrefine_d2.networks.image_classifier import ImageClassifier, new_classifier

from .cam_family import CAM, DRAWN_MAPS, class_maps, named_maps
from .class_model import ClassAnswer, ClassModel, check_crop, drawn_classes, ranked
from .training_data import classes_of_training


@META_ARCH_REGISTRY.register()
class ClassifierTraining(ClassModel):
    """Training of trunk and head by cross entropy.

    Attributes: map_network: the classifier.
    """

    product_file = "classifier.safetensors"
    product_name = "classifier"
    producers = tuple(DRAWN_MAPS)
    map_network: ImageClassifier

    @configurable
    def __init__(
        self,
        *,
        classifier: ImageClassifier,
        weight_decay: float,
        cam_of_known_class: bool,
        maps: Sequence[str] = (CAM,),
        autocast: bool = False,
    ):
        """Take the parts.

        Args:
            cam_of_known_class: False to draw the predicted class of every test image.
            maps: keys of `DRAWN_MAPS` to draw.
        """
        super().__init__()
        self.map_network = classifier
        self.maps = maps
        self.weight_decay = weight_decay
        self.cam_of_known_class = cam_of_known_class
        self.autocast = autocast

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Return the parts; the head has an output for each class of the training data.

        Raises: UserError for a crop that the trunk cannot read.
        """
        node, classes = cfg.MODEL.CLASSIFIER, classes_of_training(cfg)
        classifier = new_classifier(
            node.TRUNK, node.TRUNK_WEIGHTS, len(classes), seed=cfg.SEED, classes=classes
        )
        check_crop(cfg, classifier)
        return {
            "classifier": classifier,
            "weight_decay": cfg.SOLVER.WEIGHT_DECAY,
            "cam_of_known_class": cfg.LOCALIZATION.CAM_CLASS == "known",
            "maps": named_maps(cfg),
            "autocast": cfg.SOLVER.AMP.ENABLED,
        }

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return all parameters of the classifier."""
        return [{"params": self.map_network.parameters(), "weight_decay": self.weight_decay}]

    def losses(self, batched_inputs: list[dict[str, Any]]) -> dict[str, Tensor]:
        """Return {"loss_class"}."""
        with self.mixed():
            features = self.map_network.trunk(self.images_of(batched_inputs))
        outputs = self.map_network.outputs_of(features.float())
        return {"loss_class": F.cross_entropy(outputs, self.labels_of(batched_inputs))}

    def answers(self, batched_inputs: list[dict[str, Any]]) -> list[ClassAnswer]:
        """Return the ranked classes and the maps of a class."""
        images = self.images_of(batched_inputs)
        features = self.map_network.trunk(images).float()
        outputs = self.map_network.outputs_of(features)
        drawn = drawn_classes(batched_inputs, outputs, known=self.cam_of_known_class)
        heatmaps = class_maps(self.map_network, images, features, drawn, self.maps)
        return [
            ClassAnswer(maps, labels, score)
            for maps, (labels, score) in zip(heatmaps, ranked(outputs), strict=True)
        ]
