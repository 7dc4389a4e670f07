"""ClassifierTraining: a classifier of images learns from class labels alone."""

from typing import Any

import torch.nn.functional as F
from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY
from torch import Tensor

from boxrefine_d2.networks.image_classifier import (
    ImageClassifier,
    file_facts,
    new_classifier,
)

from .class_heatmaps import HeatmapChoice, class_answers
from .class_model import ClassAnswer, ClassModel
from .training_data import classes_of_training


@META_ARCH_REGISTRY.register()
class ClassifierTraining(ClassModel):
    """Training of trunk and head by cross entropy.

    Attributes: map_network: the classifier.
    """

    product_file = "classifier.safetensors"
    product_name = "classifier"
    map_network: ImageClassifier

    @configurable
    def __init__(
        self,
        *,
        classifier: ImageClassifier,
        weight_decay: float,
        heatmaps: HeatmapChoice,
        autocast: bool = False,
    ):
        super().__init__()
        self.map_network = classifier
        self.weight_decay = weight_decay
        self.heatmaps = heatmaps
        self.autocast = autocast

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Return the parts; the head has an output for each class of the training data."""
        node, classes = cfg.MODEL.CLASSIFIER, classes_of_training(cfg)
        return {
            "classifier": new_classifier(
                node.TRUNK, node.TRUNK_WEIGHTS, len(classes), seed=cfg.SEED, classes=classes
            ),
            "weight_decay": cfg.SOLVER.WEIGHT_DECAY,
            "heatmaps": HeatmapChoice.of_config(cfg),
            "autocast": cfg.SOLVER.AMP.ENABLED,
        }

    def product_facts(self) -> dict[str, str]:
        """Return the trunk and the classes."""
        return file_facts(self.map_network)

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
        """Return the ranked classes and the class activation maps."""
        images = self.images_of(batched_inputs)
        return class_answers(self.map_network, images, batched_inputs, self.heatmaps)
