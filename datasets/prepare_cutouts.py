"""Compose images with known boxes and masks: cut-outs of Tux Paint on wallpaper photographs.

The two sources come from Debian packages, which this command does not download. Anyone can download
and extract them, without root:

  apt-get download tuxpaint-stamps-default tuxpaint-data plasma-workspace-wallpapers \\
      mate-backgrounds lomiri-wallpapers-16.04 lomiri-wallpapers-20.04
  dpkg -x tuxpaint-stamps-default_*.deb stamps
  for package in tuxpaint-data_*.deb *wallpapers*.deb mate-*.deb; do
      dpkg -x "$package" backgrounds
  done
  python datasets/prepare_cutouts.py --stamps stamps --backgrounds backgrounds

It writes train/, train.json, val/ and val.json (COCO files). They are the data sets cutouts_train
and cutouts_val. The same packages and the same seed give the same files.
"""

import argparse
import json
import os
import shutil
import sys
from argparse import RawDescriptionHelpFormatter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from cutout_composition import Composition, compose
from cutout_labels import CATEGORIES
from cutout_packages import packages_below
from cutout_sources import Found, Stamp, read_backgrounds, read_stamps
from output_folder import finished_folder
from PIL import Image
from pycocotools import mask as mask_codec
from tqdm import tqdm

from boxrefine_d2 import __version__
from boxrefine_d2.data.datasets.registered import datasets_root
from boxrefine_d2.errors import CommandParser, UserError, run_command
from boxrefine_d2.masks.coding import encode_masks

SPLITS = ("train", "val")  # a split's position in this tuple is part of its random seed
JPEG_QUALITY = 92

STAMPS_HELP = "folder of the extracted package of stamps"
BACKGROUNDS_HELP = "folders of extracted packages, or of any photographs"
OUTPUT_HELP = "output directory; default: $DETECTRON2_DATASETS/cutouts"
COUNT_HELP = "number of images of this split; default: %(default)s"
SEED_HELP = "seed of the composition; default: %(default)s"
OVERWRITE_HELP = "replace the images and labels of an earlier run in --output"
WORKERS_HELP = "number of threads; default: the number of CPU cores, at most 8"


@dataclass(frozen=True)
class Sources:
    """Sources of the composed images, and the packages that `info` names."""

    stamps: Found[Stamp]
    backgrounds: Found[np.ndarray]
    packages: list[dict[str, Any]]


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = CommandParser(
        prog="prepare_cutouts.py", description=__doc__, formatter_class=RawDescriptionHelpFormatter
    )
    parser.add_argument("--stamps", required=True, type=Path, metavar="DIR", help=STAMPS_HELP)
    parser.add_argument(
        "--backgrounds", required=True, type=Path, nargs="+", metavar="DIR", help=BACKGROUNDS_HELP
    )
    parser.add_argument("--output", type=Path, metavar="DIR", help=OUTPUT_HELP)
    parser.add_argument("--train", type=int, default=1600, metavar="N", help=COUNT_HELP)
    parser.add_argument("--val", type=int, default=300, metavar="N", help=COUNT_HELP)
    parser.add_argument("--seed", type=int, default=0, help=SEED_HELP)
    parser.add_argument("--overwrite", action="store_true", help=OVERWRITE_HELP)
    parser.add_argument(
        "--workers", type=int, default=min(8, os.cpu_count() or 1), metavar="W", help=WORKERS_HELP
    )
    return parser


def run(args: argparse.Namespace) -> None:
    """Read the sources, compose both splits and put them into place."""
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
    with finished_folder(output, _take_place) as folder:
        for split, count in (("train", args.train), ("val", args.val)):
            compose_split(folder, split, count, sources, seed=args.seed, workers=args.workers)
    print(f"{output}: {args.train} images of cutouts_train, {args.val} of cutouts_val")


def check_output(output: Path, *, overwrite: bool) -> None:
    """Refuse an output directory that is a file, or that holds files without `overwrite`."""
    if output.exists() and not output.is_dir():
        raise UserError(f"--output {str(output)!r} is a file; name a folder")
    present = sorted(path.name for path in output.iterdir()) if output.is_dir() else []
    if present and not overwrite:
        raise UserError(
            f"--output {str(output)!r} already holds {', '.join(present[:4])}; name another "
            "folder, or give --overwrite to replace the images and labels in it"
        )


def report(sources: Sources) -> None:
    """Print the number of images used, the counts of those left out, and the unreadable files."""
    for name, source in (("stamps", sources.stamps), ("backgrounds", sources.backgrounds)):
        print(f"{len(source.images)} {name}; not used: {source.reasons()}")
        for path, reason in source.unreadable.items():
            print(f"  unreadable: {path}: {reason}", file=sys.stderr)


def compose_split(
    folder: Path, split: str, count: int, sources: Sources, *, seed: int, workers: int
) -> None:
    """Write `folder`/SPLIT/*.jpg and `folder`/SPLIT.json.

    Image i depends on seed, split and i only. It stays the same when `count`, the other split or
    `workers` change.
    """
    (folder / split).mkdir()

    def write(number: int) -> tuple[tuple[int, ...], list[dict[str, Any]]]:
        rng = np.random.default_rng([seed, SPLITS.index(split), number])
        composition = compose(rng, sources.stamps.images, sources.backgrounds.images)
        path = folder / split / file_name(number)
        Image.fromarray(composition.pixels).save(path, quality=JPEG_QUALITY)
        return composition.pixels.shape[:2], annotations_of(composition, sources.stamps.images)

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
    """Return the file name of an image, such as "000012.jpg"."""
    return f"{number:06d}.jpg"


def annotations_of(composition: Composition, stamps: Sequence[Stamp]) -> list[dict[str, Any]]:
    """Return the COCO annotations of the visible part of every object, without ids."""
    annotations = []
    for index, mask in zip(composition.stamps, composition.masks):
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
    """Return the COCO `info`: everything that is needed to compose the same images again."""
    return {
        "description": "photographic cut-outs on photographs, composed by prepare_cutouts.py",
        "version": __version__,
        "split": split,
        "images": count,
        "seed": seed,
        "sources": {
            name: {
                "used": len(source.images),
                "not_used": dict(sorted(source.left_out.items())),
                "unreadable": source.unreadable,
                "sha256": source.sha256,
            }
            for name, source in (("stamps", sources.stamps), ("backgrounds", sources.backgrounds))
        },
        "packages": sources.packages,
        "license": "that of the sources: see the licences of the packages",
    }


def _take_place(new: Path, output: Path) -> None:
    # remove old labels before old images, and write new images before new labels
    for split in SPLITS:
        (output / f"{split}.json").unlink(missing_ok=True)
    for split in SPLITS:
        if (output / split).exists():
            shutil.rmtree(output / split)
        (new / split).rename(output / split)
        (new / f"{split}.json").rename(output / f"{split}.json")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command. Returns: 0, or 2 for a user's mistake."""
    return run_command(lambda: run(parser().parse_args(argv)))


if __name__ == "__main__":
    sys.exit(main())
