"""Image files written by hand: their headers announce any size, and few pixels follow."""

import io
import struct
from collections.abc import Callable

from PIL import TiffImagePlugin

from .image_files import png, saved


def _bmp(width: int, height: int) -> bytes:
    head = struct.pack(
        "<IIiHHIIiiII", 40, width & 0x7FFFFFFF, height & 0x7FFFFFFF, 1, 24, 0, 0, 0, 0, 0, 0
    )[4:]
    return b"BM" + struct.pack("<IHHI", 154, 0, 0, 54) + struct.pack("<I", 40) + head + bytes(99)


def _jpeg(width: int, height: int) -> bytes:
    frame = struct.pack(">BHHB", 8, height & 0xFFFF, width & 0xFFFF, 3) + bytes(
        [1, 0x22, 0, 2, 0x11, 0, 3, 0x11, 0]
    )
    start, _, rest = saved("jpg", "RGB", {}).partition(b"\xff\xc0")
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
    plain = saved("webp", "RGB", {})[12:]
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
    file = saved("jp2", "RGB", {})
    at = file.index(b"ihdr") + 4
    file = file[:at] + struct.pack(">II", height, width) + file[at + 8 :]
    size = file.index(b"\xff\x51") + 6
    return file[:size] + struct.pack(">II", width, height) + file[size + 8 :]


def _dds(width: int, height: int) -> bytes:
    file = saved("dds", "RGBA", {})
    return file[:12] + struct.pack("<II", height, width) + file[20:]


def _tga(width: int, height: int) -> bytes:
    return (
        bytes([0, 0, 10])
        + bytes(9)
        + struct.pack("<HHBB", width & 0xFFFF, height & 0xFFFF, 24, 0)
        + b"\xff123" * 9
    )


def _pcx(width: int, height: int) -> bytes:
    file = bytearray(saved("pcx", "RGB", {}))
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
    size = f'"{width} {height} 1 1"'
    return f'/* XPM */\nstatic char *a[] = {{\n{size},\n"a c #ff0000",\n"aaa"}};\n'.encode()


def _svg(width: int, height: int) -> bytes:
    return (
        '<?xml version="1.0"?>'
        '<!DOCTYPE svg [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;">]>'
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}">'
        "<text>&b;</text></svg>"
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
    return (
        f"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 {width} {height}\n"
        "%%EndComments\n(x) =\nshowpage\n"
    ).encode()


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
        f"Image type: RGB image\r\nImage size (x*y): {w}*{h}\r\n"
        "File size (no of images): 1\r\n\x1a".encode().ljust(512, b"\0")
    ),
}

# Formats that Pillow cannot write.
BY_HAND: dict[str, Callable[[], bytes]] = {
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
