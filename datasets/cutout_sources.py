"""Finding, among the pictures of extracted packages, photographic cut-outs and photographs.

Every picture that is looked at is used, left out for a reason that is counted, or unreadable and
listed. The rules were set by looking at the pictures of Debian 12 and measure what separates a
photograph from a drawing: many distinct colours, and few neighbours that are exactly alike.
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
STAMP_MIN_SIDE = 64  # pixels, of the longer side of what is visible
STAMP_KEPT_SIDE = 480  # pixels, to which the longer side of larger ones is shrunk
STAMP_MIN_COLOURS = 1000  # distinct colours of opaque pixels
STAMP_MAX_EQUAL = 0.15  # share of horizontal neighbours that are exactly alike; cut-outs 0.0 to 0.2
STAMP_MAX_FILL = 0.95  # share of its box that is opaque; above it the picture is not cut out
# Drawings that pass for photographs, and things that do not stand in a picture (fire, planets).
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
BACKGROUND_MIN_SIDE = 480  # pixels, the longest side of a composed picture: no crop is enlarged
BACKGROUND_KEPT_SIDE = 960  # pixels; the shorter side of larger ones is shrunk to it
BACKGROUND_MIN_COLOURS = 0.04  # distinct colours over pixels, of the picture shrunk to 480
BACKGROUND_MAX_FLAT = 0.5  # share of 16 x 16 blocks whose grey values deviate by less than 1.5
# Paintings, renderings and a framed picture kept as JPEG; photographs of animals, which would have
# no label.
BACKGROUNDS_LEFT_OUT = (
    "Autumn", "Elephants", "Honeywave", "Infinite-Sea", "PastelHills", "SafeLanding", "Shell",
    "Volna", "analogpattern", "mossy_bark",
    "Kleiber", "LadyBird", "free_by", "friends_by", "jellyfish", "sheep",
)  # fmt: skip

T = TypeVar("T")


@dataclass(frozen=True)
class Stamp:
    """A cut-out: RGBA pixels, cropped to what is visible, and what they show."""

    name: str  # path below the stamps folder
    phrase: str
    category: str
    may_mirror: bool  # False where Tux Paint says so, e.g. for lettering
    pixels: Image.Image


@dataclass(frozen=True)
class LeftOut:
    """Why a picture is not used."""

    reason: str


@dataclass
class Found(Generic[T]):
    """The pictures used, in the order of their names; why others are not; a hash of the files."""

    pictures: list[T] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    unreadable: dict[str, str] = field(default_factory=dict)
    sha256: str = ""

    def reasons(self) -> str:
        """ "12 drawn, 3 too small, 1 unreadable", or "no picture at all"."""
        counts = self.left_out + Counter(unreadable=len(self.unreadable))
        return ", ".join(f"{n} {why}" for why, n in sorted(counts.items())) or "no picture at all"


def read_stamps(folder: Path, workers: int) -> Found[Stamp]:
    """The photographic cut-outs below `folder`, an extracted tuxpaint-stamps-default or its folder
    of stamps. Raises: UserError if the folder is missing or has none."""
    _require_folder(folder, "stamps", "tuxpaint-stamps-default_*.deb")
    tree = folder / STAMPS_FOLDER
    root = tree if tree.is_dir() else folder
    files = [(name, path) for name, path in _files(root) if path.suffix.lower() == ".png"]
    found = _read_all("stamps", files, read_stamp, workers)
    if not found.pictures:
        raise UserError(
            f"no photographic stamp with transparency below {str(folder)!r} ({found.reasons()}); "
            "extract the package there: dpkg -x tuxpaint-stamps-default_*.deb DIR"
        )
    return found


def read_backgrounds(folders: Sequence[Path], workers: int) -> Found[np.ndarray]:
    """The photographs below the folders, shrunk: (H, W, 3) uint8, RGB.

    Raises: UserError if a folder is missing, or if all of them hold no usable photograph.
    """
    files = []
    for folder in folders:
        _require_folder(folder, "backgrounds", "PACKAGE.deb")
        files += _files(folder)
    found = _read_all("backgrounds", files, read_background, workers)
    if not found.pictures:
        raise UserError(
            f"no background photograph (JPEG, {BACKGROUND_MIN_SIDE} x {BACKGROUND_MIN_SIDE} pixels or larger) below "
            f"{', '.join(repr(str(folder)) for folder in folders)} ({found.reasons()}); name folders of photographs"
        )
    return found


def read_stamp(name: str, path: Path) -> Stamp | LeftOut:
    """A stamp, or why it is none. Raises: ImageReadError."""
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
    """A photograph, shrunk, or why it is none. Raises: ImageReadError."""
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
    """What is wrong with a stamp's (H, W, 4) pixels; "" if nothing is."""
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
    """How many distinct colours (N, 3 or more) pixels have."""
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
    """None for a picture without transparency. Raises: ImageReadError."""
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


def _require_folder(folder: Path, what: str, package: str) -> None:
    if not folder.is_dir():
        fault = "is a file, not a folder" if folder.exists() else "does not exist"
        raise UserError(
            f"the folder of {what} {str(folder)!r} {fault}; extract packages there: dpkg -x {package} {folder}"
        )


def _files(folder: Path) -> list[tuple[str, Path]]:
    """(path below the folder, path) of pictures; not of links, which repeat others, nor documents."""
    records = load_folder(folder).records
    files = [(record["relative_name"], Path(record["file_name"])) for record in records]
    return [(n, p) for n, p in files if not p.is_symlink() and "doc" not in n.split("/")[:-1]]


def _read_all(
    what: str,
    files: list[tuple[str, Path]],
    read: Callable[[str, Path], T | LeftOut],
    workers: int,
) -> Found[T]:
    def attempt(file: tuple[str, Path]) -> T | LeftOut | ImageReadError:
        try:
            return read(*file)
        except ImageReadError as error:
            return error

    found: Found[T] = Found()
    digest = hashlib.sha256()
    with ThreadPoolExecutor(workers) as pool:
        answers = tqdm(pool.map(attempt, files), total=len(files), desc=what, unit="file")
        for (name, path), answer in zip(files, answers):
            if isinstance(answer, LeftOut):
                found.left_out[answer.reason] += 1
            elif isinstance(answer, ImageReadError):
                found.unreadable[name] = answer.reason
            else:
                found.pictures.append(answer)
                digest.update(f"{name}\0".encode())
                digest.update(hashlib.sha256(path.read_bytes()).digest())
    found.sha256 = digest.hexdigest()
    return found
