"""Training input of a triplet loss: three images, each with an augmentation of its own."""

from collections.abc import Sequence
from typing import Any

from ..image_labels import label_of
from ..triplets import TripletSampler
from .classified import ClassMapper


class TripletMapper:
    """Mapper from a record, the anchor, to the inputs of its triplet.

    `TrainLoader` draws every image once per epoch. The position in its stream determines the two
    other images and the three augmentations.
    """

    def __init__(self, records: Sequence[dict[str, Any]], mapper: ClassMapper):
        """Create the mapper.

        Args:   records: all training images; each file occurs once.
                mapper: mapper of one image. Its seed is also that of the triplets.
        Raises: UserError for an image without a class, and for fewer than two classes.
        """
        self.records, self.mapper = records, mapper
        self.triplets = TripletSampler([label_of(record) for record in records], mapper.seed)
        self._places = {record["file_name"]: place for place, record in enumerate(records)}

    def __call__(self, record: dict[str, Any], position: int) -> dict[str, Any]:
        """Return {"anchor", "positive", "negative", "file_name", "image_id"}.

        The first three are samples of `ClassMapper`. The names are those of the anchor.

        Raises: ImageReadError for a file that cannot be read.
        """
        epoch, index = divmod(position, len(self.records))
        triplet = self.triplets.with_anchor(self._places[record["file_name"]], epoch, index)
        samples = {
            role: self.mapper(self.records[place], position, view)
            for view, (role, place) in enumerate(triplet._asdict().items())
        }
        return samples | {"file_name": record["file_name"], "image_id": record["image_id"]}
