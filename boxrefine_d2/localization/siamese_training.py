"""SiameseTraining: an embedding learns which images are of one class (arXiv:2111.14131)."""

from typing import Any

from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY
from torch import Tensor

from boxrefine_d2.errors import UserError
from boxrefine_d2.networks.image_classifier import ImageClassifier, new_classifier

from .class_model import ClassAnswer, ClassModel, check_crop
from .masking import triplet_loss
from .weight_map_training import ROLES

_NO_MAP = "a Siamese network draws no map, so it cannot be evaluated; DATASETS.TEST must be ()"


@META_ARCH_REGISTRY.register()
class SiameseTraining(ClassModel):
    """Training of an embedding by triplets of whole images.

    Attributes: map_network: the embedding, a trunk with a linear layer.
    """

    product_file = "siamese.safetensors"
    product_name = "siamese"
    producers = ()
    map_network: ImageClassifier

    @configurable
    def __init__(
        self,
        *,
        embedding: ImageClassifier,
        margin: float,
        weight_decay: float,
        autocast: bool = False,
    ):
        super().__init__()
        self.map_network = embedding
        self.margin, self.weight_decay, self.autocast = margin, weight_decay, autocast

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Return the parts.

        Raises: UserError if data to evaluate on are named, or for a crop that the trunk cannot
            read.
        """
        if cfg.DATASETS.TEST:
            raise UserError(f"DATASETS.TEST {cfg.DATASETS.TEST}: {_NO_MAP}")
        node = cfg.MODEL.CLASSIFIER
        embedding = new_classifier(
            node.TRUNK, node.TRUNK_WEIGHTS, cfg.WEIGHT_MAP.EMBEDDING, seed=cfg.SEED
        )
        check_crop(cfg, embedding)
        return {
            "embedding": embedding,
            "margin": cfg.WEIGHT_MAP.MARGIN,
            "weight_decay": cfg.SOLVER.WEIGHT_DECAY,
            "autocast": cfg.SOLVER.AMP.ENABLED,
        }

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return all parameters."""
        return [{"params": self.map_network.parameters(), "weight_decay": self.weight_decay}]

    def losses(self, batched_inputs: list[dict[str, Any]]) -> dict[str, Tensor]:
        """Return {"loss_triplet"}. Args: batched_inputs: results of `TripletMapper`."""
        images = self.images_of([x[role] for role in ROLES for x in batched_inputs])
        with self.mixed():
            features = self.map_network.trunk(images)
        embedded = self.map_network.outputs_of(features.float())
        anchor, positive, negative = embedded.split(len(batched_inputs))
        return {"loss_triplet": triplet_loss(anchor, positive, negative, self.margin)}

    def answers(self, batched_inputs: list[dict[str, Any]]) -> list[ClassAnswer]:
        """Refuse to answer. Raises: UserError."""
        raise UserError(_NO_MAP)
