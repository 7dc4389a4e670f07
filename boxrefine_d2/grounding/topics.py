"""Topics of an image in words: captions of its regions, grouped by meaning.

Shapes: S x S pixels of the input, D dimensions of CLIP's space.

Source: "What is Where by Looking", NeurIPS 2022.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from boxrefine_d2.language.captioners import Captioner
from boxrefine_d2.language.communities import communities, most_central

from .proposals import proposals


@dataclass(frozen=True)
class Topic:
    """Subject that several regions of an image show.

    Attributes:
        caption: caption of the most typical region.
        regions: number of regions with similar captions.
    """

    caption: str
    regions: int


class TopicFinder:
    """Search for the topics of images.

    Args (keyword):
        captioner: model that describes a region.
        encode: function from P phrases to vectors (P, D) of length 1.
        search_input, min_area: see `proposals`.
        min_similarity, min_size, overlap: see `communities`.
    """

    def __init__(
        self,
        captioner: Captioner,
        encode: Callable[[Sequence[str]], Tensor],
        *,
        search_input: str,
        min_area: float,
        min_similarity: float,
        min_size: int,
        overlap: str,
    ):
        self._captioner, self._encode = captioner, encode
        self._search_input, self._min_area = search_input, min_area
        self._min_similarity, self._min_size = min_similarity, min_size
        self._overlap = overlap

    def find(self, images: Sequence[Tensor]) -> list[list[Topic]]:
        """Return the topics of each image; topics of most regions come first.

        An image has no topic if no regions have similar captions. The captioner gets the regions of
        all images together.

        Args: images: (3, S, S) uint8 RGB.
        """
        # selective search runs on one thread and releases Python's lock
        with ThreadPoolExecutor(torch.get_num_threads()) as pool:
            boxes = list(pool.map(self._regions, images))
        crops = [
            image[:, y1:y2, x1:x2]
            for image, boxes_of_image in zip(images, boxes, strict=True)
            for x1, y1, x2, y2 in boxes_of_image.tolist()
        ]
        captions = self._captioner.captions(crops)
        # empty captions say nothing; the others are encoded once, together
        distinct = list(dict.fromkeys(caption for caption in captions if caption.strip()))
        vectors = dict(zip(distinct, self._encode(distinct), strict=True))
        following = iter(captions)
        return [self._topics([next(following) for _ in each], vectors) for each in boxes]

    def _regions(self, image: Tensor) -> np.ndarray:
        """Return the regions of an image, (N, 4); see `proposals`."""
        return proposals(
            image.permute(1, 2, 0).cpu().numpy(),
            search_input=self._search_input,
            min_area=self._min_area,
        )

    def _topics(self, captions: list[str], vector_of: dict[str, Tensor]) -> list[Topic]:
        """Return the topics of one image's captions; captions without a vector are ignored."""
        captions = [caption for caption in captions if caption in vector_of]
        if not captions:
            return []
        vectors = torch.stack([vector_of[caption] for caption in captions])
        groups = communities(
            vectors,
            min_similarity=self._min_similarity,
            min_size=self._min_size,
            overlap=self._overlap,
        )
        return [Topic(captions[most_central(vectors, group)], len(group)) for group in groups]


def nearest(topics: Tensor, phrasings: Tensor) -> int:
    """Return the index of the topic that is most similar to a phrase; the first one of equals.

    Args:
        topics: vectors of the captions, (T, D), T >= 1, of length 1.
        phrasings: vectors of the phrase's wordings, (P, D), of length 1; their mean counts.
    """
    return int((topics @ phrasings.mean(dim=0)).argmax())
