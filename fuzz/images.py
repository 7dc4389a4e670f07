"""Images: damaged, promising too much, not files at all, and named in any way; read one by one and by the folder."""

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
    """`read_image` and `image_size` of one file."""

    name = "images"
    what = (
        "`read_image` and `image_size` of files of 40 formats: bits flipped, cut, spliced, headers that announce up to "
        "2³² × 2³² pixels, bombs in text, profile and EXIF, pipes, devices, sockets, links, sparse files, any name"
    )
    share = 2.0
    limit = 60.0
    per_child = 400

    def prepare(self, folder: Path) -> None:
        """Valid files, and a Ghostscript that leaves the mark: no image may start a program."""
        self._files = ImageFiles()
        _plant_programs(folder)

    def draw(self, draw: random.Random, box: Sandbox) -> Try:
        """One file."""
        path = box.given / image_name(draw)
        title = self._files.draw(draw, path)
        return Try(title, lambda: _read(str(path)), f"read_image({str(path)!r})")


def _read(path: str) -> Outcome:
    """What reading says, which must agree with what the header says."""
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
    except Exception:  # noqa: BLE001 - that is what is looked for
        return Outcome(TRACEBACK, judge(1, traceback.format_exc()).detail)
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        return Outcome(WRONG, f"read as {pixels.dtype} {pixels.shape}")
    if size != pixels.shape[:2]:
        return Outcome(WRONG, f"its header says {size} | its pixels {pixels.shape[:2]}")
    return Outcome(OK, str(size))


class ImageFolders(Family):
    """`discover.py` on a folder of such files."""

    name = "folders"
    what = "`discover.py --data folder:DIR` on folders of 1 to 12 such files: each is done, or listed with its reason"
    share = 1.0
    limit = 120.0

    def prepare(self, folder: Path) -> None:
        """Valid files, and a run that imports what runs need."""
        self._files = ImageFiles()
        _plant_programs(folder)
        words = _discover("scenes:val+first=1", folder / "warm.json")
        aside(lambda: succeed("discover", words), folder / "log.txt")

    def draw(self, draw: random.Random, box: Sandbox) -> Try:
        """One folder."""
        kinds = []
        for _ in range(draw.choice((1, 2, 4, 8, 12))):
            path = box.given / image_name(draw)
            if not os.path.lexists(path):
                kinds.append(self._files.draw(draw, path))
        with (box.given / "whole.png").open("wb") as file:
            file.write(self._files.valid["rgb.png"])
        argv = _discover(f"folder:{box.given}", box.out / "o.json")
        title = f"{len(kinds)} files: {'; '.join(sorted(set(kinds)))}"[:300]
        return Try(title, lambda: _found(argv, box), "python tools/discover.py " + " ".join(argv))


def _discover(data: str, output: Path) -> list[str]:
    where = ["--data", data, "--output", str(output)]
    return ["--method", "lost", "--backbone", "dino_mini", "--num-workers", "0", *where]


def _found(argv: list[str], box: Sandbox) -> Outcome:
    """What the command says, which must count every file."""
    outcome = run_main(discover.main, argv)
    if outcome.failed or outcome.kind == REFUSED:
        return (
            Outcome(WRONG, f"refused a folder with a whole image: {outcome.detail}")
            if (outcome.kind == REFUSED)
            else outcome
        )
    content = json.loads((box.out / "o.json").read_text())
    failed = content["info"]["images_failed"]
    asked = sum(1 for name in os.listdir(box.given) if not (box.given / name).is_dir())
    told = len(content["images"]) + len(failed)
    if told != asked:
        return Outcome(WRONG, f"{asked} files, {told} accounted for")
    if not all(entry["reason"] for entry in failed):
        return Outcome(WRONG, "a failed image without a reason")
    return outcome


def _plant_programs(folder: Path) -> None:
    """Programs that image libraries may start, each of which only leaves the mark."""
    programs = folder / "programs"
    programs.mkdir(exist_ok=True)
    for name in ("gs", "gswin64c", "gswin32c", "convert", "magick", "djpeg", "xv", "inkscape"):
        (programs / name).write_text('#!/bin/sh\necho "$0 $*" >> "$FUZZ_MARK"\n')
        (programs / name).chmod(0o755)
    os.environ["PATH"] = f"{programs}:{os.environ['PATH']}"
