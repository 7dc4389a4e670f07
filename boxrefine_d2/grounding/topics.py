"""Topics of an image, in words: captions of its regions, put together where they say the same ("What is Where by Looking",
NeurIPS 2022).

Shapes: S x S pixels of the input, D dimensions of CLIP's space.
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
    """Something that several regions of an image show.

    Attributes:
        caption: of the most typical region.
        regions: how many were described alike.
    """

    caption: str
    regions: int


class TopicFinder:
    """Find the topics of images.

    Args (keyword):
        captioner: describes a region.
        encode: phrases to (P, D) of length 1.
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
        """Return the topics of each image, what most regions show first; none where no regions are described alike.

        The regions of all images go to the captioner together.

        Args: images: (3, S, S) uint8 RGB.
        """
        # selective search has one thread of its own and does not hold Python's lock
        with ThreadPoolExecutor(torch.get_num_threads()) as pool:
            boxes = list(pool.map(self._regions, images))
        crops = [
            image[:, y1:y2, x1:x2]
            for image, of in zip(images, boxes, strict=True)
            for x1, y1, x2, y2 in of.tolist()
        ]
        captions = self._captioner.captions(crops)
        # an empty one says nothing; the others are read once, together
        said = list(dict.fromkeys(caption for caption in captions if caption.strip()))
        vectors = dict(zip(said, self._encode(said), strict=True))
        following = iter(captions)
        return [self._topics([next(following) for _ in of], vectors) for of in boxes]

    def _regions(self, image: Tensor) -> np.ndarray:
        """(N, 4), see `proposals`."""
        return proposals(
            image.permute(1, 2, 0).cpu().numpy(),
            search_input=self._search_input,
            min_area=self._min_area,
        )

    def _topics(self, captions: list[str], vector_of: dict[str, Tensor]) -> list[Topic]:
        """Return the topics of one image's captions; those without a vector do not count."""
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
    """The topic whose caption is most like a phrase; the first of equals.

    Args: topics: (T, D), T >= 1.  phrasings: (P, D), of which the mean counts; both of length 1.
    """
    return int((topics @ phrasings.mean(dim=0)).argmax())
