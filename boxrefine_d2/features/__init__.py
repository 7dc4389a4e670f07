"""Networks behind the map: images in, `FeatureMap` out."""

from .build import (
    BACKBONES,
    Backbone,
    build_backbone,
    build_segmenter,
    official_file,
    padding_multiple,
)
from .padding import IMAGENET_MEAN, IMAGENET_STD, padded_size
from .read_map import NotFiniteMapError, read_map

__all__ = [
    "BACKBONES",
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "Backbone",
    "NotFiniteMapError",
    "build_backbone",
    "build_segmenter",
    "official_file",
    "padded_size",
    "padding_multiple",
    "read_map",
]
