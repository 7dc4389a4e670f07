"""Trunks of classifiers by name: an image in, features out.

Shapes: B images, C channels, h x w cells, H x W pixels.
"""

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache, partial
from pathlib import Path
from typing import Any

import timm
import torch
import torchvision
from torch import Tensor, nn

from boxrefine_d2.errors import UserError, check_choice
from boxrefine_d2.structures import FeatureMap

from .build import BACKBONES, SHIPPED, build_backbone
from .build_network import StateDict, build_network
from .mini_trunk import MiniTrunk
from .vit import VisionTransformer
from .weights import (
    SourcedNetwork,
    build_empty,
    fetch,
    read_state_dict,
)

BY_TRUNK = "MODEL.CLASSIFIER.TRUNK_WEIGHTS"
_MOCO_V2 = (
    "https://dl.fbaipublicfiles.com/moco/moco_checkpoints/moco_v2_800ep/moco_v2_800ep_pretrain.pth."
    "tar"
)
_MOCO_QUERY = "encoder_q."  # prefix of the network in MoCo's files, beside the key encoder
# prefixes of the heads in the official files
_HEADS = ("fc.", "classifier.", "head.fc.", "head.weight", "head.bias")
_OWN_TRUNK = "trunk.network."  # in the file of an `ImageClassifier`
TIMM = "timm:"  # prefix of the names of timm's networks


class Trunk(SourcedNetwork):
    """Network from normalised images (B, 3, H, W) to features (B, C, h, w).

    Attributes:
        network: layers under the names of their official file.
        channels: C.
        stride: pixels per cell. The sides of an input are multiples of it.
    """

    network: nn.Module

    def __init__(self, network: nn.Module, channels: int, stride: int):
        super().__init__()
        self.network, self.channels, self.stride = network, channels, stride

    def forward(self, images: Tensor) -> Tensor:
        """Return the features, in the number format of the layers."""
        features: Tensor = self.network(images.to(next(self.parameters()).dtype))
        return features


class TokenTrunk(Trunk):
    """Trunk whose features are the patch tokens of a transformer after its final norm."""

    network: VisionTransformer

    def __init__(self, network: VisionTransformer):
        super().__init__(network, network.cls_token.shape[-1], network.stride)

    def forward(self, images: Tensor) -> Tensor:
        """Return the patch tokens on their grid."""
        tokens: FeatureMap = self.network(images, "output")
        return tokens.data


class _TimmTrunk(Trunk):
    """Trunk of timm, whose last map is `forward_features`."""

    network: Any

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.network.forward_features(images.to(next(self.parameters()).dtype))
        return features


@dataclass(frozen=True)
class TrunkSpec:
    """Builder of a named trunk, and the place of its own weights.

    Attributes:
        build: returns the trunk without its weights.
        weights: URL of the official file, or path of the file that ships; None if neither exists.
    """

    build: Callable[[], Trunk]
    weights: str | Path | None


def _resnet(depth: int, stride: int = 32) -> Trunk:
    """Return torchvision's ResNet up to layer4, with a stride of 32 or 16 pixels.

    With 16, layer4 has stride 1 and no dilation, as in the code of representer points.
    """
    net = getattr(torchvision.models, f"resnet{depth}")(weights=None)
    if stride == 16:
        first = net.layer4[0]
        for conv in (first.downsample[0], first.conv1 if depth < 50 else first.conv2):
            conv.stride = (1, 1)
    channels = net.fc.in_features
    layers = nn.Sequential()
    for name, child in net.named_children():
        if name not in ("avgpool", "fc"):
            layers.add_module(name, child)
    return Trunk(layers, channels, stride)


def _timm(name: str) -> Trunk:
    channels, stride = _timm_form(name)
    return _TimmTrunk(timm.create_model(name, num_classes=0), channels, stride)


@cache
def _timm_form(name: str) -> tuple[int, int]:
    """Return the channels and the stride of a network of timm.

    Raises: UserError for a network whose features are no map (B, C, h, w).
    """
    with torch.device("meta"):
        net: Any = timm.create_model(name, num_classes=0).eval()
        side = net.default_cfg["input_size"][-1]
        shape = net.forward_features(torch.empty(1, 3, side, side)).shape
    if len(shape) != 4 or shape[1] != net.num_features:
        raise UserError(
            f"{TIMM}{name} gives features of the shape {tuple(shape)}, and a trunk needs a map (B, "
            "C, h, w); name a convolutional network"
        )
    return shape[1], round(side / shape[2])


def _timm_spec(name: str) -> TrunkSpec:
    """Return the spec of any network of timm. Raises: UserError for an unknown name."""
    if not timm.is_model(name):
        near = ", ".join(f"{TIMM}{x}" for x in get_close_matches(name, timm.list_models()))
        raise UserError(
            f"trunk of a classifier {TIMM + name!r}: timm has no such network"
            + (f"; similar: {near}" if near else "; timm.list_models() lists them")
        )
    official = timm.get_pretrained_cfg(name)
    url = official.url if official is not None else None
    return TrunkSpec(partial(_timm, name), url if isinstance(url, str) and url else None)


def _transformer(name: str) -> Trunk:
    network = BACKBONES[name].build()
    assert isinstance(network, VisionTransformer)
    return TokenTrunk(network)


def _of_query_encoder(state: StateDict) -> StateDict:
    """Return the trunk's tensors of a file of MoCo v2, which also holds heads and a queue."""
    query = {
        name.removeprefix(_MOCO_QUERY): value
        for name, value in state.items()
        if name.startswith(_MOCO_QUERY)
    }
    return query or state


def _of_classifier(state: StateDict) -> StateDict:
    """Return the trunk's tensors of the file of an `ImageClassifier`."""
    trunk = {
        name.removeprefix(_OWN_TRUNK): value
        for name, value in state.items()
        if name.startswith(_OWN_TRUNK)
    }
    return trunk or state


def _imagenet(depth: int) -> str:
    weights: str = torchvision.models.get_model_weights(f"resnet{depth}")["IMAGENET1K_V1"].url
    return weights


TRUNKS: dict[str, TrunkSpec] = {
    "resnet_mini": TrunkSpec(
        lambda: Trunk(MiniTrunk(), 256, 16), SHIPPED / "resnet_mini.safetensors"
    ),
    **{
        f"resnet{depth}": TrunkSpec(partial(_resnet, depth), _imagenet(depth))
        for depth in (18, 34, 50, 101)
    },
    "resnet50_stride16": TrunkSpec(partial(_resnet, 50, 16), _imagenet(50)),
    "moco_v2_resnet50": TrunkSpec(partial(_resnet, 50), _MOCO_V2),
    "moco_v2_resnet50_stride16": TrunkSpec(partial(_resnet, 50, 16), _MOCO_V2),
    "efficientnet_b7": _timm_spec("tf_efficientnet_b7"),
    **{
        name: TrunkSpec(partial(_transformer, name), None)
        for name in BACKBONES
        if name.startswith("dino_") and "resnet" not in name
    },
}


@cache
def trunk_stride(name: str) -> int:
    """Return the pixels per cell of a trunk. Raises: UserError for an unknown name."""
    return empty_trunk(name).stride


def empty_trunk(name: str) -> Trunk:
    """Return a trunk without memory for its weights. Raises: UserError for an unknown name."""
    return build_empty(_spec(name).build)


def build_trunk(name: str, weights: str | Path | None = None) -> Trunk:
    """Return a trunk in eval mode, float32, on the CPU, with its `weights_info`.

    Args:
        name: one of `TRUNKS`, or timm:NAME for a network of timm.
        weights: a file under the official names, "random" or "random:SEED", or None (or "") for the
            shipped or the official file.
    Raises: UserError for an unknown name, a missing or foreign file, or a host out of reach.
    """
    spec = _spec(name)
    if name in BACKBONES:
        return _of_backbone(name, weights)

    def read(path: Path) -> tuple[StateDict, list[Path]]:
        return {f"network.{key}": value for key, value in trunk_state(path).items()}, [path]

    return build_network(name, weights, spec.build, own=partial(own_file, name), read=read)


def trunk_state(path: Path) -> StateDict:
    """Return the tensors of a convolutional trunk's file under its official names, without heads.

    The file of a classifier of this package serves, too.

    Raises: UserError (see `read_state_dict`).
    """
    state = _of_classifier(_of_query_encoder(read_state_dict(path)))
    return {key: value for key, value in state.items() if not key.startswith(_HEADS)}


def _of_backbone(name: str, weights: str | Path | None) -> Trunk:
    network = build_backbone(name, weights)
    assert isinstance(network, VisionTransformer)
    trunk = TokenTrunk(network)
    trunk.weights_info = network.weights_info
    return trunk.eval()


def own_file(name: str) -> Path:
    """Return the shipped or the official file of a trunk; fetch an official one that is not cached.

    Raises: UserError for an unknown name, a trunk without a file, or a host out of reach.
    """
    weights = _spec(name).weights
    if weights is None:
        raise UserError(
            f"{name} has no weights that could be fetched; give a file with {BY_TRUNK}, or "
            "random:0 for untrained ones"
        )
    return weights if isinstance(weights, Path) else fetch(weights, BY_TRUNK)


def _spec(name: str) -> TrunkSpec:
    if name.startswith(TIMM):
        return _timm_spec(name.removeprefix(TIMM))
    check_choice("trunk of a classifier", name, TRUNKS)
    return TRUNKS[name]
