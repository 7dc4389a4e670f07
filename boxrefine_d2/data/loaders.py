"""Loaders of batches: an endless stream for training, and batches of equal sizes for testing."""

import logging
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
from detectron2.utils import comm
from torch.utils.data import DataLoader, Dataset, Sampler

from boxrefine_d2.errors import UserError
from boxrefine_d2.progress import progress_bar

from .images import ImageReadError
from .mappers import ImageMapper
from .passes import order_of_pass
from .records import Record

logger = logging.getLogger(__name__)

# From (record, position in the stream) to a sample; a pure function of both.
TrainMapper = Callable[[Record, int], Record]


class _Draws(Sampler[tuple[int, int]]):
    """Positions of one rank in the endless stream, with the index of the record drawn at each.

    The stream is a chain of permutations of the data set. Seed and number of the pass determine
    each permutation. Position p belongs to rank p % ranks. Therefore all ranks together draw the
    same records as one process.
    """

    def __init__(self, images: int, seed: int, start: int, rank: int, ranks: int):
        self.images, self.seed = images, seed
        self.start, self.rank, self.ranks = start, rank, ranks

    def __iter__(self) -> Iterator[tuple[int, int]]:
        position = self.start + self.rank
        number, order = -1, np.empty(0, np.int64)
        while True:
            if position // self.images != number:
                number = position // self.images
                order = order_of_pass(self.images, self.seed, number)
            yield position, int(order[position % self.images])
            position += self.ranks


class _GroupedDraws(Sampler[tuple[int, int]]):
    """One rank's share of batches of one shape, upright or not, which need less padding.

    A draw of the stream waits until enough draws of its shape fill a batch. Batches appear in the
    order in which they become full.
    """

    def __init__(
        self, upright: Sequence[bool], seed: int, start: int, batch_size: int, rank: int, ranks: int
    ):
        """Create the sampler.

        Args:   upright: for each record, True if its image is higher than wide.
                start: number of the first batch.  batch_size: images per batch over all ranks.
        """
        self.upright, self.seed = upright, seed
        self.start, self.batch_size = start, batch_size
        self.rank, self.ranks = rank, ranks

    def __iter__(self) -> Iterator[tuple[int, int]]:
        for batch in islice(self._batches(), self.start, None):
            yield from batch[self.rank :: self.ranks]

    def _batches(self) -> Iterator[list[tuple[int, int]]]:
        waiting: tuple[list[tuple[int, int]], ...] = ([], [])
        for position, index in _Draws(len(self.upright), self.seed, start=0, rank=0, ranks=1):
            queue = waiting[self.upright[index]]
            queue.append((position, index))
            if len(queue) == self.batch_size:
                yield list(queue)
                queue.clear()


class _TrainDataset(Dataset[Record]):
    """Mapped samples by (position, index). The next record replaces a file that cannot be read."""

    def __init__(self, records: Sequence[Record], mapper: TrainMapper):
        self.records, self.mapper = records, mapper

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, draw: tuple[int, int]) -> Record:
        position, index = draw
        unreadable: list[tuple[str, str]] = []
        for offset in range(len(self.records)):
            record = self.records[(index + offset) % len(self.records)]
            try:
                return self.mapper(record, position) | {"unreadable": unreadable}
            except ImageReadError as error:
                unreadable.append((record["file_name"], str(error)))
        return {"unreadable": unreadable}


class TrainLoader:
    """Endless stream of batches, a pure function of records, settings and iteration.

    The loader reads no file before the first batch is requested.

    Attributes:
        start_iteration: first iteration of the stream. To resume, set it before the first batch is
            requested.
        unreadable: file name -> reason, for all files replaced so far.
    """

    def __init__(
        self,
        records: Sequence[Record],
        mapper: TrainMapper,
        *,
        batch_size: int,
        seed: int,
        rank: int,
        ranks: int,
        num_workers: int,
        by_shape: bool = False,
    ):
        """Create the loader without reading a file.

        Args:   batch_size: images per batch over all ranks.
                by_shape: upright images form batches of their own.
        Raises: UserError if the ranks cannot share a batch equally, or if there are fewer images
                than a batch holds.
        """
        if batch_size % ranks:
            raise UserError(
                f"SOLVER.IMS_PER_BATCH {batch_size} is no multiple of the {ranks} processes; "
                f"choose a multiple of {ranks}"
            )
        if len(records) < batch_size:
            raise UserError(
                f"{len(records)} training images for a batch of {batch_size}: add images or lower "
                "SOLVER.IMS_PER_BATCH"
            )
        self.dataset = _TrainDataset(records, mapper)
        self.batch_size, self.seed = batch_size, seed
        self.rank, self.ranks, self.num_workers = rank, ranks, num_workers
        self.by_shape = by_shape
        self.start_iteration = 0
        self.unreadable: dict[str, str] = {}

    def __iter__(self) -> Iterator[list[Record]]:
        loader = DataLoader(
            self.dataset,
            batch_size=self.batch_size // self.ranks,
            sampler=self._draws(),
            num_workers=self.num_workers,
            collate_fn=_as_is,
            generator=torch.Generator(),  # by default, each start draws from the caller's generator
        )
        for batch in loader:
            for sample in batch:
                self._report(sample.pop("unreadable"), readable=bool(sample))
            yield batch

    def _draws(self) -> Sampler[tuple[int, int]]:
        share = self.rank, self.ranks
        if not self.by_shape:
            start = self.start_iteration * self.batch_size
            return _Draws(len(self.dataset), self.seed, start, *share)
        upright = [(r["height"] or 0) > (r["width"] or 0) for r in self.dataset.records]
        return _GroupedDraws(upright, self.seed, self.start_iteration, self.batch_size, *share)

    def _report(self, unreadable: list[tuple[str, str]], readable: bool) -> None:
        if not readable:
            raise UserError(f"no training image can be read; first: {unreadable[0][1]}")
        for file_name, reason in unreadable:
            if file_name not in self.unreadable:
                logger.warning("image replaced by the next one: %s", reason)
                self.unreadable[file_name] = reason


def _as_is(batch: list[Any]) -> list[Any]:
    return batch


@dataclass(frozen=True)
class UnreadableImage:
    """Placeholder for a sample whose file could not be read."""

    record: Record
    reason: str


def equal_size_batches(
    records: Sequence[Record],
    mapper: ImageMapper,
    padded: Callable[[tuple[int, int]], tuple[int, int]],
    batch_size: int,
) -> list[list[Record]]:
    """Group records into batches whose padded inputs have one size.

    The batches depend on data and settings alone.

    Args: padded: function from (H, W) of an input to its padded size.
    Returns: lists of at most `batch_size` records, in the order of each list's first record. A
        record of unknown size, whose header could not be read, forms a batch of its own.
    """
    groups: dict[Any, list[tuple[int, Record]]] = defaultdict(list)
    for index, record in enumerate(records):
        if record["height"] and record["width"]:
            key: Any = padded(mapper.input_size(record["height"], record["width"]))
        else:
            key = index
        groups[key].append((index, record))
    batches = [
        group[start : start + batch_size]
        for group in groups.values()
        for start in range(0, len(group), batch_size)
    ]
    batches.sort(key=lambda batch: batch[0][0])
    return [[record for _, record in batch] for batch in batches]


class _BatchDataset(Dataset[list[Record | UnreadableImage]]):
    def __init__(self, batches: Sequence[list[Record]], mapper: ImageMapper):
        self.batches, self.mapper = batches, mapper

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> list[Record | UnreadableImage]:
        return [self._sample(record) for record in self.batches[index]]

    def _sample(self, record: Record) -> Record | UnreadableImage:
        try:
            sample = self.mapper(record)
        except ImageReadError as error:
            return UnreadableImage(record, str(error))
        expected = (record["height"], record["width"])
        size = (sample["height"], sample["width"])
        if all(expected) and size != expected:
            # The batch was formed by the size in the header.
            return UnreadableImage(
                record,
                f"{record['file_name']!r} is {size[1]} x {size[0]} pixels now and was "
                f"{expected[1]} x {expected[0]}: the file changed during the run",
            )
        return sample


class WholeImageLoader:
    """Loader of test batches in their order. Worker processes load ahead of use.

    Attributes: unreadable: file name -> reason, for all files left out so far.
    """

    def __init__(
        self,
        batches: Sequence[list[Record]],
        mapper: ImageMapper,
        num_workers: int,
        *,
        what: str = "",
    ):
        """Create the loader without reading a file.

        Args: what: label of the progress bar that the first process shows; "" for no bar.
        """
        self._what, self._images = what, sum(map(len, batches))
        self._loader = DataLoader(
            _BatchDataset(batches, mapper),
            batch_size=None,
            num_workers=num_workers,
            collate_fn=_as_is,
        )
        self.unreadable: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self._loader)

    def __iter__(self) -> Iterator[list[Record]]:
        """Yield the readable images. The others are logged and listed in `unreadable`."""
        shown = bool(self._what) and comm.is_main_process()
        with progress_bar(self._what, total=self._images, shown=shown) as bar:
            for batch in self.with_unreadable():
                readable = [sample for sample in batch if not isinstance(sample, UnreadableImage)]
                if readable:
                    yield readable
                bar.update(len(batch))

    def with_unreadable(self) -> Iterator[list[Record | UnreadableImage]]:
        """Yield every batch whole, with an `UnreadableImage` for each file that cannot be read."""
        for batch in self._loader:
            for sample in batch:
                if isinstance(sample, UnreadableImage):
                    logger.warning("image left out: %s", sample.reason)
                    self.unreadable[sample.record["file_name"]] = sample.reason
            yield batch
