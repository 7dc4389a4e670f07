"""Cache of decoded images: a memory-mapped file that all loader workers of a process share.

The file has a fixed largest size and no name: it disappears with the last process that uses it,
however that process ends. The operating system keeps its pages in memory while there is room.

The file begins with its used length, 8 bytes. Entries follow, each a header and the pixels of an
image. An entry is written before the used length grows, and it never changes afterwards.
"""

import fcntl
import logging
import mmap
import os
import struct
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from typing import IO, Any, NamedTuple

import numpy as np

from .images import read_image

logger = logging.getLogger(__name__)

_USED = struct.Struct("<Q")
_HEADER = struct.Struct("<16sII")  # digest of the name, height, width
_DIGEST_BYTES = 16


class _Place(NamedTuple):
    """Offset of an image's pixels in the file, and its size."""

    offset: int
    height: int
    width: int

    @property
    def end(self) -> int:
        return self.offset + 3 * self.height * self.width


class CachedReader:
    """Image reader that caches images up to a limit in bytes, and reads the others at each call.

    It serves training sets that fit into the limit. Nothing is evicted, because a shuffled stream
    requests every image equally often. Worker processes that fork after its creation share the
    images; a copy by pickle has a cache of its own.
    """

    def __init__(self, limit_bytes: float, read: Callable[[str], np.ndarray] = read_image):
        """Create an empty cache, in the folder of temporary files (TMPDIR).

        Args:
            limit_bytes: largest size of the file; below 1 there is none.
            read: function from a file name to (H, W, 3) uint8.
        """
        self._limit = int(limit_bytes)
        self._read = read
        self._places: dict[bytes, _Place] = {}
        self._scanned = _USED.size
        self._file: IO[bytes] | None = None
        self._pixels: mmap.mmap | None = None
        if (made := _new_file(self._limit)) is not None:
            self._file, self._pixels = made

    def __getstate__(self) -> dict[str, Any]:
        return {"limit_bytes": self._limit, "read": self._read}

    def __setstate__(self, state: dict[str, Any]) -> None:
        CachedReader.__init__(self, **state)

    def __call__(self, path: str | os.PathLike[str]) -> np.ndarray:
        """Return the image that `read` returns, as an array of the caller's own."""
        name = os.fspath(path)
        if self._pixels is None:
            return self._read(name)
        digest = blake2b(os.fsencode(name), digest_size=_DIGEST_BYTES).digest()
        place = self._places.get(digest) or self._find(digest)
        if place is not None:
            flat = np.frombuffer(self._pixels, np.uint8, place.end - place.offset, place.offset)
            return flat.reshape(place.height, place.width, 3).copy()
        image = self._read(name)
        self._store(digest, image)
        return image

    def _find(self, digest: bytes) -> _Place | None:
        """Return the place of an image that any worker has stored, or None."""
        with self._locked() as used:
            self._scan(used)
        return self._places.get(digest)

    def _scan(self, used: int) -> None:
        """Note the entries that were added since the last scan."""
        handle = self._handle
        while self._scanned < used:
            header = os.pread(handle, _HEADER.size, self._scanned)
            digest, height, width = _HEADER.unpack(header)
            self._places[digest] = place = _Place(self._scanned + _HEADER.size, height, width)
            self._scanned = place.end

    def _store(self, digest: bytes, image: np.ndarray) -> None:
        """Append an image if there is room and no other worker has stored it."""
        with self._locked() as used:
            self._scan(used)
            end = used + _HEADER.size + image.nbytes
            if digest in self._places or end > self._limit:
                return
            entry = _HEADER.pack(digest, *image.shape[:2]) + image.tobytes()
            try:
                # writing through the map would end the process if the disk is full
                _write(self._handle, entry, used)
                _write(self._handle, _USED.pack(end), 0)
            except OSError as error:
                logger.warning("the cache of images grows no more: %s", error)
                self._limit = 0

    @property
    def _handle(self) -> int:
        assert self._file is not None
        return self._file.fileno()

    @contextmanager
    def _locked(self) -> Iterator[int]:
        """Keep other workers from writing, and return the used length."""
        fcntl.lockf(self._handle, fcntl.LOCK_EX)
        try:
            yield _USED.unpack(os.pread(self._handle, _USED.size, 0))[0]
        finally:
            fcntl.lockf(self._handle, fcntl.LOCK_UN)


def _new_file(limit: int) -> tuple[IO[bytes], mmap.mmap] | None:
    """Return a nameless file of `limit` bytes without content, and its map; None for no cache."""
    if limit < _USED.size:
        return None
    try:
        file = tempfile.TemporaryFile(prefix="boxrefine_images_")  # noqa: SIM115
        os.truncate(file.fileno(), limit)
        fcntl.lockf(file.fileno(), fcntl.LOCK_EX)
        _write(file.fileno(), _USED.pack(_USED.size), 0)
        fcntl.lockf(file.fileno(), fcntl.LOCK_UN)
        return file, mmap.mmap(file.fileno(), limit, access=mmap.ACCESS_READ)
    except (OSError, OverflowError) as error:  # OverflowError: more bytes than an address has
        logger.warning(
            "no cache of images: a file of %d bytes in %s fails: %s; set TMPDIR or lower "
            "INPUT.CACHE_GIB",
            *(limit, tempfile.gettempdir(), error),
        )
        return None


def _write(handle: int, content: bytes, offset: int) -> None:
    """Write all bytes. Raises: OSError, such as for a full disk."""
    view = memoryview(content)
    while view:
        count = os.pwrite(handle, view, offset)
        view, offset = view[count:], offset + count
