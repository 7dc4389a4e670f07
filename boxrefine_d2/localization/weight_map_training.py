"""WeightMapTraining and TripletWeightMapTraining: methods I and II of the weight map.

Source: "Learning a Weight Map for Weakly-Supervised Localization" (arXiv:2111.14131).

Shapes: B images, S x S pixels.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY
from detectron2.utils.events import get_event_storage
from torch import Tensor

from boxrefine_d2.errors import UserError
from boxrefine_d2.networks.image_classifier import ImageClassifier
from boxrefine_d2.networks.weight_map import WeightMap, WeightMapForm, new_weight_map
from boxrefine_d2.training.frozen_parts import keep_out_of_checkpoints

from .cam_family import CAM, DRAWN_MAPS, class_maps, named_maps
from .class_model import ClassAnswer, ClassModel, check_side, drawn_classes, ranked
from .frozen_networks import classifier_of, embedding_of
from .masking import DISCREPANCIES, masked, triplet_loss

WEIGHT_MAP = "weight_map"
ROLES = ("anchor", "positive", "negative")


class WeightMapModel(ClassModel):
    """Base of both methods: g, and a frozen classifier that names classes at test.

    Attributes:
        map_network: g.
        classifier: frozen classifier; None if no file is named.
    """

    product_file = "weight_map.safetensors"
    product_name = "weight_map"
    producers = (WEIGHT_MAP, *DRAWN_MAPS)
    map_network: WeightMap

    def __init__(
        self,
        *,
        weight_map: WeightMap,
        classifier: ImageClassifier | None,
        area_weight: float,
        masked_value: str,
        weight_decay: float,
        cam_of_known_class: bool,
        autocast: bool,
        class_maps: Sequence[str] = (CAM,),
    ):
        """Take the parts.

        Args:
            area_weight: weight of the mean of the map.
            masked_value: key of `masking.COLOURS`.
            class_maps: keys of `DRAWN_MAPS` to draw by the classifier.
        """
        super().__init__()
        self.map_network = weight_map
        self.classifier = classifier
        self.area_weight, self.masked_value = area_weight, masked_value
        self.weight_decay = weight_decay
        self.cam_of_known_class = cam_of_known_class
        self.autocast, self.class_maps = autocast, class_maps
        keep_out_of_checkpoints(self, "classifier.", "embedding.")

    @staticmethod
    def parts(cfg: CfgNode) -> dict[str, Any]:
        """Return the arguments of both methods, as the configuration sets them.

        Raises: UserError for a crop that is no multiple of the encoder's cells, and for networks
            that are refused.
        """
        node = cfg.WEIGHT_MAP
        widths = tuple(node.DECODER_WIDTHS)
        form = WeightMapForm(node.ENCODER, node.LAST_NORM, node.INNER_ACTIVATION, widths)
        network = new_weight_map(form, node.ENCODER_WEIGHTS, seed=cfg.SEED)
        crop = cfg.INPUT.CLASSIFIED.CROP
        check_side("INPUT.CLASSIFIED.CROP", crop, node.ENCODER, network.stride)
        return {
            "weight_map": network,
            "classifier": classifier_of(cfg),
            "area_weight": node.AREA_WEIGHT,
            "masked_value": node.MASKED_VALUE,
            "weight_decay": cfg.SOLVER.WEIGHT_DECAY,
            "cam_of_known_class": cfg.LOCALIZATION.CAM_CLASS == "known",
            "autocast": cfg.SOLVER.AMP.ENABLED,
            "class_maps": named_maps(cfg),
        }

    @property
    def device(self) -> torch.device:
        """Device of g."""
        return next(self.map_network.parameters()).device

    @property
    def frozen(self) -> dict[str, ImageClassifier]:
        """Frozen networks by name, which checkpoints leave out."""
        return {} if self.classifier is None else {"classifier": self.classifier}

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return all parameters of g."""
        return [{"params": self.map_network.parameters(), "weight_decay": self.weight_decay}]

    def train(self, mode: bool = True) -> "WeightMapModel":
        """Set the mode of g; the frozen networks keep their statistics."""
        super().train(mode)
        for network in self.frozen.values():
            network.eval()
        return self

    def maps_of(self, images: Tensor) -> Tensor:
        """Return g's maps while it learns, (B, 1, S, S) float32."""
        with self.mixed():
            logits = self.map_network.logits(images)
        return logits.float().sigmoid()

    def area_loss(self, maps: Tensor) -> Tensor:
        """Return the weighted mean of the maps, which it also logs."""
        area = maps.mean()
        get_event_storage().put_scalar("mean_map", area.item())
        return self.area_weight * area

    def answers(self, batched_inputs: list[dict[str, Any]]) -> list[ClassAnswer]:
        """Return the map of each image; with a classifier also its classes and its maps."""
        images = self.images_of(batched_inputs)
        maps = self.map_network(images).data[:, 0].cpu()
        if self.classifier is None:
            return [ClassAnswer({WEIGHT_MAP: heatmap}) for heatmap in maps]
        features = self.classifier.trunk(images).float()
        outputs = self.classifier.outputs_of(features)
        drawn = drawn_classes(batched_inputs, outputs, known=self.cam_of_known_class)
        of_class = class_maps(self.classifier, images, features, drawn, self.class_maps)
        return [
            ClassAnswer({WEIGHT_MAP: heatmap} | others, labels, score)
            for heatmap, others, (labels, score) in zip(
                maps, of_class, ranked(outputs), strict=True
            )
        ]


@META_ARCH_REGISTRY.register()
class WeightMapTraining(WeightMapModel):
    """Method I: the classifier predicts the same through the map, and the map is small."""

    classifier: ImageClassifier

    @configurable
    def __init__(self, *, discrepancy: Callable[[Tensor, Tensor], Tensor], **parts: Any):
        super().__init__(**parts)
        self.discrepancy = discrepancy

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Return the parts. Raises: UserError if no classifier is named."""
        if not cfg.MODEL.CLASSIFIER.WEIGHTS:
            raise UserError(
                "MODEL.CLASSIFIER.WEIGHTS is empty: method I needs the classifier.safetensors of a "
                "training with configs/weight_map_classifier.yaml"
            )
        discrepancy = DISCREPANCIES[cfg.WEIGHT_MAP.DISCREPANCY]
        return cls.parts(cfg) | {"discrepancy": discrepancy}

    def losses(self, batched_inputs: list[dict[str, Any]]) -> dict[str, Tensor]:
        """Return {"loss_classifier", "loss_area"}; no class label is read."""
        images = self.images_of(batched_inputs)
        maps = self.maps_of(images)
        with self.mixed():
            with torch.no_grad():
                whole = self._predicted(images)
            seen = self._predicted(masked(images, maps, self.masked_value))
        loss = self.discrepancy(whole.float(), seen.float())
        return {"loss_classifier": loss, "loss_area": self.area_loss(maps)}

    def _predicted(self, images: Tensor) -> Tensor:
        return self.classifier.outputs_of(self.classifier.trunk(images))


@META_ARCH_REGISTRY.register()
class TripletWeightMapTraining(WeightMapModel):
    """Method II: what the map shows stays near the image, and near what it shows of its class.

    Attributes: embedding: frozen Siamese network.
    """

    @configurable
    def __init__(
        self,
        *,
        embedding: ImageClassifier,
        inner_weight: float,
        outer_weight: float,
        margin: float,
        **parts: Any,
    ):
        super().__init__(**parts)
        self.embedding = embedding
        self.inner_weight, self.outer_weight, self.margin = inner_weight, outer_weight, margin

    @property
    def frozen(self) -> dict[str, ImageClassifier]:
        """Frozen networks by name, which checkpoints leave out."""
        return super().frozen | {"embedding": self.embedding}

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Return the parts. Raises: UserError if no Siamese network is named."""
        node = cfg.WEIGHT_MAP
        if not node.EMBEDDING_WEIGHTS:
            raise UserError(
                "WEIGHT_MAP.EMBEDDING_WEIGHTS is empty: method II needs the siamese.safetensors of "
                "a training with configs/weight_map_siamese.yaml"
            )
        return cls.parts(cfg) | {
            "embedding": embedding_of(cfg),
            "inner_weight": node.INNER_WEIGHT,
            "outer_weight": node.OUTER_WEIGHT,
            "margin": node.MARGIN,
        }

    def losses(self, batched_inputs: list[dict[str, Any]]) -> dict[str, Tensor]:
        """Return {"loss_inner", "loss_outer", "loss_area"}.

        The terms inside an image and of the area read the anchors alone.

        Args: batched_inputs: results of `TripletMapper`.
        """
        count = len(batched_inputs)
        images = self.images_of([x[role] for role in ROLES for x in batched_inputs])
        maps = self.maps_of(images)
        anchors, own = images[:count], maps[:count]
        shown = masked(images, maps, self.masked_value)
        hidden = masked(anchors, 1 - own, self.masked_value)
        with self.mixed():
            with torch.no_grad():
                whole = self._embedded(anchors)
            embedded = self._embedded(torch.cat([shown, hidden]))
        whole, embedded = whole.float(), embedded.float()
        anchor, positive, negative, background = embedded.split(count)
        inner = triplet_loss(whole, anchor, background, self.margin)
        outer = triplet_loss(anchor, positive, negative, self.margin)
        return {
            "loss_inner": self.inner_weight * inner,
            "loss_outer": self.outer_weight * outer,
            "loss_area": self.area_loss(own),
        }

    def _embedded(self, images: Tensor) -> Tensor:
        return self.embedding.outputs_of(self.embedding.trunk(images))
