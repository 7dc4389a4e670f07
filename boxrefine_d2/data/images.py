"""The image reader: it returns upright RGB for any file that Pillow can open.

A file that cannot be read raises a one-line `ImageReadError`. Formats that Pillow passes to other
programs (EPS) or only identifies (MPEG, WMF, ...) are not opened, whatever the file name is. HEIC
needs the extra `heic`. An animated file gives its first frame. `data.pixels` documents how other
pixel formats become RGB. The EXIF orientation is applied last. Sizes in this module and in all
records are sizes after it.
"""

import logging
import os
import stat
import struct
import warnings
from contextlib import suppress
from functools import cache, lru_cache
from pathlib import Path, PurePath
from typing import NamedTuple

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from boxrefine_d2.errors import UserError
from boxrefine_d2.files.values import MAX_IMAGE_PIXELS as MAX_PIXELS

from .pixels import rgb_pixels, upright

# A rendered image has the name "BASE:SPLIT/NUMBER", such as "scenes:train/000012".
RENDERED_BASES = ("scenes", "kinds", "fine", "pair")
_RENDERED = tuple(f"{base}:" for base in RENDERED_BASES)
# Pillow starts Ghostscript for EPS, and cannot decode the others
_NOT_OPENED = {"EPS", "WMF", "MPEG", "BUFR", "GRIB", "HDF5"}
HEIC_SUFFIXES = (".heic", ".heif", ".hif")
HEIC_REMEDY = "HEIC needs pip install 'boxrefine_d2[heic]'"
_HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")

_SIDEWAYS = (5, 6, 7, 8)  # orientations that exchange height and width
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"

logger = logging.getLogger(__name__)


class ImageHeader(NamedTuple):
    """Sizes in the header of an image file, known before the image is decoded.

    Attributes:
        upright: (H, W) after EXIF orientation, the frame of every box and mask.
        stored: (H, W) of the pixels as the file stores them. Some tools label this frame.
    """

    upright: tuple[int, int]
    stored: tuple[int, int]


@cache
def image_formats() -> tuple[str, ...]:
    """Return the names of the formats that the reader opens, as Pillow spells them."""
    with suppress(ImportError):
        import pillow_heif  # the extra `heic`

        pillow_heif.register_heif_opener()
    Image.init()
    return tuple(sorted(set(Image.OPEN) - _NOT_OPENED))


@cache
def image_suffixes() -> frozenset[str]:
    """Return the suffixes of the formats that the reader opens, in lower case with their dot."""
    formats = set(image_formats())
    return frozenset(x for x, name in Image.registered_extensions().items() if name in formats)


def is_image_name(path: str | os.PathLike[str]) -> bool:
    """Return True if the suffix, in any case, or without one the first bytes, show an image."""
    suffix = PurePath(path).suffix.lower()
    if suffix:
        return suffix in image_suffixes()
    with suppress(ImageReadError):
        return bool(image_size(path))
    return False


class ImageReadError(UserError):
    """Error for one image that cannot be read.

    `path` and `reason` are the two halves of the message. The error can be pickled.
    """

    def __init__(self, message: str, *, path: str = "", reason: str = ""):
        super().__init__(message)
        self.path = path
        self.reason = reason


def is_rendered(file_name: str) -> bool:
    """Return whether the `file_name` of a record names a rendered image, not a file on disk."""
    return file_name.startswith(_RENDERED)


def without_base(file_name: str) -> str:
    """Return a name without the base of a rendered image; a path on disk stays as it is."""
    return file_name.partition(":")[2] if is_rendered(file_name) else file_name


def read_image(path: str | os.PathLike[str]) -> np.ndarray:
    """Return the pixels of one image, upright.

    Args:   path: file, or name of a rendered scene such as "scenes:train/000012".
    Returns: (H, W, 3) uint8, RGB, writable, after EXIF orientation.
    Raises: ImageReadError for a missing, empty, truncated, damaged, oversized or non-image file.
    """
    if is_rendered(os.fspath(path)):
        return _render(os.fspath(path))
    image, orientation = _open(path)
    with image:
        try:
            image.load()
            pixels = rgb_pixels(image)
        except Exception as error:  # Pillow's decoders raise many error types on a damaged file
            raise _unreadable(path, _reason(error)) from error
    return upright(pixels, orientation)


def image_header(path: str | os.PathLike[str]) -> ImageHeader:
    """Return both sizes of an image from its header alone. A scene has no header and is rendered.

    Raises: ImageReadError for a file whose header cannot be read, or whose size `read_image`
            refuses.
    """
    if is_rendered(os.fspath(path)):
        height, width = _render(os.fspath(path)).shape[:2]
        return ImageHeader((height, width), (height, width))
    image, orientation = _open(path)
    with image:
        width, height = image.size
        turned_by_reader = _orientation_applied(image) in _SIDEWAYS
    turned = (width, height)
    if orientation in _SIDEWAYS:
        return ImageHeader(upright=turned, stored=(height, width))
    return ImageHeader((height, width), stored=turned if turned_by_reader else (height, width))


def image_size(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Return the upright (H, W) of `image_header`. Raises: ImageReadError, as `image_header`."""
    return image_header(path).upright


def header_or_none(path: str | os.PathLike[str]) -> ImageHeader | None:
    """Return `image_header`, or None on an error, which the reader of the image reports.

    The headers of unchanged files are cached, because several parts of a command request them.
    """
    name = os.fspath(path)
    try:
        if is_rendered(name):
            return image_header(name)
        status = os.stat(name)
        return _kept_header(name, (status.st_ino, status.st_size, status.st_mtime_ns))
    # ValueError: an ImageReadError, or a null character in the name
    except (OSError, ValueError) as error:
        logger.debug("%s", error)
        return None


@lru_cache(maxsize=1 << 20)
def _kept_header(name: str, version: tuple[int, int, int]) -> ImageHeader:
    """Return `image_header`, cached by `version`: inode, size in bytes and modification time."""
    return image_header(name)


def header_size(path: str | os.PathLike[str]) -> tuple[int | None, int | None]:
    """Return the upright (H, W) of `header_or_none`, or (None, None)."""
    header = header_or_none(path)
    return header.upright if header else (None, None)


def _open(path: str | os.PathLike[str]) -> tuple[Image.Image, int]:
    """Return the image before decoding, and the EXIF orientation (1..8) yet to be applied."""
    try:
        status = os.stat(path)
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        raise _unreadable(path, _reason(error)) from error
    if not stat.S_ISREG(status.st_mode):
        raise _unreadable(
            path, "it is a folder" if stat.S_ISDIR(status.st_mode) else "it is not a regular file"
        )
    if status.st_size == 0:
        raise _unreadable(path, "the file is empty")
    _silence_size_warning()
    try:
        image = Image.open(path, formats=image_formats())
    except Exception as error:
        raise _unreadable(path, _missing_reader(path) or _reason(error)) from error
    width, height = image.size
    if width * height > MAX_PIXELS:
        image.close()
        raise _unreadable(
            path, f"{width} x {height} pixels are more than the limit of {MAX_PIXELS} pixels"
        )
    return image, _orientation(image, path)


def _orientation(image: Image.Image, path: str | os.PathLike[str]) -> int:
    # Pillow turns TIFF files itself, and states the turned size before loading.
    if image.format == "TIFF":
        return 1
    try:
        if image.format == "PNG" and "exif" not in image.info:
            # Pillow would decode the whole image to look for EXIF data behind it.
            late = _exif_behind_pixels(path)
            if late is not None:
                image.info["exif"] = b"Exif\x00\x00" + late
        # The method of the base class, because the method for PNG decodes the image.
        return int(Image.Image.getexif(image).get(ExifTags.Base.Orientation, 1))
    except Exception as error:  # noqa: BLE001 - an image with a broken EXIF block is readable
        logger.debug("ignoring the EXIF data of %s: %s", os.fspath(path), error)
        return 1


def _orientation_applied(image: Image.Image) -> int:
    """Return the orientation (1..8) that the reader of the format applied itself, or 1."""
    orientation = getattr(image, "tag_v2", {}).get(ExifTags.Base.Orientation)  # TIFF
    orientation = orientation or image.info.get("original_orientation")  # HEIC
    return orientation if isinstance(orientation, int) else 1


def _missing_reader(path: str | os.PathLike[str]) -> str | None:
    """Return the remedy that names the extra for this file, or None if no extra opens it."""
    if "HEIF" in image_formats():
        return None
    head = b""
    with suppress(OSError), open(path, "rb") as file:  # the caller reports why it cannot be opened
        head = file.read(12)
    return HEIC_REMEDY if head[4:8] == b"ftyp" and head[8:] in _HEIC_BRANDS else None


def _exif_behind_pixels(path: str | os.PathLike[str]) -> bytes | None:
    """Return the content of the first eXIf chunk of a PNG file. It skips the other chunks."""
    with open(path, "rb") as file:
        if file.read(8) != _PNG_SIGNATURE:
            return None
        while len(header := file.read(8)) == 8:
            length, name = struct.unpack(">I4s", header)
            if name == b"eXIf":
                return file.read(length)
            file.seek(length + 4, os.SEEK_CUR)  # the content and its checksum
    return None


def _render(name: str) -> np.ndarray:
    # imported here because scenes are rare and their module is large
    from .scenes import render_file

    try:
        return np.array(render_file(name))
    except UserError as error:
        raise _unreadable(name, str(error)) from error


def _silence_size_warning() -> None:
    # This module checks sizes itself and raises an error. `warnings.catch_warnings` would make
    # Python forget which warnings it has shown, and every later image would repeat them all.
    if not any(entry[2] is Image.DecompressionBombWarning for entry in warnings.filters):
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)


def _unreadable(path: str | os.PathLike[str], reason: str) -> ImageReadError:
    name = Path(path).as_posix() if not isinstance(path, str) else path
    return ImageReadError(f"cannot read image {name!r}: {reason}", path=name, reason=reason)


def _reason(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, UnidentifiedImageError):
        return "it is not an image, or of a kind that Pillow does not know"
    if isinstance(error, (Image.DecompressionBombError, Image.DecompressionBombWarning)):
        return f"its header announces too many pixels (limit {MAX_PIXELS})"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    if isinstance(error, MemoryError):
        return "not enough memory"
    text = " ".join(str(error).split())
    return f"the file is truncated or damaged ({text or type(error).__name__})"
