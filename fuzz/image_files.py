"""Valid images of every format, small, from which damaged ones are made; and headers that promise too much."""

import io
import struct
import time
import zlib
from collections.abc import Callable
from functools import cache

import numpy as np
from PIL import Image, TiffImagePlugin

_SIDE = 24


def valid_images() -> dict[str, bytes]:
    """Return files by a name whose suffix is their format's; what this Pillow cannot write is left out."""
    files = {}
    for name, (mode, options) in _KINDS.items():
        try:
            files[name] = _saved(name.rpartition(".")[2], mode, options)
        except (OSError, ValueError, KeyError):
            continue
    for name, (mode, options) in _SEVERAL.items():
        frames = [_picture(mode, shift) for shift in range(3)]
        files[name] = _saved_image(name.rpartition(".")[2], frames[0], options, frames[1:])
    return files | {name: make() for name, make in _BY_HAND.items()}


def png(width: int, height: int, *, depth: int = 8, colour: int = 2, data: bytes = b"") -> bytes:
    """Return a PNG file that announces this size. Args: data: of its one IDAT chunk, compressed; before: chunks."""
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
    """Return so many zero bytes, compressed by zlib."""
    packer, block = zlib.compressobj(9), bytes(2**20)
    parts = [packer.compress(block) for _ in range(count // 2**20)]
    return b"".join([*parts, packer.compress(bytes(count % 2**20)), packer.flush()])


def whole_bomb(side: int, depth: int, colour: int) -> bytes:
    """Return a PNG file with all the pixels that it announces, each zero. Args: depth, colour: as IHDR has them."""
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    line = 1 + (side * channels * depth + 7) // 8
    header = struct.pack(">IIBBBBB", side, side, depth, colour, 0, 0, 0)
    extra = [(b"PLTE", bytes(768)), (b"tRNS", b"\x80")] if colour == 3 else []
    return png_file(
        [(b"IHDR", header), *extra, (b"IDAT", compressed_zeros(line * side)), (b"IEND", b"")]
    )


def announced(kind: str, width: int, height: int) -> bytes:
    """Return a file of a format in `ANNOUNCED` whose header says this size and that has few pixels."""
    return ANNOUNCED[kind](width, height)


def exif_block(entries: list[tuple[int, int, int, bytes]], order: str = "<") -> bytes:
    """Return EXIF data of one directory. Args: entries: tag, type, count and four bytes of each."""
    mark = b"II*\0" if order == "<" else b"MM\0*"
    body = b"".join(
        struct.pack(order + "HHI", t, k, n) + v[:4].ljust(4, b"\0") for t, k, n, v in entries
    )
    return mark + struct.pack(order + "IH", 8, len(entries)) + body + struct.pack(order + "I", 8)


def _picture(mode: str, shift: int = 0) -> Image.Image:
    rows, columns = np.mgrid[:_SIDE, : _SIDE + 8]
    grey = ((rows * 9 + columns * 5 + shift * 40) % 256).astype(np.uint8)
    if mode == "F":
        return Image.fromarray(grey.astype(np.float32) / 255)
    if mode in ("I", "I;16"):
        return Image.fromarray(grey.astype(np.int32 if mode == "I" else np.uint16) * 200)
    picture = Image.fromarray(np.stack([grey, 255 - grey, grey // 2, grey], 2))
    return picture if mode == "RGBA" else picture.convert("RGB").convert(mode)


def _saved(suffix: str, mode: str, options: dict) -> bytes:
    return _saved_image(suffix, _picture(mode), options, [])


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


def _bmp(width: int, height: int) -> bytes:
    head = struct.pack(
        "<IIiHHIIiiII", 40, width & 0x7FFFFFFF, height & 0x7FFFFFFF, 1, 24, 0, 0, 0, 0, 0, 0
    )[4:]
    return b"BM" + struct.pack("<IHHI", 154, 0, 0, 54) + struct.pack("<I", 40) + head + bytes(99)


def _jpeg(width: int, height: int) -> bytes:
    frame = struct.pack(">BHHB", 8, height & 0xFFFF, width & 0xFFFF, 3) + bytes(
        [1, 0x22, 0, 2, 0x11, 0, 3, 0x11, 0]
    )
    start, _, rest = _saved("jpg", "RGB", {}).partition(b"\xff\xc0")
    length = struct.unpack_from(">H", rest)[0]
    return start + b"\xff\xc0" + struct.pack(">H", len(frame) + 2) + frame + rest[length:]


def _gif(width: int, height: int) -> bytes:
    size = struct.pack("<HH", width & 0xFFFF, height & 0xFFFF)
    return (
        b"GIF89a"
        + size
        + b"\x80\0\0"
        + bytes(6)
        + b"\x2c\0\0\0\0"
        + size
        + b"\0\x02\x02\x44\x01\0\x3b"
    )


def _tiff(width: int, height: int) -> bytes:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags.update({256: width, 257: height, 258: (8, 8, 8), 259: 1, 262: 2, 277: 3})
    tags.update({273: 8, 278: height, 279: min(width * height * 3, 2**32 - 1)})
    for tag in (256, 257, 273, 278, 279):
        tags.tagtype[tag] = 4
    file = io.BytesIO()
    file.write(b"II*\0\x08\0\0\0")
    tags.save(file)
    return file.getvalue() + bytes(99)


def _webp(width: int, height: int) -> bytes:
    w, h = (min(max(x - 1, 0), 2**24 - 1).to_bytes(3, "little") for x in (width, height))
    extended = b"VP8X" + struct.pack("<I", 10) + b"\0\0\0\0" + w + h
    plain = _saved("webp", "RGB", {})[12:]
    return b"RIFF" + struct.pack("<I", 4 + len(extended) + len(plain)) + b"WEBP" + extended + plain


def _psd(width: int, height: int, depth: int = 8, mode: int = 3, channels: int = 3) -> bytes:
    head = b"8BPS" + struct.pack(">H6xHIIHH", 1, channels, height, width, depth, mode)
    return head + bytes(12) + b"\0\0" + bytes(range(256)) * 12


def _fli(width: int, height: int) -> bytes:
    head = struct.pack("<IHHHHHHI", 5000, 0xAF12, 2, width & 0xFFFF, height & 0xFFFF, 8, 3, 70)
    chunk = struct.pack("<IH", 6 + 600, 16) + bytes(600)
    return head.ljust(128, b"\0") + struct.pack("<IHH8x", 16 + len(chunk), 0xF1FA, 1) + chunk


def _qoi(width: int, height: int) -> bytes:
    return (
        b"qoif" + struct.pack(">IIBB", width, height, 4, 0) + bytes([0xC5] * 40) + bytes(7) + b"\1"
    )


def _sgi(width: int, height: int) -> bytes:
    head = struct.pack(">hBBHHHHii", 474, 1, 1, 3, width & 0xFFFF, height & 0xFFFF, 3, 0, 255)
    return head.ljust(512, b"\0") + bytes(range(256)) * 4


def _jp2(width: int, height: int) -> bytes:
    file = _saved("jp2", "RGB", {})
    at = file.index(b"ihdr") + 4
    file = file[:at] + struct.pack(">II", height, width) + file[at + 8 :]
    size = file.index(b"\xff\x51") + 6
    return file[:size] + struct.pack(">II", width, height) + file[size + 8 :]


def _dds(width: int, height: int) -> bytes:
    file = _saved("dds", "RGBA", {})
    return file[:12] + struct.pack("<II", height, width) + file[20:]


def _tga(width: int, height: int) -> bytes:
    return (
        bytes([0, 0, 10])
        + bytes(9)
        + struct.pack("<HHBB", width & 0xFFFF, height & 0xFFFF, 24, 0)
        + b"\xff123" * 9
    )


def _pcx(width: int, height: int) -> bytes:
    file = bytearray(_saved("pcx", "RGB", {}))
    file[8:12] = struct.pack("<HH", (width - 1) & 0xFFFF, (height - 1) & 0xFFFF)
    return bytes(file)


def _wmf(width: int, height: int) -> bytes:
    return (
        b"\xd7\xcd\xc6\x9a\0\0"
        + struct.pack("<hhhhH", 0, 0, width & 0x7FFF, height & 0x7FFF, 72)
        + bytes(6)
        + b"\x01\x00\t\0"
        + bytes(40)
    )


def _fits(width: int, height: int) -> bytes:
    cards = [
        "SIMPLE  =                    T",
        "BITPIX  =                    8",
        "NAXIS   =                    2",
    ]
    cards += [f"NAXIS1  = {width:20d}", f"NAXIS2  = {height:20d}", "END"]
    return "".join(c.ljust(80) for c in cards).ljust(2880).encode() + bytes(2880)


def _xpm(width: int, height: int) -> bytes:
    return f'/* XPM */\nstatic char *a[] = {{\n"{width} {height} 1 1",\n"a c #ff0000",\n"aaa"}};\n'.encode()


def _svg(width: int, height: int) -> bytes:
    return (
        '<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;">]>'
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"><text>&b;</text></svg>'
    ).encode()


def _icns(width: int, height: int) -> bytes:
    entries = [b"ic07" + struct.pack(">I", 8 + 40) + png(width, height)[:40]] * 2000
    body = b"".join(entries)
    return b"icns" + struct.pack(">I", 8 + len(body)) + body


def _ico(width: int, height: int) -> bytes:
    image = png(width, height)
    entry = struct.pack("<BBBBHHII", 0, 0, 0, 0, 1, 32, len(image), 6 + 16 * 3000)
    return struct.pack("<HHH", 0, 1, 3000) + entry * 3000 + image


def _postscript(width: int, height: int) -> bytes:
    return f"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 {width} {height}\n%%EndComments\n(x) =\nshowpage\n".encode()


ANNOUNCED: dict[str, Callable[[int, int], bytes]] = {
    "png": png,
    "grey_png": lambda w, h: png(w, h, depth=16, colour=0),
    "rgba_png": lambda w, h: png(w, h, colour=6),
    "bmp": _bmp,
    "jpg": _jpeg,
    "gif": _gif,
    "tif": _tiff,
    "webp": _webp,
    "psd": _psd,
    "fli": _fli,
    "qoi": _qoi,
    "sgi": _sgi,
    "jp2": _jp2,
    "dds": _dds,
    "tga": _tga,
    "pcx": _pcx,
    "wmf": _wmf,
    "fits": _fits,
    "xpm": _xpm,
    "svg": _svg,
    "icns": _icns,
    "ico": _ico,
    "eps": _postscript,
    "ppm": lambda w, h: f"P6 {w} {h} 255\n".encode() + bytes(99),
    "pgm": lambda w, h: f"P2\n{w} {h}\n65535\n".encode() + b"1 2 3 " * 9,
    "pfm": lambda w, h: f"Pf\n{w} {h}\n-1.0\n".encode() + bytes(99),
    "xbm": lambda w, h: (
        f"#define a_width {w}\n#define a_height {h}\nstatic char a_bits[] = {{ 0x00 }};".encode()
    ),
    "im": lambda w, h: (
        f"Image type: RGB image\r\nImage size (x*y): {w}*{h}\r\nFile size (no of images): 1\r\n\x1a".encode().ljust(
            512, b"\0"
        )
    ),
}

_BY_HAND: dict[str, Callable[[], bytes]] = {
    "layers.psd": lambda: _psd(32, 24),
    "sixteen.psd": lambda: _psd(32, 24, 16, 1, 1),
    "film.fli": lambda: _fli(32, 24),
    "plain.qoi": lambda: _qoi(32, 24),
    "drawing.svg": lambda: _svg(32, 24),
    "drawing.wmf": lambda: _wmf(32, 24),
    "sky.fits": lambda: _fits(32, 24),
    "text.xpm": lambda: _xpm(3, 1),
    "script.ps": lambda: _postscript(32, 24),
    "plain.pgm": lambda: b"P2\n3 2\n255\n1 2 3 4 5 6\n",
    "grib.jpg": lambda: b"GRIB" + bytes(3) + b"\x01" + bytes(99),
    "hdf5.jpg": lambda: b"\x89HDF\r\n\x1a\n" + bytes(99),
    "bufr.jpg": lambda: b"BUFR" + bytes(99),
}
