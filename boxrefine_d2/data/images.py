"""Reading images: any file Pillow can open becomes upright RGB, or a one-line `ImageReadError`.

Formats that Pillow hands to other programs (EPS) or only identifies (MPEG, WMF, ...) are not opened, whatever a file is
called. HEIC needs the extra `heic`. Animated files give their first frame, and `data.pixels` says how pixels of other kinds
become RGB. The EXIF orientation is applied last; sizes here and in all records are sizes after it.
"""

import logging
import os
import stat
import struct
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import cache, lru_cache
from pathlib import Path, PurePath
from typing import NamedTuple

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from boxrefine_d2.errors import UserError
from boxrefine_d2.files.values import MAX_IMAGE_PIXELS as MAX_PIXELS

from .pixels import rgb_pixels, upright

SCENES_PREFIX = "scenes:"
# Pillow starts Ghostscript for EPS, and has no pixels of the others
_NOT_OPENED = {"EPS", "WMF", "MPEG", "BUFR", "GRIB", "HDF5"}
HEIC_SUFFIXES = (".heic", ".heif", ".hif")
HEIC_REMEDY = "HEIC needs pip install 'boxrefine_d2[heic]'"
_HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")

_SIDEWAYS = (5, 6, 7, 8)  # orientations that exchange height and width
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"

logger = logging.getLogger(__name__)


class ImageHeader(NamedTuple):
    """What a file says of its image before it is decoded.

    Attributes:
        upright: (H, W) after EXIF orientation: the frame of every box and mask.
        stored: (H, W) of the pixels as they lie in the file, which some tools label.
    """

    upright: tuple[int, int]
    stored: tuple[int, int]


@cache
def image_formats() -> tuple[str, ...]:
    """Names of the formats that are opened, as Pillow has them."""
    with suppress(ImportError):
        import pillow_heif  # the extra `heic`

        pillow_heif.register_heif_opener()
    Image.init()
    return tuple(sorted(set(Image.OPEN) - _NOT_OPENED))


@cache
def image_suffixes() -> frozenset[str]:
    """Suffixes of the formats that are opened, in lower case with their dot."""
    formats = set(image_formats())
    return frozenset(x for x, name in Image.registered_extensions().items() if name in formats)


def is_image_name(path: str | os.PathLike[str]) -> bool:
    """Whether a file is an image by its suffix, in any case, or, where it has none, by its first bytes."""
    suffix = PurePath(path).suffix.lower()
    if suffix:
        return suffix in image_suffixes()
    with suppress(ImageReadError):
        return bool(image_size(path))
    return False


class ImageReadError(UserError):
    """One image cannot be read. `path` and `reason` are the two halves of the message; it
    survives pickling."""

    def __init__(self, message: str, *, path: str = "", reason: str = ""):
        super().__init__(message)
        self.path = path
        self.reason = reason


def read_image(path: str | os.PathLike[str]) -> np.ndarray:
    """The pixels of one picture, upright.

    Args:   path: a file, or the name of a rendered scene such as "scenes:train/000012".
    Returns: (H, W, 3) uint8, RGB, writable, after EXIF orientation.
    Raises: ImageReadError for a missing, empty, truncated, damaged, oversized or non-image file.
    """
    if os.fspath(path).startswith(SCENES_PREFIX):
        return _render(os.fspath(path))
    image, orientation = _open(path)
    with image:
        try:
            image.load()
            pixels = rgb_pixels(image)
        except Exception as error:  # Pillow's decoders raise nearly anything on a damaged file
            raise _unreadable(path, _reason(error)) from error
    return upright(pixels, orientation)


class CachedReader:
    """A reader that keeps what it read, until so many bytes are held; the rest is read anew each time.

    For training sets that fit: nothing is evicted, since in a shuffled stream every picture is as likely as another.
    """

    def __init__(self, limit_bytes: float, read: Callable[[str], np.ndarray] = read_image):
        """Args: read: of a file's name, to (H, W, 3) uint8."""
        self._free = limit_bytes
        self._read = read
        self._kept: dict[str, np.ndarray] = {}

    def __call__(self, path: str | os.PathLike[str]) -> np.ndarray:
        """What `read` returns; not to be written to."""
        name = os.fspath(path)
        if name in self._kept:
            return self._kept[name]
        image = self._read(name)
        if image.nbytes <= self._free:
            self._free -= image.nbytes
            self._kept[name] = image
        return image


def image_header(path: str | os.PathLike[str]) -> ImageHeader:
    """Both sizes of an image, from its header alone (a scene has none and is rendered).

    Raises: ImageReadError for a file whose header cannot be read, or that `read_image` would refuse
            for its size.
    """
    if os.fspath(path).startswith(SCENES_PREFIX):
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
    """(H, W) after EXIF orientation, from the header alone. Raises: ImageReadError as `image_header`."""
    return image_header(path).upright


def header_or_none(path: str | os.PathLike[str]) -> ImageHeader | None:
    """Return `image_header`, or None where it cannot be read: whoever reads the image reports it.

    The headers of files that have not changed are kept, since several parts of a command ask for them.
    """
    name = os.fspath(path)
    try:
        if name.startswith(SCENES_PREFIX):
            return image_header(name)
        status = os.stat(name)
        return _kept_header(name, (status.st_ino, status.st_size, status.st_mtime_ns))
    # ValueError: an ImageReadError, or a null character in the name
    except (OSError, ValueError) as error:
        logger.debug("%s", error)
        return None


@lru_cache(maxsize=1 << 20)
def _kept_header(name: str, version: tuple[int, int, int]) -> ImageHeader:
    """Args: version: what changes when the file does."""
    return image_header(name)


def header_size(path: str | os.PathLike[str]) -> tuple[int | None, int | None]:
    """Return (H, W) of `header_or_none`, upright, or (None, None)."""
    header = header_or_none(path)
    return header.upright if header else (None, None)


def _open(path: str | os.PathLike[str]) -> tuple[Image.Image, int]:
    """The picture before decoding, and the EXIF orientation (1..8) that is still to be applied to
    it."""
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
    if (
        image.format == "TIFF"
    ):  # Pillow turns TIFF files itself, and gives the turned size before loading
        return 1
    try:
        if image.format == "PNG" and "exif" not in image.info:
            # Pillow would decode the whole picture to look for EXIF data behind it.
            late = _exif_behind_pixels(path)
            if late is not None:
                image.info["exif"] = b"Exif\x00\x00" + late
        # The base class's method: the one for PNG decodes.
        return int(Image.Image.getexif(image).get(ExifTags.Base.Orientation, 1))
    except Exception as error:  # noqa: BLE001 - a broken EXIF block does not make a picture unreadable
        logger.debug("ignoring the EXIF data of %s: %s", os.fspath(path), error)
        return 1


def _orientation_applied(image: Image.Image) -> int:
    """The orientation of a file whose reader turns the pixels by itself, 1..8; 1 for any other."""
    orientation = getattr(image, "tag_v2", {}).get(ExifTags.Base.Orientation)  # of TIFF
    orientation = orientation or image.info.get("original_orientation")  # of HEIC
    return orientation if isinstance(orientation, int) else 1


def _missing_reader(path: str | os.PathLike[str]) -> str | None:
    """The extra that would open this file; None if no extra would."""
    if "HEIF" in image_formats():
        return None
    head = b""
    with suppress(OSError), open(path, "rb") as file:  # why it cannot be opened is said already
        head = file.read(12)
    return HEIC_REMEDY if head[4:8] == b"ftyp" and head[8:] in _HEIC_BRANDS else None


def _exif_behind_pixels(path: str | os.PathLike[str]) -> bytes | None:
    """The content of the first eXIf chunk of a PNG file, hopping from chunk to chunk."""
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
    # here, because a scene is rare and its module is not small
    from .scenes import render_file

    try:
        return np.array(render_file(name))
    except UserError as error:
        raise _unreadable(name, str(error)) from error


def _silence_size_warning() -> None:
    # Sizes are checked here, with an error. Not `warnings.catch_warnings`: it would make Python
    # forget which warnings it has shown, and every later picture would bring them all back.
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
