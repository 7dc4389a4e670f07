"""Search for photographic cut-outs and photographs among the image files of extracted packages.

Each image file is either used, left out for a reason that is counted, or listed as unreadable. The
rules were set by looking at the images of Debian 12. They measure what separates a photograph from
a
drawing: many distinct colours, and few neighbouring pixels that are exactly equal.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
from cutout_labels import category_of, phrase_of
from PIL import Image
from tqdm import tqdm

from boxrefine_d2.data.datasets.folder import load_folder
from boxrefine_d2.data.images import ImageReadError, read_image
from boxrefine_d2.errors import UserError

STAMPS_FOLDER = "usr/share/tuxpaint/stamps"

# Stamps
STAMP_MIN_SIDE = 64  # pixels, of the longer side of the visible part
STAMP_KEPT_SIDE = 480  # pixels, to which the longer side of larger stamps is shrunk
STAMP_MIN_COLOURS = 1000  # distinct colours of opaque pixels
STAMP_MAX_EQUAL = 0.15  # share of horizontal neighbours that are equal; cut-outs have 0.0 to 0.2
STAMP_MAX_FILL = 0.95  # opaque share of its box; a stamp with a larger share is not cut out
# drawings that the rules take for photographs, and things that do not stand in a scene (fire,
# planets)
STAMP_FOLDERS_LEFT_OUT = (
    "clothes",
    "naturalforces",
    "seasonal/easter",
    "seasonal/newyears",
    "space/moon",
    "space/planets",
    "symbols",
)

# Backgrounds
BACKGROUND_MIN_SIDE = 480  # pixels, the longest side of a composed image: no crop is enlarged
BACKGROUND_KEPT_SIDE = 960  # pixels, to which the shorter side of larger backgrounds is shrunk
BACKGROUND_MIN_COLOURS = 0.04  # distinct colours per pixel, at a shorter side of 480 pixels
BACKGROUND_MAX_FLAT = 0.5  # share of 16 x 16 blocks whose grey values deviate by less than 1.5
# paintings, renderings and a framed image stored as JPEG; photographs of animals, which would have
# no label
BACKGROUNDS_LEFT_OUT = (
    "Autumn", "Elephants", "Honeywave", "Infinite-Sea", "PastelHills", "SafeLanding", "Shell",
    "Volna", "analogpattern", "mossy_bark",
    "Kleiber", "LadyBird", "free_by", "friends_by", "jellyfish", "sheep",
)  # fmt: skip

T = TypeVar("T")


@dataclass(frozen=True)
class Stamp:
    """A cut-out with its labels.

    Attributes: name: path below the stamps folder.  phrase, category: see `cutout_labels`.
        may_mirror: False if Tux Paint forbids it, e.g. for lettering.
        pixels: RGBA image, cropped to its visible part.
    """

    name: str
    phrase: str
    category: str
    may_mirror: bool
    pixels: Image.Image


@dataclass(frozen=True)
class LeftOut:
    """The reason for which an image file is not used."""

    reason: str


@dataclass
class Found(Generic[T]):
    """The result of a search.

    Attributes: images: images used, in the order of their names.
        left_out: number of image files by the reason for which they are not used.
        unreadable: reason by file name.  sha256: hash over the names and bytes of the files used.
    """

    images: list[T] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    unreadable: dict[str, str] = field(default_factory=dict)
    sha256: str = ""

    def reasons(self) -> str:
        """Return the counts of unused files: "12 drawn, 3 too small, 1 unreadable"."""
        counts = self.left_out + Counter(unreadable=len(self.unreadable))
        return ", ".join(f"{n} {why}" for why, n in sorted(counts.items())) or "no image at all"


def read_stamps(folder: Path, workers: int) -> Found[Stamp]:
    """Return the photographic cut-outs below a folder.

    Args: folder: an extracted tuxpaint-stamps-default, or its folder of stamps.
    Raises: UserError if the folder is missing or has no such cut-out.
    """
    _require_folder(folder, "stamps", "tuxpaint-stamps-default_*.deb")
    tree = folder / STAMPS_FOLDER
    root = tree if tree.is_dir() else folder
    files = [(name, path) for name, path in _files(root) if path.suffix.lower() == ".png"]
    stamps = _read_all("stamps", files, read_stamp, workers)
    if not stamps.images:
        raise UserError(
            f"no photographic stamp with transparency below {str(folder)!r} ({stamps.reasons()}); "
            "extract the package there: dpkg -x tuxpaint-stamps-default_*.deb DIR"
        )
    return stamps


def read_backgrounds(folders: Sequence[Path], workers: int) -> Found[np.ndarray]:
    """Return the photographs below the folders, shrunk: (H, W, 3) uint8, RGB.

    Raises: UserError if a folder is missing, or if none of them holds a usable photograph.
    """
    files = []
    for folder in folders:
        _require_folder(folder, "backgrounds", "PACKAGE.deb")
        files += _files(folder)
    backgrounds = _read_all("backgrounds", files, read_background, workers)
    if not backgrounds.images:
        raise UserError(
            f"no background photograph (JPEG, {BACKGROUND_MIN_SIDE} x {BACKGROUND_MIN_SIDE} pixels "
            f"or larger) below {', '.join(repr(str(folder)) for folder in folders)} "
            f"({backgrounds.reasons()}); name folders of photographs"
        )
    return backgrounds


def read_stamp(name: str, path: Path) -> Stamp | LeftOut:
    """Return a stamp, or the reason to leave it out. Raises: ImageReadError."""
    if "cartoon" in name.split("/") or name.startswith(
        tuple(f"{folder}/" for folder in STAMP_FOLDERS_LEFT_OUT)
    ):
        return LeftOut("of folders without photographed objects")
    if path.stem.endswith("_mirror"):
        return LeftOut("mirror images of others")
    pixels = _rgba(path)
    if pixels is None:
        return LeftOut("without transparency")
    box = pixels.getchannel("A").getbbox()
    if box is None or max(box[2] - box[0], box[3] - box[1]) < STAMP_MIN_SIDE:
        return LeftOut("too small")
    pixels = pixels.crop(box)
    fault = _drawn_or_uncut(np.asarray(pixels))
    if fault:
        return LeftOut(fault)
    pixels.thumbnail((STAMP_KEPT_SIDE, STAMP_KEPT_SIDE), Image.Resampling.LANCZOS)
    flags = _text(path.with_suffix(".dat"))
    description = _text(path.with_suffix(".txt")).partition("\n")[0]
    return Stamp(
        name, phrase_of(name, description), category_of(name), "nomirror" not in flags, pixels
    )


def read_background(name: str, path: Path) -> np.ndarray | LeftOut:
    """Return a photograph, shrunk, or the reason to leave it out. Raises: ImageReadError."""
    if path.suffix.lower() not in (".jpg", ".jpeg", ".jfif"):
        return LeftOut("not JPEG")
    if any(part.startswith(BACKGROUNDS_LEFT_OUT) for part in name.split("/")):
        return LeftOut("known paintings, renderings and animals")
    image = Image.fromarray(read_image(path))
    if min(image.size) < BACKGROUND_MIN_SIDE:
        return LeftOut("too small")
    if not _is_photograph(np.asarray(_shrunk(image, BACKGROUND_MIN_SIDE))):
        return LeftOut("drawn or flat")
    return np.asarray(_shrunk(image, BACKGROUND_KEPT_SIDE))


def _drawn_or_uncut(rgba: np.ndarray) -> str:
    """Return the reason to leave out a stamp of these (H, W, 4) pixels; "" without one."""
    opaque = rgba[..., 3] >= 250
    if (rgba[..., 3] >= 128).mean() > STAMP_MAX_FILL:
        return "not cut out"
    colours = _colours(rgba[opaque])
    both = opaque[:, 1:] & opaque[:, :-1]
    equal = (rgba[:, 1:, :3] == rgba[:, :-1, :3]).all(axis=-1) & both
    if colours < STAMP_MIN_COLOURS or equal.sum() > STAMP_MAX_EQUAL * both.sum():
        return "drawn"
    return ""


def _is_photograph(rgb: np.ndarray) -> bool:
    grey = rgb.mean(axis=-1)
    rows, columns = (side // 16 for side in grey.shape)
    blocks = grey[: rows * 16, : columns * 16].reshape(rows, 16, columns, 16)
    flat = (blocks.std(axis=(1, 3)) < 1.5).mean()
    share = _colours(rgb.reshape(-1, 3)) / grey.size
    return bool(flat <= BACKGROUND_MAX_FLAT and share >= BACKGROUND_MIN_COLOURS)


def _colours(pixels: np.ndarray) -> int:
    """Return the number of distinct colours of (N, 3 or more) pixels."""
    r, g, b = pixels[:, :3].astype(np.int32).T
    return len(np.unique((r << 16) | (g << 8) | b))


def _shrunk(image: Image.Image, short: int) -> Image.Image:
    factor = short / min(image.size)
    if factor >= 1:
        return image
    width, height = image.size
    return image.resize(
        (round(width * factor), round(height * factor)), Image.Resampling.BOX, reducing_gap=2.0
    )


def _rgba(path: Path) -> Image.Image | None:
    """Return the RGBA image; None if it has no transparency. Raises: ImageReadError."""
    try:
        with Image.open(path) as image:
            return image.convert("RGBA") if image.has_transparency_data else None
    except Exception as error:  # Pillow's decoders raise nearly anything on a damaged file
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ImageReadError(
            f"cannot read image {str(path)!r}: {reason}", path=str(path), reason=reason
        ) from error


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


def _require_folder(folder: Path, content: str, package: str) -> None:
    if not folder.is_dir():
        fault = "is a file, not a folder" if folder.exists() else "does not exist"
        raise UserError(
            f"the folder of {content} {str(folder)!r} {fault}; extract packages there: "
            f"dpkg -x {package} {folder}"
        )


def _files(folder: Path) -> list[tuple[str, Path]]:
    """Return (path below the folder, path) of each image file.

    Links, which repeat other files, and images in folders of documents are left out.
    """
    records = load_folder(folder).records
    files = [(record["relative_name"], Path(record["file_name"])) for record in records]
    return [(n, p) for n, p in files if not p.is_symlink() and "doc" not in n.split("/")[:-1]]


def _read_all(
    title: str,
    files: list[tuple[str, Path]],
    read: Callable[[str, Path], T | LeftOut],
    workers: int,
) -> Found[T]:
    """Read the files in threads, with a progress bar of that title, and sort out the results."""

    def attempt(file: tuple[str, Path]) -> T | LeftOut | ImageReadError:
        try:
            return read(*file)
        except ImageReadError as error:
            return error

    result: Found[T] = Found()
    digest = hashlib.sha256()
    with ThreadPoolExecutor(workers) as pool:
        answers = tqdm(pool.map(attempt, files), total=len(files), desc=title, unit="file")
        for (name, path), answer in zip(files, answers):
            if isinstance(answer, LeftOut):
                result.left_out[answer.reason] += 1
            elif isinstance(answer, ImageReadError):
                result.unreadable[name] = answer.reason
            else:
                result.images.append(answer)
                digest.update(f"{name}\0".encode())
                digest.update(hashlib.sha256(path.read_bytes()).digest())
    result.sha256 = digest.hexdigest()
    return result
