"""Runs a rule over a data set and writes the record: data set + map network + rule -> pseudo-label file."""

from .run import DiscoverySummary, discover_dataset
from .settings import PRECISIONS, DiscoverySettings

__all__ = ["PRECISIONS", "DiscoverySettings", "DiscoverySummary", "discover_dataset"]
