"""Odd image files, drawn by a seed.

They are damaged, announce too many pixels, are not regular files, or have odd names.
"""

import os
import random
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from .image_files import (
    compressed_zeros,
    exif_block,
    png_chunks,
    png_file,
    valid_images,
    whole_bomb,
)
from .image_headers import ANNOUNCED, BY_HAND
from .mutation import damaged, pick_weighted

SIDES = (0, 1, 3, 4096, 13377, 30000, 60000, 65535, 2**24 - 1, 2**31 - 1, 2**31, 2**32 - 1)
NAMES = (
    *(
        "plain",
        "ein Größenvergleich",
        "写真 一",
        "صورة",
        "תמונה",
        "фото",
        "ภาพ",
        "이미지",
        "चित्र",
        "👩‍👩‍👧‍👦",
    ),
    *(
        "e\u0301 and \u00e9",
        "\u202egpj.exe",
        "a\nb",
        "a\tb\x1b[31m",
        "\udce9\udcff",
        "-rf",
        "--data",
        "~",
        "$HOME",
    ),
    *(
        "a'b\"c",
        "<b onclick=x>x",
        "%s%n%20",
        "{0}",
        "a+b",
        "a:b",
        "a,b;c",
        "*?[x]",
        "con",
        "a\\b",
        "x" * 240,
        " ",
        ".",
    ),
)
_BOMB_SIDE = 13377  # side of the largest square below the package's limit of pixels


class ImageFiles:
    """Source of odd image files; it makes the valid files once."""

    def __init__(self) -> None:
        self.valid = valid_images() | {name: make() for name, make in BY_HAND.items()}
        self._zeros = compressed_zeros(128 * 2**20)
        self._ways: dict[Callable[[random.Random, Path], str], float] = {
            self._damage: 60,
            self._cut_at_a_chunk: 5,
            self._announce: 15,
            self._text_bomb: 3,
            self._exif: 6,
            self._other_name: 5,
            self._special: 8,
            self._whole_bomb: 0.15,
        }

    def draw(self, draw: random.Random, path: Path) -> str:
        """Make a file, pipe, link or other item at a path and return its title.

        The path's suffix may not fit the format.
        """
        return pick_weighted(draw, self._ways)(draw, path)

    def _damage(self, draw: random.Random, path: Path) -> str:
        name = draw.choice(sorted(self.valid))
        path.write_bytes(damaged(self.valid[name], draw, list(self.valid.values())))
        return f"damaged {name}"

    def _cut_at_a_chunk(self, draw: random.Random, path: Path) -> str:
        """Damage, cut, double, exchange or drop a PNG chunk; checksums stay right."""
        name = draw.choice([name for name in sorted(self.valid) if name.endswith(".png")])
        chunks = png_chunks(self.valid[name])
        place = draw.randrange(len(chunks))
        kind, data = chunks[place]
        changed = draw.choice(
            [
                [(kind, damaged(data, draw))],
                [(kind, data[: draw.randrange(len(data) + 1)])],
                [(kind, data)] * 2,
                [chunks[draw.randrange(len(chunks))], (kind, data)],
                [],
            ]
        )
        path.write_bytes(png_file([*chunks[:place], *changed, *chunks[place + 1 :]]))
        return f"chunk {kind.decode()} of {name}"

    def _announce(self, draw: random.Random, path: Path) -> str:
        kind = draw.choice(sorted(ANNOUNCED))
        width, height = draw.choice(SIDES), draw.choice(SIDES)
        with suppress(struct.error, OverflowError, RuntimeError):
            path.write_bytes(ANNOUNCED[kind](width, height))
        path.touch()
        return f"{kind} that announces {width} x {height}"

    def _text_bomb(self, draw: random.Random, path: Path) -> str:
        """Put 128 MiB of zeros in a text chunk or a colour profile, before or after the pixels."""
        kind, head = draw.choice(
            [(b"zTXt", b"k\0\0"), (b"iTXt", b"k\0\1\0\0\0"), (b"iCCP", b"k\0\0")]
        )
        chunks = png_chunks(self.valid["rgb.png"])
        place = draw.choice((1, len(chunks) - 1))
        count = draw.choice((1, 1, 3))
        path.write_bytes(
            png_file([*chunks[:place], *[(kind, head + self._zeros)] * count, *chunks[place:]])
        )
        return f"{count} bombs in {kind.decode()}"

    def _exif(self, draw: random.Random, path: Path) -> str:
        """Write odd EXIF data.

        Directories refer to themselves, counts exceed the file, orientations have any type, and
        blocks are large.
        """
        tags = (0x0112, 0x0112, 0x8769, 0x8825, 0xA005, 0x014A, 0x010F, 0x0201)
        entries = [
            (
                draw.choice(tags),
                draw.choice((1, 2, 3, 4, 5, 7, 12, 13, 16, 99)),
                draw.choice((0, 1, 2, 65535, 2**28, 2**32 - 1)),
                draw.choice(
                    (b"\0\0\0\0", b"\x06\0\0\0", b"\x08\0\0\0", b"\xff\xff\xff\xff", b"\0\x06\0\0")
                ),
            )
            for _ in range(draw.choice((1, 2, 5, 40)))
        ]
        block = exif_block(entries, draw.choice("<>")) + draw.choice((b"", bytes(60_000)))
        if draw.random() < 0.5:
            data = b"Exif\0\0" + block[:65_000]
            plain = self.valid["baseline.jpg"]
            segment = b"\xff\xe1" + struct.pack(">H", len(data) + 2) + data
            path.write_bytes(plain[:2] + segment * draw.choice((1, 1, 3)) + plain[2:])
            return "EXIF in JPEG"
        chunks = png_chunks(self.valid["rgb.png"])
        place = draw.choice((1, len(chunks) - 1))
        path.write_bytes(png_file([*chunks[:place], (b"eXIf", block), *chunks[place:]]))
        return "EXIF in PNG"

    def _other_name(self, draw: random.Random, path: Path) -> str:
        """Write a valid file of any format under a name with any suffix."""
        name = draw.choice(sorted(self.valid))
        path.write_bytes(self.valid[name])
        return f"whole {name}"

    def _special(self, draw: random.Random, path: Path) -> str:
        """Make an item that is not a regular file with data.

        It is a pipe, device, socket, folder, empty file, sparse file, or a link that dangles or
        leads to itself or to a device.
        """
        specials: dict[str, Callable[[], object]] = {
            "pipe": lambda: os.mkfifo(path),
            "link to /dev/zero": lambda: path.symlink_to("/dev/zero"),
            "link to /dev/stdin": lambda: path.symlink_to("/dev/stdin"),
            "link to /proc/self/mem": lambda: path.symlink_to("/proc/self/mem"),
            "socket": lambda: _bind(path),
            "link to itself": lambda: path.symlink_to(path.name),
            "dangling link": lambda: path.symlink_to("nowhere.png"),
            "folder": lambda: path.mkdir(),
            "empty file": lambda: path.touch(),
            "sparse file of zeros": lambda: _sparse(path, b"", 2**32 - 1),
            "sparse EPS": lambda: _sparse(path, ANNOUNCED["eps"](100, 100), 2**32 - 1),
        }
        name = draw.choice(sorted(specials))
        specials[name]()
        return name

    def _whole_bomb(self, draw: random.Random, path: Path) -> str:
        if draw.random() < 0.5:
            kind = draw.choice(("ppm", "bmp", "tif", "pgm", "tga", "sgi"))
            _sparse(path, ANNOUNCED[kind](_BOMB_SIDE, _BOMB_SIDE), 2**32 - 1)
            return f"sparse {kind} of {_BOMB_SIDE} x {_BOMB_SIDE}"
        depth, colour = draw.choice(((8, 2), (8, 6), (16, 0), (8, 4), (8, 3), (1, 0), (16, 6)))
        path.write_bytes(whole_bomb(_BOMB_SIDE, depth, colour))
        return f"whole PNG of {_BOMB_SIDE} x {_BOMB_SIDE}, depth {depth}, colour type {colour}"


def image_name(draw: random.Random) -> str:
    """Return a file name with a suffix that the package reads from folders."""
    suffix = draw.choice((".jpg", ".jpg", ".png", ".tif", ".gif", ".JPEG", ".webp", ".bmp"))
    return f"{draw.randrange(10**6)}{draw.choice(NAMES) if draw.random() < 0.3 else ''}{suffix}"


def _bind(path: Path) -> None:
    here = os.open(path.parent, os.O_RDONLY)
    with suppress(OSError), socket.socket(socket.AF_UNIX) as server:
        server.bind(f"/proc/self/fd/{here}/{path.name}")
    os.close(here)


def _sparse(path: Path, head: bytes, size: int) -> None:
    with path.open("wb") as file:
        file.write(head)
        with suppress(OSError):  # the limit on the size of written files
            file.truncate(size)
