"""Backbones by name, with the weights that belong to them."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import torch
from torch import nn

from boxrefine_d2.errors import UserError

from .cnn import VGG16, ResNet50
from .vit import VisionTransformer
from .weights import (
    WeightsInfo,
    fetch,
    file_sha256,
    load_into,
    module_sha256,
    parse_random,
    read_state_dict,
)

DINO_HOST = "https://dl.fbaipublicfiles.com/dino/"
TORCHVISION_HOST = "https://download.pytorch.org/models/"

# trained by this project; a model card of the same name lies beside each file
SHIPPED = Path(__file__).parent / "shipped"

Backbone = VisionTransformer | ResNet50 | VGG16


@dataclass(frozen=True)
class BackboneSpec:
    """How a named backbone is built and where its own weights are.

    Attributes:
        weights: the address of the official file, or the path of the file that ships with the package.
    """

    build: Callable[[], nn.Module]
    weights: str | Path


_vit_small = partial(VisionTransformer, dim=384, depth=12, num_heads=6)
_vit_base = partial(VisionTransformer, dim=768, depth=12, num_heads=12)


def _dino(folder: str) -> str:
    return f"{DINO_HOST}{folder}/{folder}.pth"


BACKBONES: dict[str, BackboneSpec] = {
    "dino_mini": BackboneSpec(
        partial(VisionTransformer, patch_size=16, dim=192, depth=6, num_heads=3),
        SHIPPED / "dino_mini.safetensors",
    ),
    "dino_vits16": BackboneSpec(
        partial(_vit_small, patch_size=16), _dino("dino_deitsmall16_pretrain")
    ),
    # "ViT-S/8" is two files: LOST, TokenCut and MaskCut use the one of 300 epochs, DINO's own hub and MOVE the other.
    "dino_vits8": BackboneSpec(
        partial(_vit_small, patch_size=8), _dino("dino_deitsmall8_300ep_pretrain")
    ),
    "dino_vitb16": BackboneSpec(
        partial(_vit_base, patch_size=16), _dino("dino_vitbase16_pretrain")
    ),
    "dino_vitb8": BackboneSpec(partial(_vit_base, patch_size=8), _dino("dino_vitbase8_pretrain")),
    "dino_resnet50": BackboneSpec(partial(ResNet50, dilate=2), _dino("dino_resnet50_pretrain")),
    "imagenet_resnet50": BackboneSpec(
        partial(ResNet50, dilate=2), f"{TORCHVISION_HOST}resnet50-0676ba61.pth"
    ),
    "imagenet_vgg16": BackboneSpec(VGG16, f"{TORCHVISION_HOST}vgg16-397923af.pth"),
}


@cache
def padding_multiple(name: str) -> int:
    """Pixels that an input's sides are padded to a multiple of: the patch of a transformer, 16 for a CNN."""
    with torch.device("meta"):
        return _spec(name).build().stride


def _spec(name: str) -> BackboneSpec:
    if name not in BACKBONES:
        raise UserError(f"unknown backbone {name!r}; known: {', '.join(BACKBONES)}")
    return BACKBONES[name]


def official_file(name: str) -> Path:
    """A backbone's own weights: the shipped file, or the official one from the cache or its host.

    Raises: UserError for an unknown name, or a host that cannot be reached.
    """
    weights = _spec(name).weights
    return weights if isinstance(weights, Path) else fetch(weights)


def build_backbone(name: str, weights: str | Path | None = None) -> Backbone:
    """A map network in eval mode, float32, on the CPU.

    Args:
        name: one of `BACKBONES`.
        weights: a file (.pth, .pkl or .safetensors, official naming), "random" or "random:SEED", or None (or "")
            for the shipped file or the official one, taken from the cache or fetched from its host.
    Returns: the module; `module.weights_info` names the source of the weights and their SHA-256.
    Raises: UserError for an unknown name, a missing or foreign file, or a file that cannot be fetched.
    """
    spec = _spec(name)
    seed = parse_random(str(weights or ""))
    if seed is not None:
        # built on a forked generator: making a backbone must not move the caller's random state
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            backbone = spec.build()
        backbone.weights_info = WeightsInfo(f"random:{seed}", module_sha256(backbone))
        return backbone.eval()
    path = Path(weights) if weights else official_file(name)
    with torch.device("meta"):
        backbone = spec.build()
    load_into(backbone, read_state_dict(path), name=name, path=path)
    backbone.weights_info = WeightsInfo(path.name, file_sha256(path))
    return backbone.eval()
