"""Small valid image files of every format, from which damaged files are made."""

import io
import struct
import time
import zlib
from functools import cache

import numpy as np
from PIL import Image

_SIDE = 24


def valid_images() -> dict[str, bytes]:
    """Return files by name; the suffix of a name is the file's format.

    Formats that the installed Pillow cannot write are left out.
    """
    files = {}
    for name, (mode, options) in _KINDS.items():
        try:
            files[name] = saved(name.rpartition(".")[2], mode, options)
        except (OSError, ValueError, KeyError):
            continue
    for name, (mode, options) in _SEVERAL.items():
        frames = [_image(mode, shift) for shift in range(3)]
        files[name] = _saved_image(name.rpartition(".")[2], frames[0], options, frames[1:])
    return files


def png(width: int, height: int, *, depth: int = 8, colour: int = 2, data: bytes = b"") -> bytes:
    """Return a PNG file that announces this size. Args: data: compressed data of its IDAT chunk."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return png_file(
        [(b"IHDR", header), (b"IDAT", data or zlib.compress(bytes(99))), (b"IEND", b"")]
    )


def png_file(chunks: list[tuple[bytes, bytes]]) -> bytes:
    """Return a PNG file of these chunks."""
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def png_chunks(file: bytes) -> list[tuple[bytes, bytes]]:
    """Return the chunks of a whole PNG file."""
    place, chunks = 8, []
    while place < len(file):
        length, kind = struct.unpack_from(">I4s", file, place)
        chunks.append((kind, file[place + 8 : place + 8 + length]))
        place += 12 + length
    return chunks


@cache
def compressed_zeros(count: int) -> bytes:
    """Return `count` zero bytes, compressed by zlib."""
    packer, block = zlib.compressobj(9), bytes(2**20)
    parts = [packer.compress(block) for _ in range(count // 2**20)]
    return b"".join([*parts, packer.compress(bytes(count % 2**20)), packer.flush()])


def whole_bomb(side: int, depth: int, colour: int) -> bytes:
    """Return a PNG file with all the pixels that it announces, each zero.

    Args: depth, colour: bit depth and colour type of the IHDR chunk.
    """
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    line = 1 + (side * channels * depth + 7) // 8
    header = struct.pack(">IIBBBBB", side, side, depth, colour, 0, 0, 0)
    extra = [(b"PLTE", bytes(768)), (b"tRNS", b"\x80")] if colour == 3 else []
    return png_file(
        [(b"IHDR", header), *extra, (b"IDAT", compressed_zeros(line * side)), (b"IEND", b"")]
    )


def exif_block(entries: list[tuple[int, int, int, bytes]], order: str = "<") -> bytes:
    """Return EXIF data of one directory. Args: entries: tag, type, count and four bytes each."""
    mark = b"II*\0" if order == "<" else b"MM\0*"
    body = b"".join(
        struct.pack(order + "HHI", t, k, n) + v[:4].ljust(4, b"\0") for t, k, n, v in entries
    )
    return mark + struct.pack(order + "IH", 8, len(entries)) + body + struct.pack(order + "I", 8)


def _image(mode: str, shift: int = 0) -> Image.Image:
    rows, columns = np.mgrid[:_SIDE, : _SIDE + 8]
    grey = ((rows * 9 + columns * 5 + shift * 40) % 256).astype(np.uint8)
    if mode == "F":
        return Image.fromarray(grey.astype(np.float32) / 255)
    if mode in ("I", "I;16"):
        return Image.fromarray(grey.astype(np.int32 if mode == "I" else np.uint16) * 200)
    image = Image.fromarray(np.stack([grey, 255 - grey, grey // 2, grey], 2))
    return image if mode == "RGBA" else image.convert("RGB").convert(mode)


def saved(suffix: str, mode: str, options: dict) -> bytes:
    """Return a file of a small image. Args: mode, options: Pillow's mode and saving options."""
    return _saved_image(suffix, _image(mode), options, [])


def _saved_image(suffix: str, image: Image.Image, options: dict, more: list[Image.Image]) -> bytes:
    formats = {"jpg": "JPEG", "tif": "TIFF", "jp2": "JPEG2000", "pfm": "PPM", "spi": "SPIDER"}
    file = io.BytesIO()
    several = {"save_all": True, "append_images": more} if more else {}
    image.save(file, formats.get(suffix, suffix.upper()), **several, **options)
    return file.getvalue()


def _orientation(number: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = number
    return exif


_NOISE = bytes(range(256)) * 300  # a profile of several segments

_KINDS: dict[str, tuple[str, dict]] = {
    "baseline.jpg": ("RGB", {}),
    "progressive.jpg": ("RGB", {"progressive": True, "quality": 60}),
    "grey.jpg": ("L", {}),
    "cmyk.jpg": ("CMYK", {}),
    "turned.jpg": ("RGB", {"exif": _orientation(6)}),
    "profile.jpg": ("RGB", {"icc_profile": _NOISE, "comment": b"a comment"}),
    "restart.jpg": ("RGB", {"restart_marker_blocks": 1}),
    "rgb.png": ("RGB", {}),
    "rgba.png": ("RGBA", {}),
    "palette.png": ("P", {"transparency": 3}),
    "bits.png": ("1", {}),
    "alpha.png": ("LA", {}),
    "sixteen.png": ("I;16", {}),
    "turned.png": ("RGB", {"exif": _orientation(5), "icc_profile": _NOISE}),
    "one.gif": ("P", {"transparency": 0}),
    "raw.tif": ("RGB", {}),
    "lzw.tif": ("RGB", {"compression": "tiff_lzw"}),
    "deflate.tif": ("RGBA", {"compression": "tiff_adobe_deflate"}),
    "jpeg.tif": ("RGB", {"compression": "jpeg"}),
    "packbits.tif": ("L", {"compression": "packbits"}),
    "fax.tif": ("1", {"compression": "group4"}),
    "zstd.tif": ("RGB", {"compression": "zstd"}),
    "webp.tif": ("RGB", {"compression": "webp"}),
    "float.tif": ("F", {}),
    "long.tif": ("I", {}),
    "sixteen.tif": ("I;16", {}),
    "cmyk.tif": ("CMYK", {"compression": "tiff_lzw"}),
    "turned.tif": ("RGB", {"exif": _orientation(8)}),
    "big.tif": ("RGB", {"big_tiff": True}),
    "lossy.webp": ("RGB", {}),
    "lossless.webp": ("RGBA", {"lossless": True, "exif": _orientation(3)}),
    "rgb.bmp": ("RGB", {}),
    "palette.bmp": ("P", {}),
    "bits.bmp": ("1", {}),
    "rgba.bmp": ("RGBA", {}),
    "rgb.ppm": ("RGB", {}),
    "grey.pgm": ("L", {}),
    "sixteen.pgm": ("I;16", {}),
    "float.pfm": ("F", {}),
    "sizes.ico": ("RGBA", {"sizes": [(16, 16), (24, 24)], "bitmap_format": "bmp"}),
    "png.ico": ("RGBA", {}),
    "apple.icns": ("RGBA", {}),
    "plain.jp2": ("RGB", {}),
    "tiles.jp2": ("RGBA", {"tile_size": (16, 16)}),
    "rgb.dds": ("RGBA", {}),
    "bc.dds": ("RGBA", {"pixel_format": "DXT5"}),
    "rgb.tga": ("RGB", {"compression": "tga_rle"}),
    "rgb.pcx": ("RGB", {}),
    "rgb.sgi": ("RGB", {}),
    "bits.xbm": ("1", {}),
    "bits.msp": ("1", {}),
    "rgb.im": ("RGB", {}),
    "float.spi": ("F", {}),
    "palette.blp": ("P", {}),
    "rgb.dib": ("RGB", {}),
    "rgb.eps": ("RGB", {}),
    "rgb.pdf": ("RGB", {"creationDate": time.gmtime(0), "modDate": time.gmtime(0)}),
    "still.avif": ("RGB", {}),
    "rgb.qoi": ("RGB", {}),
}
_SEVERAL: dict[str, tuple[str, dict]] = {
    "animated.gif": ("P", {"duration": 50, "loop": 0, "disposal": 2}),
    "animated.png": ("RGBA", {"duration": 50}),
    "animated.webp": ("RGB", {"duration": 50}),
    "pages.tif": ("RGB", {"compression": "tiff_lzw"}),
    "stereo.mpo": ("RGB", {}),
}
