"""Odd image files, read one by one and as folders.

The files are damaged, announce too many pixels, are not regular files, or have odd names.
"""

import json
import os
import random
import traceback
from contextlib import suppress
from pathlib import Path

import numpy as np

from boxrefine_d2.data.images import ImageReadError, header_size, image_size, read_image
from tools import discover

from .child import run_main
from .commands import aside, succeed
from .family import Family, Try
from .odd_images import ImageFiles, image_name
from .outcomes import OK, REFUSED, TRACEBACK, WRONG, Outcome, judge
from .sandbox import Sandbox


class Images(Family):
    """`read_image` and `image_size` on one file."""

    name = "images"
    description = (
        "`read_image` and `image_size` on files of 40 formats: flipped bits, cut and spliced "
        "files, headers that announce up to 2³² × 2³² pixels, bombs in text, profile and EXIF, "
        "pipes, devices, sockets, links, sparse files, any name"
    )
    share = 2.0
    limit = 60.0
    per_child = 400

    def prepare(self, folder: Path) -> None:
        """Make valid files, and programs that write the mark: no image may start a program."""
        self._files = ImageFiles()
        _plant_programs(folder)

    def draw(self, draw: random.Random, box: Sandbox) -> Try:
        """Return a try with one file."""
        path = box.given / image_name(draw)
        title = self._files.draw(draw, path)
        return Try(title, lambda: _read(str(path)), f"read_image({str(path)!r})")


def _read(path: str) -> Outcome:
    """Return the outcome of reading a file; its header must state the size of its pixels."""
    size = pixels = None
    reason = ""
    try:
        header_size(path)
        with suppress(ImageReadError):
            size = image_size(path)
        pixels = read_image(path)
    except ImageReadError as error:
        reason = str(error)
        if not error.reason or "\n" in reason or error.path != path:
            return Outcome(WRONG, f"a reason without path or in several lines | {reason!r}")
        return judge(2, f"error: {reason.encode(errors='backslashreplace').decode()}")
    except Exception:  # noqa: BLE001 - a fault that the harness looks for
        return Outcome(TRACEBACK, judge(1, traceback.format_exc()).detail)
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        return Outcome(WRONG, f"read as {pixels.dtype} {pixels.shape}")
    if size != pixels.shape[:2]:
        return Outcome(WRONG, f"size by its header {size} | by its pixels {pixels.shape[:2]}")
    return Outcome(OK, str(size))


class ImageFolders(Family):
    """`discover.py` on a folder of odd image files."""

    name = "folders"
    description = (
        "`discover.py --data folder:DIR` on folders of 1 to 12 such files: each file is processed, "
        "or listed with the reason"
    )
    share = 1.0
    limit = 120.0

    def prepare(self, folder: Path) -> None:
        """Make valid files; import the modules that the command needs."""
        self._files = ImageFiles()
        _plant_programs(folder)
        words = _discover("scenes:val+first=1", folder / "warm.json")
        aside(lambda: succeed("discover", words), folder / "log.txt")

    def draw(self, draw: random.Random, box: Sandbox) -> Try:
        """Return a try with one folder."""
        kinds = []
        for _ in range(draw.choice((1, 2, 4, 8, 12))):
            path = box.given / image_name(draw)
            if not os.path.lexists(path):
                kinds.append(self._files.draw(draw, path))
        with (box.given / "whole.png").open("wb") as file:
            file.write(self._files.valid["rgb.png"])
        argv = _discover(f"folder:{box.given}", box.out / "o.json")
        title = f"{len(kinds)} files: {'; '.join(sorted(set(kinds)))}"[:300]
        words = " ".join(argv)
        return Try(title, lambda: _discovered(argv, box), f"python tools/discover.py {words}")


def _discover(data: str, output: Path) -> list[str]:
    paths = ["--data", data, "--output", str(output)]
    return ["--method", "lost", "--backbone", "dino_mini", "--num-workers", "0", *paths]


def _discovered(argv: list[str], box: Sandbox) -> Outcome:
    """Return the outcome of the command, which must account for every file."""
    outcome = run_main(discover.main, argv)
    if outcome.failed or outcome.kind == REFUSED:
        return (
            Outcome(WRONG, f"refused a folder with a whole image: {outcome.detail}")
            if (outcome.kind == REFUSED)
            else outcome
        )
    content = json.loads((box.out / "o.json").read_text())
    failed = content["info"]["images_failed"]
    files = sum(1 for name in os.listdir(box.given) if not (box.given / name).is_dir())
    listed = len(content["images"]) + len(failed)
    if listed != files:
        return Outcome(WRONG, f"{files} files, {listed} accounted for")
    if not all(entry["reason"] for entry in failed):
        return Outcome(WRONG, "a failed image without a reason")
    return outcome


def _plant_programs(folder: Path) -> None:
    """Make programs that image libraries may start; each only writes the mark."""
    programs = folder / "programs"
    programs.mkdir(exist_ok=True)
    for name in ("gs", "gswin64c", "gswin32c", "convert", "magick", "djpeg", "xv", "inkscape"):
        (programs / name).write_text('#!/bin/sh\necho "$0 $*" >> "$FUZZ_MARK"\n')
        (programs / name).chmod(0o755)
    os.environ["PATH"] = f"{programs}:{os.environ['PATH']}"
