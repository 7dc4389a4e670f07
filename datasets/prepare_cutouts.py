"""Composes photographs with known boxes and masks: cut-outs of Tux Paint on wallpaper photographs.

The two sources come from Debian packages, which this command does not download. Anyone can get and
extract them, without root:

  apt-get download tuxpaint-stamps-default tuxpaint-data plasma-workspace-wallpapers \\
      mate-backgrounds lomiri-wallpapers-16.04 lomiri-wallpapers-20.04
  dpkg -x tuxpaint-stamps-default_*.deb stamps
  for package in tuxpaint-data_*.deb *wallpapers*.deb mate-*.deb; do dpkg -x "$package" backgrounds; done
  python datasets/prepare_cutouts.py --stamps stamps --backgrounds backgrounds

It writes train/, train.json, val/ and val.json (COCO files), which are the data sets cutouts_train
and cutouts_val. The same packages and the same seed give the same files.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
from argparse import RawDescriptionHelpFormatter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from cutout_composition import Composition, compose
from cutout_labels import CATEGORIES
from cutout_packages import packages_below
from cutout_sources import Found, Stamp, read_backgrounds, read_stamps
from PIL import Image
from pycocotools import mask as mask_codec
from tqdm import tqdm

from boxrefine_d2 import __version__
from boxrefine_d2.data.datasets.registered import datasets_root
from boxrefine_d2.errors import CommandParser, UserError, run_command
from boxrefine_d2.masks.coding import encode_masks

SPLITS = ("train", "val")  # their positions are part of the random streams
JPEG_QUALITY = 92
_UNFINISHED = ".unfinished-"


@dataclass(frozen=True)
class Sources:
    """What pictures are composed from, and what `info` says about it."""

    stamps: Found[Stamp]
    backgrounds: Found[np.ndarray]
    packages: list[dict[str, Any]]


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = CommandParser(
        prog="prepare_cutouts.py", description=__doc__, formatter_class=RawDescriptionHelpFormatter
    )
    parser.add_argument("--stamps", required=True, type=Path, metavar="DIR")
    parser.add_argument("--backgrounds", required=True, type=Path, nargs="+", metavar="DIR")
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="default: $DETECTRON2_DATASETS/cutouts"
    )
    parser.add_argument("--train", type=int, default=1600, metavar="N", help="images; default 1600")
    parser.add_argument("--val", type=int, default=300, metavar="N", help="images; default 300")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--overwrite", action="store_true", help="replace what an earlier run left in --output"
    )
    parser.add_argument(
        "--workers", type=int, default=min(8, os.cpu_count() or 1), metavar="W", help="threads"
    )
    return parser


def run(args: argparse.Namespace) -> None:
    """Reads the sources, composes both splits and puts them into place."""
    output = args.output or datasets_root() / "cutouts"
    for name, least in (("train", 1), ("val", 1), ("seed", 0), ("workers", 1)):
        if getattr(args, name) < least:
            raise UserError(f"--{name} is {getattr(args, name)}; it must be {least} or more")
    check_output(output, overwrite=args.overwrite)
    stamps = read_stamps(args.stamps, args.workers)
    backgrounds = read_backgrounds(args.backgrounds, args.workers)
    folders = dict.fromkeys([args.stamps, *args.backgrounds])
    packages = [package for folder in folders for package in packages_below(folder)]
    sources = Sources(stamps, backgrounds, packages)
    report(sources)
    with finished_folder(output) as folder:
        for split, count in (("train", args.train), ("val", args.val)):
            compose_split(folder, split, count, sources, seed=args.seed, workers=args.workers)
    print(f"{output}: {args.train} images of cutouts_train, {args.val} of cutouts_val")


def check_output(output: Path, *, overwrite: bool) -> None:
    """Raises: UserError if something is in the way."""
    if output.exists() and not output.is_dir():
        raise UserError(f"--output {str(output)!r} is a file; name a folder")
    there = sorted(path.name for path in output.iterdir()) if output.is_dir() else []
    if there and not overwrite:
        raise UserError(
            f"--output {str(output)!r} already holds {', '.join(there[:4])}; name another folder, "
            "or give --overwrite to replace the images and labels in it"
        )


def report(sources: Sources) -> None:
    """Says how much was found, why the rest is not used, and what could not be read."""
    for what, found in (("stamps", sources.stamps), ("backgrounds", sources.backgrounds)):
        print(f"{len(found.pictures)} {what}; not used: {found.reasons()}")
        for name, reason in found.unreadable.items():
            print(f"  unreadable: {name}: {reason}", file=sys.stderr)


def compose_split(
    folder: Path, split: str, count: int, sources: Sources, *, seed: int, workers: int
) -> None:
    """Writes `folder`/SPLIT/*.jpg and `folder`/SPLIT.json.

    Image i is a function of seed, split and i alone, so it stays the same when `count`, the other
    split or `workers` change.
    """
    (folder / split).mkdir()

    def write(number: int) -> tuple[tuple[int, ...], list[dict[str, Any]]]:
        rng = np.random.default_rng([seed, SPLITS.index(split), number])
        picture = compose(rng, sources.stamps.pictures, sources.backgrounds.pictures)
        path = folder / split / file_name(number)
        Image.fromarray(picture.pixels).save(path, quality=JPEG_QUALITY)
        return picture.pixels.shape[:2], annotations_of(picture, sources.stamps.pictures)

    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    with ThreadPoolExecutor(workers) as pool:
        jobs = pool.map(write, range(1, count + 1))
        for number, (size, labels) in enumerate(tqdm(jobs, split, count, unit="img"), start=1):
            height, width = size
            name = file_name(number)
            images.append({"id": number, "file_name": name, "width": width, "height": height})
            for label in labels:
                annotations.append({"id": len(annotations) + 1, "image_id": number, **label})
    document = {
        "info": info_of(sources, split, count, seed),
        "images": images,
        "annotations": annotations,
        "categories": [{"id": i, "name": name} for i, name in enumerate(CATEGORIES, start=1)],
    }
    (folder / f"{split}.json").write_text(json.dumps(document), encoding="utf-8")


def file_name(number: int) -> str:
    return f"{number:06d}.jpg"


def annotations_of(picture: Composition, stamps: Sequence[Stamp]) -> list[dict[str, Any]]:
    """COCO annotations, without ids: of every object, the part that is visible."""
    annotations = []
    for index, mask in zip(picture.stamps, picture.masks):
        stamp = stamps[index]
        [rle] = encode_masks(mask[None])
        annotations.append(
            {
                "category_id": 1 + CATEGORIES.index(stamp.category),
                "bbox": mask_codec.toBbox(rle).tolist(),
                "area": float(mask.sum()),
                "iscrowd": 0,
                "phrase": stamp.phrase,
                "object": stamp.name,
                "segmentation": rle,
            }
        )
    return annotations


def info_of(sources: Sources, split: str, count: int, seed: int) -> dict[str, Any]:
    """The COCO `info`: what is needed to compose the same again."""
    return {
        "description": "photographic cut-outs on photographs, composed by prepare_cutouts.py",
        "version": __version__,
        "split": split,
        "images": count,
        "seed": seed,
        "sources": {
            what: {
                "used": len(found.pictures),
                "not_used": dict(sorted(found.left_out.items())),
                "unreadable": found.unreadable,
                "sha256": found.sha256,
            }
            for what, found in (("stamps", sources.stamps), ("backgrounds", sources.backgrounds))
        },
        "packages": sources.packages,
        "license": "that of the sources: see the licences of the packages",
    }


@contextmanager
def finished_folder(output: Path) -> Iterator[Path]:
    """A folder beside `output` to write in; its content takes its place in `output` when the block
    ends without an error, and is removed otherwise. Other things in `output` stay.

    Raises: UserError, naming the path, if the operating system refuses to write.
    """
    is_new = not output.exists()
    try:
        output.mkdir(parents=True, exist_ok=True)
        for remains in output.glob(f"{_UNFINISHED}*"):  # of a run that was killed
            shutil.rmtree(remains)
        temporary = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=output))
        try:
            yield temporary
            _take_place(temporary, output)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
            if is_new and not any(output.iterdir()):
                output.rmdir()
    except OSError as error:
        raise UserError(
            f"cannot write {str(output)!r}: {error.strerror or error}; free some space or name another --output"
        ) from error


def _take_place(new: Path, output: Path) -> None:
    for split in SPLITS:  # old labels go before old images, new images come before new labels
        (output / f"{split}.json").unlink(missing_ok=True)
    for split in SPLITS:
        if (output / split).exists():
            shutil.rmtree(output / split)
        (new / split).rename(output / split)
        (new / f"{split}.json").rename(output / f"{split}.json")


def main(argv: Sequence[str] | None = None) -> int:
    """The command; 0, or 2 for a user's mistake."""
    return run_command(lambda: run(parser().parse_args(argv)))


if __name__ == "__main__":
    sys.exit(main())
