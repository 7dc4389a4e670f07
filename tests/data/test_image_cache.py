"""The cache of decoded images: same pixels, its limit, workers that share it, and full disks."""

import errno
import os
import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest
from PIL import Image

from boxrefine_d2.data.image_cache import CachedReader
from boxrefine_d2.data.images import ImageReadError, read_image

HEADER, FIRST = 24, 8  # bytes before an image's pixels, and before the first entry


@pytest.fixture
def paths(tmp_path):
    """Three images of 300, 300 and 360 bytes."""
    files = [tmp_path / f"{index}.png" for index in range(3)]
    for index, file in enumerate(files):
        pixels = np.random.default_rng(index).integers(0, 256, (10, (10, 10, 12)[index], 3))
        Image.fromarray(pixels.astype(np.uint8)).save(file)
    return files


class Counted:
    """Reader that writes the name of each image that it reads to a file."""

    def __init__(self, log):
        self.log = log

    def __call__(self, name):
        with open(self.log, "a") as file:
            file.write(os.path.basename(name) + "\n")
        return read_image(name)

    def names(self):
        return self.log.read_text().split() if self.log.exists() else []


@pytest.mark.parametrize(
    ("limit", "read_twice"),
    [
        (0, 3),
        (7, 3),
        (FIRST + HEADER + 300 - 1, 3),
        (FIRST + HEADER + 300, 2),
        (FIRST + 2 * HEADER + 600, 1),
        (FIRST + 3 * HEADER + 959, 1),
        (FIRST + 3 * HEADER + 960, 0),
        (1e9, 0),
    ],
)
def test_images_up_to_the_limit_are_read_once(tmp_path, paths, limit, read_twice):
    count = Counted(tmp_path / "log")
    reader = CachedReader(limit, count)
    for _ in range(2):
        for path in paths:
            image = reader(path)
            assert np.array_equal(image, read_image(path))
            image[:] = 0  # it is the caller's own
    assert len(count.names()) == 3 + read_twice


def read_all(reader, paths):
    return [reader(path).tobytes() for path in paths]


_shared: list[CachedReader] = []


def read_shared(paths):
    return read_all(_shared[0], paths)


def test_forked_workers_share_the_images(tmp_path, paths):
    """Four workers read all images in other orders. Each reads at most those not stored yet."""
    count = Counted(tmp_path / "log")
    _shared[:] = [CachedReader(1e6, count)]
    _shared[0](paths[0])
    orders = [paths, paths[::-1], paths[1:] + paths[:1], paths] * 5
    with ProcessPoolExecutor(4, get_context("fork")) as pool:
        results = list(pool.map(read_shared, orders))
    for order, images in zip(orders, results, strict=True):
        assert images == [read_image(path).tobytes() for path in order]
    names = count.names()
    assert names.count("0.png") == 1  # stored before the workers started
    assert len(names) <= 1 + 2 * 4  # at worst all workers decode an image at the same moment
    before = len(names)
    read_all(_shared[0], paths)  # this process sees the images of its workers
    assert len(count.names()) == before


def test_a_copy_by_pickle_has_a_cache_of_its_own(paths):
    reader = CachedReader(1e6)
    read_all(reader, paths)
    copied = pickle.loads(pickle.dumps(reader))
    assert read_all(copied, paths) == read_all(reader, paths)
    assert copied._file.fileno() != reader._file.fileno()


def test_an_unreadable_image_is_never_stored(tmp_path):
    reader = CachedReader(1e6)
    for _ in range(2):
        with pytest.raises(ImageReadError, match="no such file"):
            reader(tmp_path / "none.png")


def test_a_full_disk_ends_the_growth_and_nothing_else(paths, monkeypatch, caplog):
    reader = CachedReader(1e6)
    reader(paths[0])
    original = os.pwrite

    def full(handle, content, offset):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    assert read_all(reader, paths) == [read_image(path).tobytes() for path in paths]
    assert caplog.text.count("the cache of images grows no more") == 1
    monkeypatch.setattr(os, "pwrite", original)
    assert read_all(reader, paths) == [read_image(path).tobytes() for path in paths]


def test_an_entry_that_was_not_finished_is_overwritten(tmp_path, paths, monkeypatch):
    """A worker is killed after its pixels and before the used length are written."""
    count = Counted(tmp_path / "log")
    reader, original = CachedReader(1e6, count), os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda *args: original(*args) if args[2] else len(args[1]))
    reader(paths[2])
    monkeypatch.setattr(os, "pwrite", original)
    assert read_all(reader, paths) == [read_image(path).tobytes() for path in paths]
    assert count.names() == ["2.png", "0.png", "1.png", "2.png"]


@pytest.mark.parametrize("limit", [1e15, 1e30])
def test_more_than_a_disk_can_address_means_no_cache(paths, limit, caplog):
    reader = CachedReader(limit)
    assert read_all(reader, paths) == [read_image(path).tobytes() for path in paths]
    assert ("set TMPDIR or lower INPUT.CACHE_GIB" in caplog.text) == (reader._pixels is None)
