"""Work on images that an interrupted command does not lose: a journal beside its output file."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from boxrefine_d2.pseudo_labels.journal import Entry, Journal
from boxrefine_d2.pseudo_labels.sharing import Share, claim

Compute = Callable[[list[int]], Iterable[tuple[int, Entry]]]


@contextmanager
def kept_work(
    output: Path, info: dict[str, Any], images: int, compute: Compute
) -> Iterator[list[Entry]]:
    """Give the entries of all images, in order, and forget them when the output is written.

    Images that an interrupted command with the same settings has finished are not computed again.

    Args:
        info: everything that an entry depends on, as JSON values.
        images: number of images.
        compute: function from the numbers of the images that are left to their entries.
    Raises: UserError if another process works on the output, or left a journal of other settings.
    """
    journal: Journal | None = claim(output, info, Share.of(None))
    assert journal is not None  # only a shard may have nothing to do
    with journal:
        for index, entry in compute([i for i in range(images) if i not in journal]):
            journal.add(index, entry)
        yield [entry for _, entry in journal.entries()]
        journal.remove()
