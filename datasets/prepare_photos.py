"""Make data sets of real photographs from the official downloads, by lists of file names.

The command downloads nothing. Extract the official archives and name their folders. A data set is
made for each folder that is given:

  --voc07 DIR   VOCtest_06-Nov-2007.tar                        photos_train, photos_val
  --coco DIR    val2017.zip, annotations_trainval2017.zip      photos_coco_train, photos_coco_val
  --ecssd DIR   images.zip, ground_truth_mask.zip              photos_ecssd_val

  python datasets/prepare_photos.py --voc07 VOCdevkit --coco coco --ecssd ECSSD

Each data set is a folder with images/ and annotations.json (COCO). Its images are those of the list
in datasets/lists/. Larger images are reduced, smaller ones are copied, and boxes and masks are
scaled with their image.

Licences: VOC photographs have flickr's terms, and VOC annotations are free for research. COCO
annotations are CC BY 4.0; its photographs have various Creative Commons licences, many of them
non-commercial. ECSSD is for research use.

Exit codes: 0, done; 2, a user's mistake, with one line on stderr.
"""

import argparse
import json
import os
import shutil
import sys
from argparse import RawDescriptionHelpFormatter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from output_folder import finished_folder
from photo_sources import SOURCES, PhotoSource, Size
from PIL import Image

from boxrefine_d2 import __version__
from boxrefine_d2.data.datasets.registered import datasets_root
from boxrefine_d2.data.image_files import read_image_list
from boxrefine_d2.data.images import read_image
from boxrefine_d2.errors import CommandParser, UserError, run_command
from boxrefine_d2.progress import with_progress

LISTS = Path(__file__).parent / "lists"


class Part(NamedTuple):
    """One data set; its registered name is photos_FOLDER, which its list has, too.

    Attributes:
        folder: folder in the output directory.
        source: key of `SOURCES`.
        longest_side: longest side above which an image is reduced, in pixels.
        quality: JPEG quality of reduced images.
    """

    folder: str
    source: str
    longest_side: int
    quality: int

    @property
    def name(self) -> str:
        """The registered name."""
        return f"photos_{self.folder}"


PARTS = (
    Part("train", "voc07", 360, 80),
    Part("val", "voc07", 400, 85),
    Part("coco_train", "coco", 360, 80),
    Part("coco_val", "coco", 480, 85),
    Part("ecssd_val", "ecssd", 400, 85),
)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = CommandParser(
        prog="prepare_photos.py", description=__doc__, formatter_class=RawDescriptionHelpFormatter
    )
    for flag, source in SOURCES.items():
        parser.add_argument(
            f"--{flag}", type=Path, metavar="DIR", help=f"folder of the extracted {source.download}"
        )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="DIR",
        help="output directory; default: $DETECTRON2_DATASETS/photos",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace data sets of an earlier run in --output"
    )
    parser.add_argument(
        "--workers",
        type=int,
        default=min(8, os.cpu_count() or 1),
        metavar="W",
        help="number of threads; default: the number of CPU cores, at most 8",
    )
    return parser


def run(args: argparse.Namespace) -> None:
    """Check all sources, then write each data set and put it into place."""
    output = args.output or datasets_root() / "photos"
    given = {flag: getattr(args, flag) for flag in SOURCES if getattr(args, flag) is not None}
    if not given:
        raise UserError(
            "no official download is given; name the folder of one or more of them: "
            + ", ".join(f"--{flag} ({source.download})" for flag, source in SOURCES.items())
        )
    if args.workers < 1:
        raise UserError(f"--workers is {args.workers}; it must be 1 or more")
    parts = [part for part in PARTS if part.source in given]
    check_output(output, parts, overwrite=args.overwrite)
    sources = {flag: SOURCES[flag](folder) for flag, folder in given.items()}
    lists = {part: names_of(part, sources[part.source]) for part in parts}
    for part, names in lists.items():
        with finished_folder(output, _take_place) as folder:
            document = write_part(
                folder / part.folder, part, names, sources[part.source], workers=args.workers
            )
        print(summary(output / part.folder, part, document))


def check_output(output: Path, parts: Sequence[Part], *, overwrite: bool) -> None:
    """Refuse an output directory that is a file, or that has one of the parts already."""
    if output.exists() and not output.is_dir():
        raise UserError(f"--output {str(output)!r} is a file; name a folder")
    present = [part.folder for part in parts if os.path.lexists(output / part.folder)]
    if present and not overwrite:
        raise UserError(
            f"--output {str(output)!r} already holds {', '.join(present)}; name another folder, "
            "or give --overwrite to replace these data sets"
        )


def names_of(part: Part, source: PhotoSource) -> list[str]:
    """Return the official file names of a data set.

    Raises: UserError if the download lacks an image of the list or its labels.
    """
    names = read_image_list(LISTS / f"{part.name}.txt", "list of images")
    missing = [text for text in map(source.missing, names) if text]
    if missing:
        raise UserError(
            f"--{source.flag} {str(source.folder)!r} lacks {len(missing)} of the {len(names)} "
            f"images of {part.name} or their labels, first {missing[0]}; extract all of "
            f"{source.download} there"
        )
    return names


def write_part(
    folder: Path, part: Part, names: Sequence[str], source: PhotoSource, *, workers: int
) -> dict[str, Any]:
    """Write `folder`/images/*.jpg and `folder`/annotations.json. Returns: the COCO document."""
    (folder / "images").mkdir(parents=True)
    source.left_out.clear()

    def write(name: str) -> tuple[Size, Size]:
        return write_photo(source.images / name, folder / "images" / name, part)

    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    with ThreadPoolExecutor(workers) as pool:
        sizes = with_progress(pool.map(write, names), part.name, len(names))
        for number, (name, (old, new)) in enumerate(zip(names, sizes), start=1):
            entry = {"id": number, "file_name": name, "width": new[1], "height": new[0]}
            images.append(entry | source.image_fields(name))
            for label in source.annotations(name, old, new):
                annotations.append({"id": len(annotations) + 1, "image_id": number, **label})
    document = {
        "info": {
            "description": f"{len(names)} photographs of {source.description}, selected and "
            f"reduced to at most {part.longest_side} pixels by prepare_photos.py",
            "version": __version__,
            "left_out": dict(source.left_out),
            "license": source.terms,
        },
        "images": images,
        "annotations": annotations,
        "categories": [{"id": i, "name": x} for i, x in enumerate(source.category_names, start=1)],
    }
    (folder / "annotations.json").write_text(json.dumps(document), encoding="utf-8")
    return document


def write_photo(path: Path, target: Path, part: Part) -> tuple[Size, Size]:
    """Write one image of a data set. Returns: its size (H, W) before and after.

    An image within the part's longest side is copied byte for byte. A larger one is reduced with
    Lanczos' filter and written as JPEG.

    Raises: ImageReadError, naming the file, for an image that cannot be read.
    """
    pixels = read_image(path)
    old = pixels.shape[:2]
    new = reduced_size(old, part.longest_side)
    if new == old:
        shutil.copyfile(path, target)
    else:
        reduced = Image.fromarray(pixels).resize(new[::-1], Image.Resampling.LANCZOS)
        reduced.save(target, "JPEG", quality=part.quality)
    return old, new


def reduced_size(size: Size, longest_side: int) -> Size:
    """Return the size (H, W) at which the longest side has at most `longest_side` pixels.

    Python's `round` rounds the other side: a half goes to the even number.
    """
    factor = min(1.0, longest_side / max(size))
    height, width = (max(1, round(side * factor)) for side in size)
    return height, width


def summary(folder: Path, part: Part, document: dict[str, Any]) -> str:
    """Return the line that is printed for a finished data set."""
    left_out = [f"{n} {why}" for why, n in document["info"]["left_out"].items()]
    return (
        f"{folder}: {part.name}, {len(document['images'])} images, "
        f"{len(document['annotations'])} annotations; left out: {', '.join(left_out) or 'nothing'}"
    )


def _take_place(new: Path, output: Path) -> None:
    for part in list(new.iterdir()):
        target = output / part.name
        if os.path.lexists(target):  # finished_folder removes the old data set with `new`
            target.rename(new / f"old-{part.name}")
        part.rename(target)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command. Returns: 0, or 2 for a user's mistake."""
    return run_command(lambda: run(parser().parse_args(argv)))


if __name__ == "__main__":
    sys.exit(main())
