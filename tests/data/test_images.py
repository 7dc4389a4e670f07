"""The image reader: images of every mode become upright RGB, other files give one-line errors."""

import errno
import io
import os
import pickle
import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import ExifTags, Image

from boxrefine_d2.data import images, pixels
from boxrefine_d2.data.images import (
    ImageReadError,
    header_size,
    image_header,
    image_size,
    image_suffixes,
    is_image_name,
    read_image,
)
from boxrefine_d2.data.pixels import BACKGROUND

GREY = np.array([[0, 60, 120], [180, 240, 255]], np.uint8)
COLOURS = np.array(
    [[[250, 10, 20], [30, 240, 10], [0, 0, 255]], [[9, 9, 9], [200, 200, 0], [255, 255, 255]]],
    np.uint8,
)


def _png_chunk(name: bytes, content: bytes) -> bytes:
    return (
        struct.pack(">I", len(content))
        + name
        + content
        + struct.pack(">I", zlib.crc32(name + content))
    )


def _as_rgb(grey: np.ndarray) -> np.ndarray:
    return np.stack([grey] * 3, axis=-1)


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (Image.fromarray(GREY), _as_rgb(GREY)),
        (Image.fromarray(COLOURS), COLOURS),
        (Image.fromarray(GREY > 100), _as_rgb(np.where(GREY > 100, 255, 0))),
        (Image.fromarray(GREY).convert("P"), _as_rgb(GREY)),
        (Image.fromarray(GREY.astype(np.uint16) * 257), _as_rgb(GREY)),
    ],
    ids=["L", "RGB", "1", "P", "I;16"],
)
def test_lossless_modes_keep_their_pixels(tmp_path, image, expected):
    image.save(tmp_path / "a.png")
    pixels = read_image(tmp_path / "a.png")
    assert pixels.dtype == np.uint8 and pixels.flags.writeable
    np.testing.assert_array_equal(pixels, expected)
    assert image_size(tmp_path / "a.png") == (2, 3)


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr"])
def test_other_colour_spaces_become_rgb(tmp_path, mode):
    Image.new("RGB", (8, 4), (200, 40, 90)).convert(mode).save(tmp_path / "a.tif")
    assert Image.open(tmp_path / "a.tif").mode == mode
    np.testing.assert_allclose(
        read_image(tmp_path / "a.tif"), np.full((4, 8, 3), (200, 40, 90)), atol=2
    )


def test_cmyk_jpeg(tmp_path):
    Image.new("CMYK", (16, 8), (0, 255, 255, 0)).save(tmp_path / "a.jpg", quality=95)
    np.testing.assert_allclose(
        read_image(tmp_path / "a.jpg"), np.full((8, 16, 3), (255, 0, 0)), atol=8
    )


def test_alpha_is_laid_over_the_background(tmp_path):
    Image.fromarray(np.array([[[255, 0, 0, 255], [255, 0, 0, 0]]], np.uint8)).save(
        tmp_path / "rgba.png"
    )
    Image.fromarray(np.array([[[40, 255], [40, 0]]], np.uint8)).save(tmp_path / "la.png")
    np.testing.assert_array_equal(read_image(tmp_path / "rgba.png"), [[(255, 0, 0), BACKGROUND]])
    np.testing.assert_array_equal(read_image(tmp_path / "la.png"), [[(40, 40, 40), BACKGROUND]])


def test_half_transparent_pixels_are_mixed(tmp_path):
    Image.fromarray(np.array([[[0, 0, 0, 51]]], np.uint8)).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png")[0, 0].tolist() == pytest.approx([128 * 0.8] * 3, abs=1)


def test_transparent_palette_entry_and_colour(tmp_path):
    palette = Image.fromarray(np.array([[0, 1]], np.uint8)).convert("P")
    palette.putpalette([10, 20, 30, 250, 240, 230])
    palette.save(tmp_path / "p.png", transparency=0)
    palette.save(tmp_path / "p.gif", transparency=0)
    Image.fromarray(COLOURS).save(tmp_path / "rgb.png", transparency=(0, 0, 255))
    for name in ("p.png", "p.gif"):
        np.testing.assert_array_equal(read_image(tmp_path / name), [[BACKGROUND, (250, 240, 230)]])
    expected = COLOURS.copy()
    expected[0, 2] = BACKGROUND
    np.testing.assert_array_equal(read_image(tmp_path / "rgb.png"), expected)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[0, 255]], np.int32), [0, 255]),
        (np.array([[0, 65535]], np.int32), [0, 255]),
        (np.array([[0, 257 * 7]], np.int32), [0, 7]),
        (np.array([[-100, 0, 100]], np.int32), [0, 128, 255]),
        (np.array([[0.0, 0.2, 1.0]], np.float32), [0, 51, 255]),
        (np.array([[0.0, 51.4, 200.0]], np.float32), [0, 51, 200]),
        (np.array([[1000.0, 1500.0, 2000.0, np.nan]], np.float32), [0, 128, 255, 0]),
        (np.array([[3000.0, 3000.0]], np.float32), [0, 0]),
    ],
)
def test_values_without_a_natural_range(tmp_path, values, expected):
    Image.fromarray(values).save(tmp_path / "a.tif")
    assert read_image(tmp_path / "a.tif")[0, :, 0].tolist() == expected


def test_no_finite_pixel_is_an_error(tmp_path):
    Image.fromarray(np.full((2, 2), np.nan, np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(ImageReadError, match="no finite pixel"):
        read_image(tmp_path / "a.tif")


def test_sixteen_bit_pgm(tmp_path):
    (tmp_path / "a.pgm").write_bytes(b"P5 2 1 65535\n" + struct.pack(">HH", 257 * 3, 65535))
    assert read_image(tmp_path / "a.pgm")[0, :, 1].tolist() == [3, 255]


def test_animation_gives_its_first_frame(tmp_path):
    frames = [Image.new("RGB", (5, 4), colour) for colour in ((255, 0, 0), (0, 255, 0))]
    for name in ("a.gif", "a.webp", "a.png"):
        options = {"lossless": True} if name.endswith("webp") else {}
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], **options)
        assert Image.open(tmp_path / name).n_frames == 2
        np.testing.assert_array_equal(read_image(tmp_path / name), np.full((4, 5, 3), (255, 0, 0)))


# EXIF orientation -> function from the upright image to the pixels that a camera in this
# orientation stores, derived by hand.
STORED = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: a[:, ::-1].transpose(1, 0, 2),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: a[::-1].transpose(1, 0, 2),
}


def _save_turned(path, upright: np.ndarray, orientation: int, **options) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    stored = np.ascontiguousarray(STORED[orientation](upright))
    Image.fromarray(stored).save(path, exif=exif, **options)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "tif", "webp"])
def test_exif_orientation_is_undone(tmp_path, suffix, orientation):
    path = tmp_path / f"a.{suffix}"
    _save_turned(path, COLOURS, orientation, **({"lossless": True} if suffix == "webp" else {}))
    np.testing.assert_array_equal(read_image(path), COLOURS)
    assert image_size(path) == (2, 3)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_of_a_jpeg(tmp_path, orientation):
    upright = np.zeros((16, 32, 3), np.uint8)
    upright[:8, :16] = (250, 0, 0)  # red in the upper left, blue in the lower right
    upright[8:, 16:] = (0, 0, 250)
    _save_turned(tmp_path / "a.jpg", upright, orientation, quality=95)
    np.testing.assert_allclose(
        read_image(tmp_path / "a.jpg")[2:6, 2:14], upright[2:6, 2:14], atol=12
    )
    np.testing.assert_allclose(
        read_image(tmp_path / "a.jpg")[10:14, 18:30], upright[10:14, 18:30], atol=12
    )
    assert image_size(tmp_path / "a.jpg") == (16, 32)


def test_exif_behind_the_pixels_of_a_png(tmp_path):
    stored = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(STORED[6](COLOURS))).save(stored, "PNG")
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    content = stored.getvalue()
    end = content.index(b"IEND") - 4
    late = _png_chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\x00\x00"))
    (tmp_path / "a.png").write_bytes(content[:end] + late + content[end:])
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), COLOURS)
    assert image_size(tmp_path / "a.png") == (2, 3)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_broken_exif_is_ignored(tmp_path):
    Image.fromarray(COLOURS).save(
        tmp_path / "a.png", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\xffnonsense"
    )
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), COLOURS)
    assert image_size(tmp_path / "a.png") == (2, 3)


def _bad_files(folder):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    for suffix in ("jpg", "png", "tif", "gif", "bmp"):
        stored = io.BytesIO()
        Image.fromarray(noise).save(stored, Image.registered_extensions()[f".{suffix}"])
        (folder / f"cut.{suffix}").write_bytes(stored.getvalue()[: len(stored.getvalue()) // 2])
    (folder / "text.jpg").write_text("this is not an image\n")
    (folder / "empty.png").write_bytes(b"")
    (folder / "folder.jpg").mkdir()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("cut.jpg", "truncated or damaged"),
        ("cut.png", "truncated or damaged"),
        ("cut.gif", "truncated or damaged"),
        ("cut.bmp", "truncated or damaged"),
        ("cut.tif", ""),
        ("text.jpg", "not an image"),
        ("empty.png", "is empty"),
        ("folder.jpg", "is a folder"),
        ("missing.jpg", "no such file"),
        ("a\0b.jpg", ""),
    ],
)
def test_bad_file_is_a_one_line_error_that_names_it(tmp_path, name, reason):
    _bad_files(tmp_path)
    with pytest.raises(ImageReadError) as caught:
        read_image(str(tmp_path / name))
    message = str(caught.value)
    assert "\n" not in message and reason in message
    assert repr(str(tmp_path / name)) in message
    assert caught.value.path == str(tmp_path / name) and reason in caught.value.reason


def test_header_size_of_a_bad_file_is_none(tmp_path):
    _bad_files(tmp_path)
    assert header_size(tmp_path / "text.jpg") == (None, None)
    assert header_size(tmp_path / "cut.png") == (64, 64)  # its header is whole
    with pytest.raises(ImageReadError):
        image_size(tmp_path / "empty.png")


def _announcing(path, width: int, height: int) -> None:
    """Write a PNG file of a few bytes whose header states an image of the given size."""
    header = _png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    pixels = _png_chunk(b"IDAT", zlib.compress(b""))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + pixels + _png_chunk(b"IEND", b""))


# Both sides exceed our limit. The second also exceeds the limit above which Pillow raises an error.
@pytest.mark.parametrize("side", [14000, 100_000])
def test_too_many_pixels_are_an_error(tmp_path, side):
    _announcing(tmp_path / "bomb.png", side, side)
    for function in (read_image, image_size):
        with pytest.raises(ImageReadError, match="limit"):
            function(tmp_path / "bomb.png")


def test_our_pixel_limit_applies_and_pillow_does_not_warn(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    monkeypatch.setattr(images, "MAX_PIXELS", 150)
    _announcing(tmp_path / "a.png", 14, 10)
    _announcing(tmp_path / "b.png", 16, 10)
    with warnings.catch_warnings(record=True) as shown:
        assert image_size(tmp_path / "a.png") == (10, 14)  # Pillow would warn
        with pytest.raises(ImageReadError, match="16 x 10 pixels"):
            image_size(tmp_path / "b.png")
    assert not shown


def test_error_survives_a_worker_process(tmp_path):
    with pytest.raises(ImageReadError) as caught:
        read_image(tmp_path / "missing.png")
    copy = pickle.loads(pickle.dumps(caught.value))
    assert str(copy) == str(caught.value)
    assert (copy.path, copy.reason) == (caught.value.path, caught.value.reason)
    assert isinstance(ImageReadError("one argument, as torch rebuilds it"), ImageReadError)


def test_scene_names_render():
    pixels = read_image("scenes:train/000012")
    assert pixels.ndim == 3 and pixels.shape[2] == 3 and pixels.dtype == np.uint8
    assert image_size("scenes:train/000012") == pixels.shape[:2]


@pytest.mark.parametrize(
    "name", ["scenes:train", "scenes:train/x", "scenes:nowhere/000001", "scenes:train/999999"]
)
def test_bad_scene_name(name):
    with pytest.raises(ImageReadError, match="scenes:"):
        read_image(name)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "L", "I;16", "I", "F", "CMYK"])
def test_an_image_read_in_strips_is_the_same(tmp_path, monkeypatch, mode):
    noise = np.random.default_rng(0).integers(0, 256, (37, 23, 3), dtype=np.uint8)
    image = Image.fromarray(noise)
    if mode == "F":
        image = Image.fromarray(noise[..., 0].astype(np.float32) * 3 - 9)
    elif mode in ("I", "I;16"):
        image = Image.fromarray(noise[..., 0].astype(np.int32 if mode == "I" else np.uint16) * 99)
    else:
        image = image.convert(mode)
    path = tmp_path / "a.tif"
    image.save(path)
    whole = read_image(path)
    monkeypatch.setattr(pixels, "_STRIP_PIXELS", 50)
    np.testing.assert_array_equal(read_image(path), whole)


def _saved_colours(path, **options):
    Image.fromarray(COLOURS).save(path, **options)
    return path


def test_a_header_states_the_upright_and_the_stored_size(tmp_path):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    turned = _saved_colours(tmp_path / "a.jpg", exif=exif)
    assert image_header(turned) == ((3, 2), (2, 3))
    tiff = _saved_colours(tmp_path / "a.tif", tiffinfo={ExifTags.Base.Orientation.value: 8})
    assert image_header(tiff) == ((3, 2), (2, 3))
    assert image_header(_saved_colours(tmp_path / "a.png")) == ((2, 3), (2, 3))


def test_heic_is_turned_by_its_own_orientation_and_not_again_by_exif(tmp_path):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    path = _saved_colours(tmp_path / "a.heic", exif=exif, quality=-1)
    assert image_size(path) == read_image(path).shape[:2] == (2, 3)


def test_without_the_extra_the_error_for_heic_names_the_remedy(tmp_path, monkeypatch):
    path = _saved_colours(tmp_path / "a.heic")
    monkeypatch.setattr(images, "image_formats", lambda: ("JPEG", "PNG"))
    with pytest.raises(ImageReadError, match=r"pip install 'boxrefine_d2\[heic\]'"):
        read_image(path)


def test_without_the_extra_other_errors_keep_their_reason(tmp_path, monkeypatch):
    def refused(*args, **kwargs):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    path = _saved_colours(tmp_path / "a.png")
    monkeypatch.setattr(images, "image_formats", lambda: ("JPEG", "PNG"))
    monkeypatch.setattr(Image, "open", refused)
    monkeypatch.setattr("builtins.open", refused)
    with pytest.raises(ImageReadError, match="permission denied"):
        read_image(path)


def test_eps_is_not_opened_because_pillow_would_start_another_program(tmp_path):
    path = tmp_path / "a.jpg"
    _saved_colours(tmp_path / "a.eps")
    (tmp_path / "a.eps").rename(path)
    with pytest.raises(ImageReadError, match="it is not an image, or of a kind"):
        read_image(path)
    assert ".eps" not in image_suffixes()


def test_the_suffix_or_without_one_the_first_bytes_identify_an_image(tmp_path):
    _saved_colours(tmp_path / "0a1b2c", format="JPEG")
    (tmp_path / "README").write_text("no image")
    _saved_colours(tmp_path / "a.jpg.bak", format="JPEG")
    names = ("0a1b2c", "README", "a.jpg.bak", "missing.JPE", "scan.jp2")
    assert [is_image_name(tmp_path / name) for name in names] == [True, False, False, True, True]


def test_known_suffixes():
    assert {".jpg", ".jpeg", ".png", ".webp", ".tif", ".ppm"} <= image_suffixes()
