"""Progress bars that appear only where the work takes long."""

from collections.abc import Iterable
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")

SECONDS_OF_SILENCE = 2.0  # after so long a progress bar appears


def reading_headers(items: Iterable[T], total: int) -> Iterable[T]:
    """Iterate over images whose headers are read one by one, with a progress bar."""
    return tqdm(items, "read headers", total, unit="img", delay=SECONDS_OF_SILENCE)
