"""Frozen features of a discriminator: four maps of an image, from fine to coarse.

Shapes: B images of S x S pixels in [-1, 1]; the maps are (B, C_i, S / r, S / r) with
r = 4, 8, 16, 32.
"""

from functools import partial
from pathlib import Path
from typing import Any

import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from boxrefine_d2.errors import UserError
from boxrefine_d2.networks import BACKBONES, IMAGENET_MEAN, IMAGENET_STD, build_backbone
from boxrefine_d2.networks.build_network import build_network
from boxrefine_d2.networks.map_network import require_kind
from boxrefine_d2.networks.vit import VisionTransformer, patch_grid
from boxrefine_d2.networks.weights import SourcedNetwork, fetch, read_state_dict

STRIDES = (4, 8, 16, 32)

# prefixes of layers that follow the features in classification networks
_HEADS = ("conv_head.", "bn2.", "classifier.", "head.", "fc.")


class TimmFeatures(SourcedNetwork):
    """Maps of a CNN of timm, as in Projected GAN and MOVE.

    Attributes: channels: channels of each map.
    """

    def __init__(self, name: str):
        super().__init__()
        self.network = timm.create_model(name, features_only=True, out_indices=(1, 2, 3, 4))
        info: Any = self.network.feature_info
        if tuple(info.reduction()) != STRIDES:
            raise UserError(
                f"PRETRAIN.MOVE.DISCRIMINATOR.FEATURES {name} has no maps of strides {STRIDES}"
            )
        self.channels: tuple[int, ...] = tuple(info.channels())

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the four maps of images (B, 3, S, S) in [-1, 1]."""
        maps: list[Tensor] = self.network(images)
        return maps


class TransformerFeatures(nn.Module):
    """Tokens after each quarter of a transformer's blocks, normalised and resized (ours).

    They are resized to the four strides.

    Attributes: channels: channels of each map.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: VisionTransformer):
        super().__init__()
        self.network = network
        self.channels = (network.cls_token.shape[-1],) * len(STRIDES)
        depth = len(network.blocks)
        self._read_after = [round(depth * (i + 1) / len(STRIDES)) for i in range(len(STRIDES))]
        mean, std = (torch.tensor(x).view(3, 1, 1) for x in (IMAGENET_MEAN, IMAGENET_STD))
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("std", std, persistent=False)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the four maps of images (B, 3, S, S) in [-1, 1]."""
        normalised = ((images + 1) / 2 - self.mean) / self.std
        read = []
        for number, tokens in enumerate(self.network.tokens_of_blocks(normalised), start=1):
            read += [tokens] * self._read_after.count(number)
        grid_size, first = patch_grid(images, self.network.stride), self.network.prefix_tokens
        return [
            _resized(tokens[:, first:], grid_size, images.shape[-1] // stride)
            for tokens, stride in zip(read, STRIDES, strict=True)
        ]


def _resized(tokens: Tensor, grid_size: tuple[int, int], side: int) -> Tensor:
    patches = F.layer_norm(tokens, tokens.shape[2:])
    grid = patches.transpose(1, 2).unflatten(2, grid_size)
    return F.interpolate(grid, size=(side, side), mode="bilinear", align_corners=False)


def build_features(name: str, weights: str) -> TimmFeatures | TransformerFeatures:
    """Return a frozen feature network in eval mode.

    Args:
        name: a transformer of `BACKBONES`, or a CNN of timm.
        weights: a file, "random[:SEED]", or "" for the backbone's own file, or timm's.
    Raises: UserError for an unknown name, or a file that is missing, foreign or cannot be fetched.
    """
    if name in BACKBONES:
        refusal = f"PRETRAIN.MOVE.DISCRIMINATOR.FEATURES {name} is no transformer"
        network = require_kind(build_backbone(name, weights), VisionTransformer, refusal)
        features: TimmFeatures | TransformerFeatures = TransformerFeatures(network)
    elif timm.is_model(name):
        features = _build_timm(name, weights)
    else:
        raise UserError(
            f"PRETRAIN.MOVE.DISCRIMINATOR.FEATURES {name} is unknown: a CNN of timm, such as "
            "tf_efficientnet_lite0, or a transformer of ours, such as dino_mini, is needed"
        )
    return features.eval().requires_grad_(False)


def _build_timm(name: str, weights: str) -> TimmFeatures:
    def own() -> Path:
        known = timm.get_pretrained_cfg(name)
        address = known.url if known else None
        if not isinstance(address, str) or not address:
            raise UserError(
                f"PRETRAIN.MOVE.DISCRIMINATOR.FEATURES {name}: timm knows no address of its "
                "weights; give a file as PRETRAIN.MOVE.DISCRIMINATOR.WEIGHTS, or random:0 for "
                "untrained ones"
            )
        return fetch(address)

    def read(path: Path) -> tuple[dict[str, Tensor], list[Path]]:
        state = read_state_dict(path)
        return {f"network.{k}": v for k, v in state.items() if not k.startswith(_HEADS)}, [path]

    return build_network(name, weights, partial(TimmFeatures, name), own=own, read=read)
