"""FoundTraining: training of FOUND's head on background and on its own masks (arXiv:2212.07834)."""

from typing import Any

import torch
import torch.nn.functional as F
from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY
from detectron2.utils.events import get_event_storage
from torch import Tensor

from boxrefine_d2.discovery import build_rule
from boxrefine_d2.discovery.rule import DiscoveryRule
from boxrefine_d2.errors import UserError, check_choice
from boxrefine_d2.networks import build_segmenter
from boxrefine_d2.networks.found_head import FoundSegmenter
from boxrefine_d2.networks.map_network import LastBlock, require_kind
from boxrefine_d2.networks.padding import normalise_and_pad
from boxrefine_d2.structures import FeatureMap
from boxrefine_d2.training.product_model import ProductModel

from .found_targets import SolvedMasks, background, cls_attention, common_background
from .rule_boxes import rule_boxes

SEEDS = ("attention", "similarity")


@META_ARCH_REGISTRY.register()
class FoundTraining(ProductModel):
    """Binary cross-entropy with three targets.

    The first target is the complement of the background seed's patches. The second is the head's
    own mask after the bilateral solver. The third is that mask itself; it replaces the first target
    after `seed_steps` iterations.

    Attributes: map_network: segmenter whose head learns; it is evaluated and stored.
    """

    product_file = "map_network.safetensors"
    map_network: FoundSegmenter

    @configurable
    def __init__(
        self,
        *,
        map_network: FoundSegmenter,
        name: str,
        solved: SolvedMasks,
        seed_by: str,
        background_cosine: float,
        seed_steps: int,
        seed_weight: float,
        bilateral_weight: float,
        self_weight: float,
        weight_decay: float,
        discovery: DiscoveryRule,
        discovery_name: str,
    ):
        """Take the parts.

        Args:
            seed_by: "attention" (see `background`) or "similarity" (see `common_background`).
            background_cosine: cosine similarity with the seed above which a patch is background.
            seed_steps: number of iterations in which the head learns from the background.
        """
        super().__init__()
        check_choice("PRETRAIN.FOUND.SEED_BY", seed_by, SEEDS)
        self.seed_by = seed_by
        self.map_network = map_network
        self.product_name = name
        self.solved = solved
        self.background_cosine, self.seed_steps = background_cosine, seed_steps
        self.seed_weight, self.self_weight = seed_weight, self_weight
        self.bilateral_weight = bilateral_weight
        self.weight_decay = weight_decay
        self.discovery, self.discovery_name = discovery, discovery_name
        self.seeded = True

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Return the parts that the configuration names."""
        network, node = cfg.MODEL.MAP_NETWORK, cfg.PRETRAIN.FOUND
        segmenter = require_kind(
            build_segmenter(network.NAME, network.WEIGHTS, seed=cfg.SEED),
            FoundSegmenter,
            f"MODEL.MAP_NETWORK.NAME {network.NAME} is not a segmenter of FOUND's",
        )
        if cfg.INPUT.SQUARE_SIZE % segmenter.stride:
            raise UserError(
                f"INPUT.SQUARE_SIZE {cfg.INPUT.SQUARE_SIZE} is no multiple of the patch, "
                f"{segmenter.stride} pixels"
            )
        # REGION and MIN_IOU concern the use of the solved map, not the solver
        solver = {
            key.lower(): value
            for key, value in cfg.DISCOVERY.BILATERAL.items()
            if key not in ("REGION", "MIN_IOU")
        }
        return {
            "map_network": segmenter,
            "name": network.NAME,
            "solved": SolvedMasks(solver),
            "seed_by": node.SEED_BY,
            "background_cosine": node.BACKGROUND_COSINE,
            "seed_steps": node.SEED_STEPS,
            "seed_weight": node.SEED_WEIGHT,
            "bilateral_weight": node.BILATERAL_WEIGHT,
            "self_weight": node.SELF_WEIGHT,
            "weight_decay": cfg.SOLVER.WEIGHT_DECAY,
            "discovery": build_rule(cfg.DISCOVERY.NAME, cfg),
            "discovery_name": cfg.DISCOVERY.NAME,
        }

    @property
    def device(self) -> torch.device:
        """Device of the parameters."""
        return self.map_network.head.weight.device

    def begin_step(self, iteration: int) -> None:
        """Choose the target: the background in the first iterations, the head's own mask later."""
        self.seeded = iteration < self.seed_steps

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return AdamW's group: the head."""
        head = list(self.map_network.head.parameters())
        return [{"params": head, "weight_decay": self.weight_decay}]

    def forward(
        self, batched_inputs: list[dict[str, Any]]
    ) -> dict[str, Tensor] | list[dict[str, Any]]:
        """Return losses in training, and boxes in eval (Detectron2's contract).

        Args: batched_inputs: dicts with "image" (3, H, W) uint8 RGB; in training all are S x S.
        Returns: in training weighted losses, "loss_bilateral", and "loss_background" or
            "loss_self"; in eval the results of `rule_boxes`.
        """
        if not self.training:
            return rule_boxes(self.map_network, self.discovery, self.discovery_name, batched_inputs)
        network = self.map_network
        pixels = torch.stack([x["image"] for x in batched_inputs])
        images = normalise_and_pad(list(pixels), network.stride, device=self.device)
        with torch.no_grad():
            last = network.extractor.forward_last_block(images)
            keys = network.extractor.key_map(last)
        logits = network.head(keys.data.contiguous())[:, 0]
        mask = logits.detach() > 0
        get_event_storage().put_scalar("mask_area", mask.float().mean().item())
        losses = {"loss_bilateral": self.bilateral_weight * _bce(logits, self.solved(pixels, mask))}
        if self.seeded:
            foreground = ~self._background(last, keys).unflatten(1, keys.grid_size)
            losses["loss_background"] = self.seed_weight * _bce(logits, foreground)
        else:
            losses["loss_self"] = self.self_weight * _bce(logits, mask)
        return losses

    def _background(self, last: LastBlock, keys: FeatureMap) -> Tensor:
        if self.seed_by == "similarity":
            return common_background(keys.tokens(), self.background_cosine)
        attention = cls_attention(last, self.map_network.extractor.num_heads)
        return background(keys.tokens(), attention, self.background_cosine)


def _bce(logits: Tensor, target: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, target.to(logits.dtype))
