"""RepresenterPoints: localisation by the importance of all features of a data set.

Source: representer point selection, supplement and release. Nothing is trained. `observe` reads the
data of the statistics once; its state is one vector for each sum, or one of each class.

Shapes: B images of S x S pixels, C channels, h x w cells, K classes.
"""

from collections.abc import Sequence
from typing import Any

import torch
from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY
from detectron2.utils import comm
from torch import Tensor

from boxrefine_d2.data.image_labels import label_of
from boxrefine_d2.data.records import Record
from boxrefine_d2.discovery.build import build_rule
from boxrefine_d2.discovery.representer import Representer
from boxrefine_d2.errors import UserError
from boxrefine_d2.networks.image_classifier import ImageClassifier
from boxrefine_d2.networks.trunks import Trunk, build_trunk
from boxrefine_d2.structures import FeatureMap

from .class_model import ClassAnswer, ClassModel, check_side, drawn_classes, ranked
from .frozen_networks import classifier_of
from .training_data import classes_of_training

REPRESENTER = "representer"


@META_ARCH_REGISTRY.register()
class RepresenterPoints(ClassModel):
    """Localiser without training: a frozen trunk and the rule `representer`.

    Attributes:
        map_network: the trunk.
        rules: the rule, or with class-wise statistics one of each class.
        classes: names of the classes of `rules`; () for one rule for all.
    """

    producers = (REPRESENTER,)
    map_network: Trunk

    @configurable
    def __init__(
        self,
        *,
        trunk: Trunk,
        rules: Sequence[Representer],
        classes: Sequence[str] = (),
        classifier: ImageClassifier | None = None,
        known_class: bool = True,
    ):
        """Take the parts.

        Args:
            classifier: frozen classifier that names the classes of test images, or None.
            known_class: False to read every test image with the statistics of its predicted class.
        """
        super().__init__()
        self.map_network = trunk.requires_grad_(False).eval()
        self.rules, self.classes = list(rules), tuple(classes)
        self.classifier, self.known_class = classifier, known_class

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Return the parts. Raises: UserError for a side that is no multiple of the cells'."""
        node, own = cfg.MODEL.CLASSIFIER, cfg.REPRESENTER_POINTS
        trunk = build_trunk(node.TRUNK, node.TRUNK_WEIGHTS)
        sides = {
            "INPUT.CLASSIFIED.CROP": cfg.INPUT.CLASSIFIED.CROP,
            "REPRESENTER_POINTS.SIDE": own.SIDE,
        }
        for key, side in sides.items():
            check_side(key, side, node.TRUNK, trunk.stride)
        classes = classes_of_training(cfg) if own.CLASSWISE else ()
        return {
            "trunk": trunk,
            "rules": [_rule_of(cfg) for _ in range(len(classes) or 1)],
            "classes": classes,
            "classifier": classifier_of(cfg),
            "known_class": cfg.LOCALIZATION.CAM_CLASS == "known",
        }

    @torch.no_grad()
    def observe(self, batched_inputs: Sequence[dict[str, Any]]) -> None:
        """Add images to the statistics. Args: batched_inputs: results of `ClassTestMapper`."""
        features = self._features(self.images_of(batched_inputs))
        if not self.classes:
            self.rules[0].observe(features)
            return
        for place, label in enumerate(self.labels_of(batched_inputs).tolist()):
            self.rules[label].observe(_one(features, place))

    def share_statistics(self) -> None:
        """Give every process the statistics of the first one."""
        states = comm.all_gather([rule.state for rule in self.rules])[0]
        for rule, state in zip(self.rules, states, strict=True):
            rule.state = state

    def answers(self, batched_inputs: list[dict[str, Any]]) -> list[ClassAnswer]:
        """Return the map of each image, and with a classifier its classes."""
        images = self.images_of(batched_inputs)
        outputs = None
        if self.classifier is not None:
            outputs = self.classifier.outputs_of(self.classifier.trunk(images).float())
        features = self._features(images)
        if self.classes:
            rules = [self._rule(label) for label in self._classes_of(batched_inputs, outputs)]
            parts = [rule.pixel_maps(_one(features, i)) for i, rule in enumerate(rules)]
            maps = torch.cat(parts).cpu()
        else:
            maps = self.rules[0].pixel_maps(features).cpu()
        if outputs is None:
            return [ClassAnswer({REPRESENTER: heatmap}) for heatmap in maps]
        return [
            ClassAnswer({REPRESENTER: heatmap}, labels, score)
            for heatmap, (labels, score) in zip(maps, ranked(outputs), strict=True)
        ]

    def _features(self, images: Tensor) -> FeatureMap:
        data = self.map_network(images).float()
        if not data.isfinite().all():
            raise UserError(
                "the trunk's features hold numbers that are not finite; its weights are damaged"
            )
        size = (images.shape[-2], images.shape[-1])
        return FeatureMap(data, self.map_network.stride, [size] * len(images), "output")

    def _classes_of(
        self, batched_inputs: Sequence[dict[str, Any]], outputs: Tensor | None
    ) -> list[int]:
        """Return the class whose statistics read each image."""
        if outputs is not None:
            drawn = drawn_classes(batched_inputs, outputs, known=self.known_class)
            return [int(label) for label in drawn]
        known = [x.get("image_label") if self.known_class else None for x in batched_inputs]
        for x, label in zip(batched_inputs, known, strict=True):
            if label is None:
                raise UserError(
                    f"the class of image {x['relative_name']!r} is not known, and the statistics "
                    "are class-wise: name a classifier with MODEL.CLASSIFIER.WEIGHTS, or set "
                    "REPRESENTER_POINTS.CLASSWISE False"
                )
        return [int(label) for label in known if label is not None]

    def _rule(self, label: int) -> Representer:
        if label < len(self.rules) and self.rules[label].state.get("points"):
            return self.rules[label]
        name = self.classes[label] if label < len(self.classes) else f"number {label}"
        raise UserError(
            f"no image of the class {name} is in the data of the statistics; name data with it in "
            "DATASETS.TRAIN, or set REPRESENTER_POINTS.CLASSWISE False"
        )


def chosen_records(
    records: Sequence[Record], *, sampling_ratio: float, images_per_class: int | None
) -> list[Record]:
    """Return the images from which the statistics come, in order and evenly spread.

    Args:
        sampling_ratio: share of the images.
        images_per_class: most images of a class; 0 is no limit; None where classes do not matter.
    Raises: UserError for a share without an image; with classes, for an image without one.
    """
    count = int(len(records) * sampling_ratio)
    if not count:
        raise UserError(
            f"DISCOVERY.REPRESENTER.SAMPLING_RATIO {sampling_ratio} of {len(records)} images takes "
            "no image; raise it or add images"
        )
    sampled = _evenly(records, count)
    if not images_per_class:
        return sampled
    groups: dict[int, list[Record]] = {}
    for record in sampled:
        groups.setdefault(label_of(record), []).append(record)
    kept = [record for group in groups.values() for record in _evenly(group, images_per_class)]
    ids = {id(record) for record in kept}
    return [record for record in sampled if id(record) in ids]


def _evenly(records: Sequence[Record], count: int) -> list[Record]:
    """Return at most `count` records, the last of as many parts."""
    parts = min(count, len(records))
    return [records[(i + 1) * len(records) // parts - 1] for i in range(parts)]


def _rule_of(cfg: CfgNode) -> Representer:
    rule = build_rule("representer", cfg, sampling_ratio=1.0)  # the records are chosen before
    assert isinstance(rule, Representer)
    return rule


def _one(features: FeatureMap, place: int) -> FeatureMap:
    """Return the map of one image of a batch."""
    part = slice(place, place + 1)
    return FeatureMap(
        features.data[part], features.stride, features.image_sizes[part], features.facet
    )
