"""Planning of batches, which depend on data and settings only."""

from collections.abc import Callable, Sequence

from boxrefine_d2.data.loaders import equal_size_batches
from boxrefine_d2.data.mappers import ImageMapper
from boxrefine_d2.data.records import Record
from boxrefine_d2.networks import padded_size

# limit on the pairwise similarities of one batch; it is fixed so that results do not depend on the
# machine's memory
MAX_AFFINITY_BYTES = 4 * 2**30


def plan_batches(
    records: Sequence[Record], mapper: ImageMapper, batch_size: int, stride: int
) -> tuple[list[list[Record]], list[dict[str, str]]]:
    """Return batches of images of one padded size, with similarities within `MAX_AFFINITY_BYTES`.

    Args: batch_size: most images per batch.  stride: input pixels per patch.
    Returns: the batches, and the images that exceed the limit alone, as `failure` describes them.
    """
    batches, failed = [], []
    for batch in equal_size_batches(records, mapper, _padded(stride), batch_size):
        size = (batch[0]["height"], batch[0]["width"])
        if not all(size):
            batches.append(batch)  # unknown size: reading the images will report the problem
            continue
        height, width = _padded(stride)(mapper.input_size(*size))
        affinity_bytes = 4 * (height * width // stride**2) ** 2
        fit = MAX_AFFINITY_BYTES // affinity_bytes
        if fit:
            batches += [batch[i : i + fit] for i in range(0, len(batch), fit)]
            continue
        failed += [failure(record, _too_large(record, affinity_bytes)) for record in batch]
    return batches, failed


def failure(record: Record, reason: str) -> dict[str, str]:
    """Return the output file's entry for an image that could not be done."""
    return {"file_name": record["relative_name"], "reason": reason}


def _padded(stride: int) -> Callable[[tuple[int, int]], tuple[int, int]]:
    return lambda size: padded_size(size, stride)


def _too_large(record: Record, affinity_bytes: int) -> str:
    return (
        f"{record['width']} x {record['height']} pixels need {affinity_bytes / 2**30:.0f} GiB of "
        f"similarities, {MAX_AFFINITY_BYTES / 2**30:.0f} are allowed; lower --max-side"
    )
