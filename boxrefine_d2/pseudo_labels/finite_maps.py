"""Feature maps of a batch; an image whose map is not finite fails alone, without its batch."""

import logging
from collections.abc import Sequence
from typing import Any

from boxrefine_d2.data.loaders import UnreadableImage
from boxrefine_d2.networks import MapNetwork, NotFiniteMapError, read_map
from boxrefine_d2.structures import FeatureMap

logger = logging.getLogger(__name__)

Sample = dict[str, Any] | UnreadableImage
NOT_FINITE = "the network's map of it holds numbers that are not finite"


def read_finite_maps(
    samples: Sequence[Sample], network: MapNetwork, facet: str
) -> tuple[FeatureMap | None, list[Sample]]:
    """Return the feature map of a batch's readable images with finite maps.

    Returns: the map, or None if no image has a finite one; and the batch, in which an
        `UnreadableImage` replaces each image whose map is not finite.
    """
    kept = list(samples)
    while readable := [(i, s) for i, s in enumerate(kept) if not isinstance(s, UnreadableImage)]:
        try:
            return read_map([sample["image"] for _, sample in readable], network, facet), kept
        except NotFiniteMapError as error:
            for place in error.images:
                index, sample = readable[place]
                logger.warning("image left out: %s: %s", sample["file_name"], NOT_FINITE)
                kept[index] = UnreadableImage(sample, NOT_FINITE)
    return None, kept
