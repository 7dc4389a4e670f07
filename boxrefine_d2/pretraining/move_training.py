"""MoveTraining: training of a segmenter by moving the objects that it cuts out.

Source: MOVE, arXiv:2210.07920.
"""

from typing import Any

import torch
from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY
from detectron2.utils.events import get_event_storage
from torch import Tensor

from boxrefine_d2.discovery import build_rule
from boxrefine_d2.discovery.rule import DiscoveryRule
from boxrefine_d2.errors import UserError
from boxrefine_d2.networks import build_segmenter
from boxrefine_d2.networks.map_network import require_kind
from boxrefine_d2.networks.move_segmenter import MoveSegmenter
from boxrefine_d2.networks.padding import normalise_and_pad
from boxrefine_d2.training.frozen_parts import keep_out_of_checkpoints
from boxrefine_d2.training.product_model import ProductModel

from .mae import Inpainter, build_inpainter
from .move_composition import Layers, layers_of, random_shifts
from .move_discriminator import ProjectedDiscriminator
from .move_features import build_features
from .move_losses import MaskLosses, adversarial, discriminator_hinge
from .rule_boxes import rule_boxes

DISCRIMINATOR, SEGMENTER = "discriminator", "segmenter"

# frozen parts that are built from files, so checkpoints need not hold them
_NOT_KEPT = ("inpainter.", "discriminator.features.")


@META_ARCH_REGISTRY.register()
class MoveTraining(ProductModel):
    """Training of segmenter and discriminator in turn, one batch each, the discriminator first.

    Attributes:
        map_network: segmenter whose norm and head learn; it is evaluated and stored.
        inpainter: frozen network that paints the background behind an object.
        phase: part that learns, "discriminator" or "segmenter".
        segmenter_steps: number of steps that the segmenter has made.
    """

    product_file = "map_network.safetensors"
    map_network: MoveSegmenter

    @configurable
    def __init__(
        self,
        *,
        map_network: MoveSegmenter,
        name: str,
        inpainter: Inpainter,
        discriminator: ProjectedDiscriminator,
        mask_losses: MaskLosses,
        max_shift: float,
        copy_real: bool,
        segmenter_optimizer: dict[str, Any],
        discriminator_optimizer: dict[str, Any],
        discovery: DiscoveryRule,
        discovery_name: str,
        autocast: bool = False,
    ):
        """Take the parts.

        Args:
            max_shift: largest shift, as a share of the shorter side.
            copy_real: see `layers_of`.
            segmenter_optimizer, discriminator_optimizer: "betas" and "weight_decay" of AdamW.
            autocast: True to compute products in bfloat16; losses are in float32.
        """
        super().__init__()
        self.map_network = map_network
        self.product_name = name
        self.inpainter = inpainter.requires_grad_(False)
        self.discriminator = discriminator
        self.mask_losses = mask_losses
        self.max_shift, self.copy_real = max_shift, copy_real
        self.segmenter_optimizer = segmenter_optimizer
        self.discriminator_optimizer = discriminator_optimizer
        self.discovery, self.discovery_name = discovery, discovery_name
        self.autocast = autocast
        self.phase, self.segmenter_steps = DISCRIMINATOR, 0
        keep_out_of_checkpoints(self, *_NOT_KEPT)

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Return the parts that the configuration names."""
        network, node = cfg.MODEL.MAP_NETWORK, cfg.PRETRAIN.MOVE
        segmenter = require_kind(
            build_segmenter(network.NAME, network.WEIGHTS, seed=cfg.SEED),
            MoveSegmenter,
            f"MODEL.MAP_NETWORK.NAME {network.NAME} is not a segmenter of MOVE's",
        )
        inpainter = build_inpainter(cfg.PRETRAIN.INPAINTER.NAME, cfg.PRETRAIN.INPAINTER.WEIGHTS)
        size = cfg.INPUT.SQUARE_SIZE
        if size != inpainter.image_size or size % segmenter.stride:
            raise UserError(
                f"INPUT.SQUARE_SIZE {size}: the inpainter {cfg.PRETRAIN.INPAINTER.NAME} reads "
                f"{inpainter.image_size} pixels, and {network.NAME} multiples of {segmenter.stride}"
            )
        return {
            "map_network": segmenter,
            "name": network.NAME,
            "inpainter": inpainter,
            "discriminator": _discriminator(node.DISCRIMINATOR),
            "mask_losses": _mask_losses(node),
            "max_shift": node.SHIFT,
            "copy_real": node.COPY_REAL,
            "segmenter_optimizer": {
                "betas": tuple(node.SEGMENTER_BETAS),
                "weight_decay": node.SEGMENTER_WEIGHT_DECAY,
            },
            "discriminator_optimizer": {
                "betas": tuple(node.DISCRIMINATOR.BETAS),
                "weight_decay": node.DISCRIMINATOR.WEIGHT_DECAY,
            },
            "discovery": build_rule(cfg.DISCOVERY.NAME, cfg),
            "discovery_name": cfg.DISCOVERY.NAME,
            "autocast": cfg.SOLVER.AMP.ENABLED,
        }

    @property
    def device(self) -> torch.device:
        """Device of the parameters."""
        return self.inpainter.mask_token.device

    def begin_step(self, iteration: int) -> None:
        """Choose the part that learns; the other has no gradient, so the optimizer skips it."""
        self.phase = SEGMENTER if iteration % 2 else DISCRIMINATOR
        self.segmenter_steps = iteration // 2
        self.map_network.requires_grad_(self.phase == SEGMENTER)
        self.discriminator.requires_grad_(self.phase == DISCRIMINATOR)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return AdamW's groups: the segmenter's norm and head, and the discriminator's heads.

        Each group has its own settings.
        """
        segmenter = [p for p in self.map_network.parameters() if p.requires_grad]
        heads = list(self.discriminator.heads.parameters())
        return [
            {"params": segmenter} | self.segmenter_optimizer,
            {"params": heads} | self.discriminator_optimizer,
        ]

    def train(self, mode: bool = True) -> "MoveTraining":
        """Set train mode for segmenter and discriminator; frozen parts stay in eval mode."""
        super().train(mode)
        self.inpainter.eval()
        return self

    def forward(
        self, batched_inputs: list[dict[str, Any]]
    ) -> dict[str, Tensor] | list[dict[str, Any]]:
        """Return losses in training, and boxes in eval (Detectron2's contract).

        Args: batched_inputs: dicts with "image" (3, H, W) RGB in [0, 255]; in training all
            are S x S.
        Returns: in training weighted losses, "loss_discriminator", or "loss_adversarial" and those
            of the mask; in eval the results of `rule_boxes`.
        """
        if not self.training:
            return rule_boxes(self.map_network, self.discovery, self.discovery_name, batched_inputs)
        pixels = [x["image"] for x in batched_inputs]
        images = normalise_and_pad(pixels, self.inpainter.patch_size, device=self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.autocast):
            return (
                self._discriminator_losses(images)
                if self.phase == DISCRIMINATOR
                else self._segmenter_losses(images)
            )

    def _layers(self, images: Tensor) -> Layers:
        network = self.map_network
        mask = network.logits(network.share(images)).sigmoid()
        shifts = random_shifts(len(images), int(self.max_shift * min(images.shape[-2:])))
        return layers_of(self.inpainter, images, mask, shifts, copy_real=self.copy_real)

    def _discriminator_losses(self, images: Tensor) -> dict[str, Tensor]:
        with torch.no_grad():
            layers = self._layers(images)
            fake = torch.cat([layers.composed(), layers.copy_paste()])
            real = torch.cat([layers.image, layers.unshifted()])
        judged_fake, judged_real = self.discriminator(fake), self.discriminator(real)
        right = ((judged_fake < 0).float().mean() + (judged_real > 0).float().mean()) / 2
        get_event_storage().put_scalar("discriminator_right", right.item())
        return {"loss_discriminator": discriminator_hinge(judged_fake, judged_real)}

    def _segmenter_losses(self, images: Tensor) -> dict[str, Tensor]:
        layers = self._layers(images)
        storage = get_event_storage()
        storage.put_scalar("mask_area", layers.mask.mean().item())
        storage.put_scalar("mask_spread", layers.mask.flatten(1).std(dim=1).mean().item())
        losses = {"loss_adversarial": adversarial(self.discriminator(layers.composed()))}
        return losses | self.mask_losses(layers.shifted_mask, self.segmenter_steps)


def _discriminator(node: CfgNode) -> ProjectedDiscriminator:
    return ProjectedDiscriminator(
        build_features(node.FEATURES, node.WEIGHTS),
        input_size=node.INPUT_SIZE,
        mix_channels=node.MIX_CHANNELS,
        head_channels=tuple(node.HEAD_CHANNELS),
    )


def _mask_losses(node: CfgNode) -> MaskLosses:
    return MaskLosses(
        pool=node.POOL,
        binarise_weight=node.BINARISE_WEIGHT,
        binarise_steps=node.BINARISE_STEPS,
        min_area=node.MIN_AREA,
        min_area_weight=node.MIN_AREA_WEIGHT,
        max_area=node.MAX_AREA,
        max_area_weight=node.MAX_AREA_WEIGHT,
    )
