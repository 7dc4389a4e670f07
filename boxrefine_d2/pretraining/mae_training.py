"""MaskedAutoencoder: training of an inpainter on hidden patches (arXiv:2111.06377)."""

from typing import Any

import torch
from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY
from torch import Tensor, nn

from boxrefine_d2.errors import UserError
from boxrefine_d2.networks.padding import normalise_and_pad
from boxrefine_d2.training.product_model import ProductModel

from .mae import Inpainter, build_inpainter

_NO_BOXES = (
    "a masked autoencoder draws no boxes, so it cannot be evaluated; DATASETS.TEST must be ()"
)


@META_ARCH_REGISTRY.register()
class MaskedAutoencoder(ProductModel):
    """Training that hides most patches of each image and paints them again.

    Targets are plain pixels, so that the outputs are images.

    Attributes: map_network: the inpainter, under the attribute name by which a run stores its
        product.
    """

    product_file = "inpainter.safetensors"
    map_network: Inpainter

    @configurable
    def __init__(
        self,
        *,
        inpainter: Inpainter,
        name: str,
        mask_ratio: tuple[float, float],
        visible_weight: float,
        betas: tuple[float, float],
        weight_decay: float,
        autocast: bool = False,
    ):
        """Take the parts.

        Args:
            inpainter: network to train.
            name: name of the inpainter.
            mask_ratio: range of the share of patches that is hidden, drawn for each batch.
            visible_weight: weight of the error on visible patches. MAE has none; with it, an
                inpainted image keeps its visible patches.
            betas, weight_decay: settings of AdamW.
            autocast: True to compute products in bfloat16.
        Raises: UserError for a range that is empty or hides all patches.
        """
        super().__init__()
        self.map_network = inpainter
        self.product_name = name
        patches = inpainter.side**2
        low, high = (round(patches * ratio) for ratio in mask_ratio)
        if not 0 <= low <= high < patches:
            raise UserError(
                f"PRETRAIN.INPAINTER.MASK_RATIO {mask_ratio}: give a rising range, from 0 or "
                f"more, that leaves some of the {patches} patches visible"
            )
        self.hidden = (max(1, low), max(1, high))
        self.visible_weight = visible_weight
        self.betas, self.weight_decay = betas, weight_decay
        self.autocast = autocast

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Return the parts under PRETRAIN.INPAINTER; an inpainter without a file is random."""
        node = cfg.PRETRAIN.INPAINTER
        if cfg.DATASETS.TEST:
            raise UserError(f"DATASETS.TEST {cfg.DATASETS.TEST}: {_NO_BOXES}")
        inpainter = build_inpainter(node.NAME, node.WEIGHTS or f"random:{cfg.SEED}")
        if inpainter.image_size != cfg.INPUT.SQUARE_SIZE:
            raise UserError(
                f"INPUT.SQUARE_SIZE {cfg.INPUT.SQUARE_SIZE}: {node.NAME} reads "
                f"{inpainter.image_size} pixels; set INPUT.SQUARE_SIZE to that"
            )
        return {
            "inpainter": inpainter,
            "name": node.NAME,
            "mask_ratio": tuple(node.MASK_RATIO),
            "visible_weight": node.VISIBLE_WEIGHT,
            "betas": tuple(node.BETAS),
            "weight_decay": cfg.SOLVER.WEIGHT_DECAY,
            "autocast": cfg.SOLVER.AMP.ENABLED,
        }

    @property
    def device(self) -> torch.device:
        """Device of the parameters."""
        return self.map_network.mask_token.device

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return AdamW's groups; biases, norms and tokens have no weight decay."""
        matrices = [p for p in self.parameters() if p.squeeze().dim() > 1]
        others = [p for p in self.parameters() if p.squeeze().dim() <= 1]
        return [
            {"params": matrices, "betas": self.betas, "weight_decay": self.weight_decay},
            {"params": others, "betas": self.betas, "weight_decay": 0.0},
        ]

    def forward(self, batched_inputs: list[dict[str, Any]]) -> dict[str, Tensor]:
        """Return the losses (Detectron2's contract).

        Args: batched_inputs: dicts with "image" (3, S, S) RGB in [0, 255].
        Returns: {"loss_hidden"[, "loss_visible"]}, mean square errors over hidden and over visible
            pixels, in normalised units.
        Raises: UserError in eval.
        """
        if not self.training:
            raise UserError(_NO_BOXES)
        pixels = [x["image"] for x in batched_inputs]
        images = normalise_and_pad(pixels, self.map_network.patch_size, device=self.device)
        order = torch.rand(len(images), self.map_network.side**2, device=self.device).argsort(dim=1)
        count = int(torch.randint(self.hidden[0], self.hidden[1] + 1, ()))
        hidden, visible = order[:, :count], order[:, count:]
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.autocast):
            difference = self.map_network.paint_hidden(images, visible) - images
        losses = {"loss_hidden": self._error(difference, hidden)}
        if self.visible_weight:
            losses["loss_visible"] = self.visible_weight * self._error(difference, visible)
        return losses

    def _error(self, difference: Tensor, patches: Tensor) -> Tensor:
        per_patch = nn.functional.avg_pool2d(
            difference.square().mean(dim=1), self.map_network.patch_size
        )
        return per_patch.flatten(1).gather(1, patches).mean()
