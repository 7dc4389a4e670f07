"""HeatmapTraining: g learns from images and phrases alone.

Source: "What is Where by Looking", NeurIPS 2022.
"""

from typing import Any

from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY
from torch import Tensor

from boxrefine_d2.networks.text_heatmap import TextHeatmap, build_untrained_heatmap
from boxrefine_d2.training.product_model import ProductModel

from .heatmap_model import HeatmapModel


@META_ARCH_REGISTRY.register()
class HeatmapTraining(ProductModel, HeatmapModel):
    """Training of g by CLIP: relevance gives the place, similarity gives the extent.

    The similarity is between the phrase and the parts of the image that g shows or hides.

    Attributes: map_network: g, under the attribute name by which a run stores its product.
    """

    product_file = "heatmap.safetensors"
    map_network: TextHeatmap

    @configurable
    def __init__(self, *, name: str, weight_decay: float, **parts: Any):
        super().__init__(**parts)
        self.product_name = name
        self.weight_decay = weight_decay

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Return the parts.

        g is an untrained MODEL.HEATMAP; its encoder has weights that were learnt on images alone.
        """
        node = cfg.MODEL.HEATMAP
        network = build_untrained_heatmap(node.NAME, node.ENCODER, seed=cfg.SEED)
        return cls.parts(cfg, network) | {
            "name": node.NAME,
            "weight_decay": cfg.SOLVER.WEIGHT_DECAY,
        }

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return all parameters of g; CLIP is fixed."""
        return [{"params": self.map_network.parameters(), "weight_decay": self.weight_decay}]

    def forward(
        self, batched_inputs: list[dict[str, Any]]
    ) -> dict[str, Tensor] | list[dict[str, Any]]:
        """Return losses in training, and answers in eval (Detectron2's contract).

        Args: batched_inputs: in training the results of `PhraseMapper`; in eval see `answer`.
        Returns: in training {"loss_relevance", "loss_area", "loss_foreground", "loss_background"},
            weighted; in eval the answers of `answer`, of the sources "clip" and "g".
        """
        if not self.training:
            return self.answer(batched_inputs)
        images = self.normalised_images(batched_inputs)
        text = self._targets.text([x["phrase"] for x in batched_inputs])
        heatmaps = self.learnt_heatmaps(images, text)
        return self.text_losses(batched_inputs, images, heatmaps)
