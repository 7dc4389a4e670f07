"""Frozen classifier and frozen embedding that a configuration names."""

from detectron2.config import CfgNode

from boxrefine_d2.networks.image_classifier import (
    ImageClassifier,
    check_classes,
    new_classifier,
    read_classifier,
)
from boxrefine_d2.networks.weights import parse_random

from .class_model import check_crop
from .training_data import classes_of_training


def classifier_of(cfg: CfgNode) -> ImageClassifier | None:
    """Return the classifier of MODEL.CLASSIFIER.WEIGHTS, frozen; None if none is named.

    An untrained one has the classes of the training data; with it a map learns nothing true, which
    makes it a control.

    Raises: UserError for a file that is refused, whose classes are not those of the training data,
        or whose trunk cannot read the crop.
    """
    node, data = cfg.MODEL.CLASSIFIER, cfg.DATASETS.TRAIN
    if not node.WEIGHTS:
        return None
    seed = parse_random(node.WEIGHTS)
    if seed is not None:
        classes = classes_of_training(cfg)
        return _frozen(
            new_classifier(node.TRUNK, node.WEIGHTS, len(classes), seed=seed, classes=classes), cfg
        )
    classifier = read_classifier(node.WEIGHTS)
    if data:
        check_classes(classifier.classes, classes_of_training(cfg), data[0])
    return _frozen(classifier, cfg)


def embedding_of(cfg: CfgNode) -> ImageClassifier:
    """Return the Siamese network of WEIGHT_MAP.EMBEDDING_WEIGHTS, frozen.

    Raises: UserError for a file that is refused, or whose trunk cannot read the crop.
    """
    node, weights = cfg.MODEL.CLASSIFIER, cfg.WEIGHT_MAP.EMBEDDING_WEIGHTS
    seed = parse_random(weights)
    if seed is None:
        return _frozen(read_classifier(weights), cfg)
    return _frozen(new_classifier(node.TRUNK, weights, cfg.WEIGHT_MAP.EMBEDDING, seed=seed), cfg)


def _frozen(network: ImageClassifier, cfg: CfgNode) -> ImageClassifier:
    check_crop(cfg, network)
    return network.eval().requires_grad_(False)
