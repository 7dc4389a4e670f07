"""Discovery over a data set: data set + map network + rule -> pseudo-label file."""

from boxrefine_d2.files.set_values import parameters_of

from .ending import DiscoverySummary
from .one_image import discover_image
from .run import discover_dataset
from .settings import DiscoverySettings

__all__ = [
    "DiscoverySettings",
    "DiscoverySummary",
    "discover_dataset",
    "discover_image",
    "parameters_of",
]
