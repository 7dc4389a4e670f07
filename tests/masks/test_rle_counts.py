"""Checks of RLE masks: sound masks equal the codec's own reading, and unsound masks are refused."""

import resource

import numpy as np
import pytest
from pycocotools import mask as mask_codec

from boxrefine_d2.data import images
from boxrefine_d2.files.values import MAX_IMAGE_PIXELS
from boxrefine_d2.masks.rle_counts import all_fill
from boxrefine_d2.masks.segmentation import MAX_PIXELS, checked_rles

SIZE = (37, 23)


def masks(seed, count):
    """Yield masks of every texture, from empty to noise."""
    random = np.random.default_rng(seed)
    for share in random.random(count):
        noise = random.random(SIZE)
        width = random.integers(1, 12)
        kernel = np.ones(width) / width
        smooth = np.apply_along_axis(np.convolve, 0, noise, kernel, "same")
        yield np.asfortranarray(smooth < share, dtype=np.uint8)


def test_sound_masks_are_unchanged():
    rles = [mask_codec.encode(mask) for mask in masks(0, 60)]
    rles += [mask_codec.encode(np.full(SIZE, value, np.uint8, order="F")) for value in (0, 1)]
    assert all_fill([rle["counts"] for rle in rles], SIZE[0] * SIZE[1])
    for text in (True, False):  # counts as JSON holds them, and as the codec makes them
        given = [r | {"counts": r["counts"].decode()} if text else r for r in rles]
        assert checked_rles(given, SIZE) == given
    assert checked_rles([], SIZE) == []


def test_long_runs_of_large_images():
    size = (9000, 9000)
    mask = np.zeros(size, np.uint8, order="F")
    mask[:, 4000:] = 1
    mask[5, 10] = 1
    counts = mask_codec.encode(mask)["counts"]
    assert all_fill([counts], 9000 * 9000)
    assert not all_fill([counts], 9000 * 9000 - 1)


def test_one_that_does_not_fill_is_found_among_many():
    """One run is longer or shorter by one pixel; `read` and `written` are the oracle."""
    random = np.random.default_rng(1)
    texts = [mask_codec.encode(mask)["counts"] for mask in masks(1, 40)]
    for change in (-1, 1):
        for index in random.permutation(len(texts))[:10]:
            runs = read(texts[index])
            runs[random.integers(len(runs))] += change
            changed = [*texts[:index], written(runs), *texts[index + 1 :]]
            assert not all_fill(changed, SIZE[0] * SIZE[1])


def read(text):
    """Return the runs of compressed counts, number by number."""
    runs, position = [], 0
    while position < len(text):
        number, shift, more = 0, 0, True
        while more:
            code = text[position] - 48
            number |= (code & 31) << shift
            more, shift, position = bool(code & 32), shift + 5, position + 1
        number -= (1 << shift) if code & 16 else 0
        runs.append(number + (runs[-2] if len(runs) > 2 else 0))
    return runs


def written(runs):
    """Return compressed counts of runs; the inverse of `read`."""
    text = bytearray()
    for i, run in enumerate(runs):
        number, more = run - (runs[i - 2] if i > 2 else 0), True
        while more:
            code, number = number & 31, number >> 5
            more = number != (-1 if code & 16 else 0)
            text.append(code + 32 * more + 48)
    return bytes(text)


def test_the_oracle_reads_what_the_codec_wrote():
    for mask in masks(2, 20):
        text = mask_codec.encode(mask)["counts"]
        assert written(read(text)) == text
        assert sum(read(text)[1::2]) == mask.sum()


@pytest.mark.parametrize(
    "counts",
    [
        b"",
        b"zz",  # other characters
        b"1",  # too few pixels: the codec returns uninitialised memory
        written([900]),  # too many pixels
        written([100, 751, 0, 0, 0]) + b"P",  # cut short within a number
        written([500, 400, -49]),  # a negative number, but the right sum
        written([10, 20, 30, -5, 796]),
        b"P" * 7 + b"0",  # a number of too many bits
    ],
)
def test_unsound_counts_are_refused(counts):
    good = mask_codec.encode(next(masks(3, 1)))
    assert not all_fill([good["counts"], counts], SIZE[0] * SIZE[1])
    assert not all_fill([counts, good["counts"]], SIZE[0] * SIZE[1])
    with pytest.raises(
        ValueError, match="^a segmentation cannot be decoded: its counts do not fill"
    ):
        checked_rles([good, {"size": [*SIZE], "counts": counts}], SIZE)


def test_polygons_and_lists_of_counts_become_rle():
    polygon = [[2.0, 3.0, 20.0, 3.0, 20.0, 30.0]]
    plain = {"size": [*SIZE], "counts": [100, 50, 701]}
    drawn, listed = checked_rles([polygon, plain], SIZE)
    assert mask_codec.area(drawn) == pytest.approx(18 * 27 / 2, rel=0.05)
    assert (
        mask_codec.decode(listed).ravel(order="F")[98:152].tolist() == [0] * 2 + [1] * 50 + [0] * 2
    )


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ("words", "cannot be decoded"),
        (None, "cannot be decoded"),
        ([[1, 2]], "cannot be decoded"),
        ({"counts": "11"}, "cannot be decoded"),
        ({"size": [*SIZE]}, "cannot be decoded"),
        ({"size": [*SIZE], "counts": None}, "cannot be decoded"),
        ({"size": [*SIZE[::-1]], "counts": written([851])}, "is 37 x 23 pixels, the image 23 x 37"),
    ],
)
def test_a_value_that_is_no_mask_is_named(segmentation, message):
    with pytest.raises(ValueError, match=f"^a segmentation {message}"):
        checked_rles([segmentation], SIZE)


@pytest.mark.parametrize(
    "segmentation",
    [
        [[float("nan"), 0, 5, 0, 5, 5]],
        [[0, 0, float("inf"), 0, 5, 5]],
        [[0, 0, 1e300, 0, 5, 5]],
        [[0, 0, 10**400, 0, 5, 5]],
        [["0", "0", "5", "0", "5", "5"]],
        [[None, 0, 5, 0, 5, 5]],
        [[0, 0, 9e5, 9e5] * 500],  # an outline of a billion pixels
        {"size": [10**9, 10**9], "counts": [10**18]},
        {"size": [10**9, 10**9], "counts": "o"},
        {"size": [*SIZE], "counts": [-49, 900]},
        {"size": [*SIZE], "counts": [2**32 + 851]},
        {"size": [*SIZE], "counts": [851.0]},
        {"size": [*SIZE], "counts": "\u00e9\u4e2d"},
        {"size": [*SIZE], "counts": "\ud800"},
        {"size": [-37, -23], "counts": [851]},
        {"size": ["37", "23"], "counts": [851]},
        {"size": 37, "counts": [851]},
    ],
)
def test_masks_that_would_take_memory_or_mislead_the_codec_are_refused(segmentation):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ValueError, match="^a segmentation"):
        checked_rles([segmentation], SIZE)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # KiB


def test_corners_outside_the_image_are_cut_and_large_outlines_are_drawn():
    beyond = [[-10.0, 3.0, 20.0, 3.0, 20.0, 90.0, -10.0, 90.0]]
    assert mask_codec.area(checked_rles([beyond], SIZE)[0]) == pytest.approx(20 * 34, rel=0.05)
    angles = np.linspace(0, 2 * np.pi, 20_000)
    circle = np.stack([6000 + 5000 * np.cos(angles), 6000 + 5000 * np.sin(angles)], axis=1)
    (rle,) = checked_rles([[circle.ravel().tolist()]], (12_000, 12_000))
    assert mask_codec.area(rle) == pytest.approx(np.pi * 5000**2, rel=0.01)


def test_a_mask_may_be_as_large_as_an_image():
    assert MAX_PIXELS == MAX_IMAGE_PIXELS == images.MAX_PIXELS
