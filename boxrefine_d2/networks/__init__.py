"""Map networks: each one takes images and returns a `FeatureMap`."""

from .build import BACKBONES, build_backbone, build_segmenter, official_file, padding_multiple
from .map_network import MapNetwork
from .padding import IMAGENET_MEAN, IMAGENET_STD, padded_size
from .read_map import NotFiniteMapError, read_map

__all__ = [
    "BACKBONES",
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "MapNetwork",
    "NotFiniteMapError",
    "build_backbone",
    "build_segmenter",
    "official_file",
    "padded_size",
    "padding_multiple",
    "read_map",
]
