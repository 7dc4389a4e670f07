"""Discovery over a data set: data set + map network + rule -> pseudo-label file."""

from .ending import DiscoverySummary
from .one_image import discover_image
from .run import discover_dataset
from .settings import DiscoverySettings, parameters_of

__all__ = [
    "DiscoverySettings",
    "DiscoverySummary",
    "discover_dataset",
    "discover_image",
    "parameters_of",
]
