"""Check named data sets: `python datasets/check_datasets.py NAME [NAME ...] [--images]`.

It looks below $DETECTRON2_DATASETS for every file and folder of the tree, loads the labels,
compares the numbers of images and annotations with the published ones, and looks for every image
file. With
--images it also opens every image's header and compares the size with that in the labels. It
downloads nothing and changes nothing.

Exit codes: 0, every tree is complete; 2, otherwise, with one line on stderr for each fault.
"""

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from difflib import get_close_matches
from itertools import islice
from pathlib import Path

from official_counts import OFFICIAL_COUNTS, OfficialCount
from tqdm import tqdm

from boxrefine_d2.data.datasets.registered import NAMED_DATASETS, load_named, needed_paths
from boxrefine_d2.data.images import ImageReadError, image_size
from boxrefine_d2.data.records import Record
from boxrefine_d2.errors import CommandParser, UserError, run_command

SHOWN_FAULTS = 10  # lines about single images; one more line counts the others
THREADS = 8  # threads that wait for the disk


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = CommandParser(
        prog="check_datasets.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "names", nargs="+", metavar="NAME", help="registered name, such as voc_2007_test"
    )
    parser.add_argument(
        "--images", action="store_true", help="also open the header of every image file"
    )
    return parser


def run(args: argparse.Namespace) -> int:
    """Check all names, also after a fault in one. Returns: the exit code, 0 or 2."""
    for name in args.names:
        if name not in NAMED_DATASETS:
            close = get_close_matches(name, NAMED_DATASETS, n=1)
            hint = f"did you mean {close[0]}? " if close else ""
            raise UserError(f"unknown data set {name!r}; {hint}known: {', '.join(NAMED_DATASETS)}")
    faults = 0
    for name in dict.fromkeys(args.names):
        for fault in faults_of(name, with_headers=args.images):
            print(f"{name}: {fault}", file=sys.stderr)
            faults += 1
    return 2 if faults else 0


def faults_of(name: str, *, with_headers: bool) -> Iterator[str]:
    """Yield one line for each fault of one data set, and print what is right."""
    root, *parts = needed_paths(name)
    missing = [path for path in (root, *parts) if not path.exists()]
    for path in parts:
        if path not in missing:
            print(f"{name}: there: {path}")
    if missing:
        yield from (f"missing: looked for {path}" for path in missing)
        return
    try:
        records = load_named(name).records
    except UserError as error:
        yield f"cannot be loaded: {error}"
        return
    yield from count_faults(name, records)
    checks = missing_images(records)
    yield from shortened(checks, "images are missing")
    if with_headers:
        yield from shortened(header_faults(name, records), "images have such a fault")


def count_faults(name: str, records: Sequence[Record]) -> Iterator[str]:
    """Print the numbers of images, boxes, crowds and classes; yield a line for each wrong one."""
    annotations = [item for record in records for item in record.get("annotations", ())]
    crowds = sum(item["iscrowd"] for item in annotations)
    classes = len({record["image_label"] for record in records if "image_label" in record})
    counted = OfficialCount(len(records), len(annotations), crowds, classes)
    official = OFFICIAL_COUNTS.get(name)
    note = "" if official else "; no published count is known here"
    print(
        f"{name}: {counted.images} images, {counted.boxes} boxes, {counted.crowds} of them "
        f"crowds{f', {classes} classes of images' if classes else ''}{note}"
    )
    for kind in ("images", "boxes", "crowds", "classes"):
        expected = getattr(official, kind, None)
        if expected is not None and getattr(counted, kind) != expected:
            yield f"{getattr(counted, kind)} {kind}, published are {expected}"


def missing_images(records: Sequence[Record]) -> Iterator[str]:
    """Yield a line for each image file that does not exist."""
    for record in records:
        if not os.path.isfile(record["file_name"]):
            yield f"missing: looked for {record['file_name']}"


def header_faults(name: str, records: Sequence[Record]) -> Iterator[str]:
    """Yield a line for each existing image that cannot be read or has a size not in the labels.

    Labels that state no size agree with every size.
    """
    present = [record for record in records if os.path.isfile(record["file_name"])]
    sizes: set[tuple[int, int]] = set()
    with ThreadPoolExecutor(THREADS) as pool:
        answers = pool.map(_size_or_reason, (Path(record["file_name"]) for record in present))
        for record, size in zip(
            present, tqdm(answers, name, len(present), unit="img", disable=None, leave=False)
        ):
            labelled = record["height"], record["width"]
            if isinstance(size, str):
                yield size
            elif all(labelled) and size != labelled:
                yield "{}: {} x {} pixels, the labels say {} x {}".format(
                    record["file_name"], *size, *labelled
                )
            else:
                sizes.add(size)
    if sizes:
        heights, widths = zip(*sizes)
        print(
            f"{name}: headers read, height {min(heights)} to {max(heights)}, width {min(widths)} "
            f"to {max(widths)}"
        )


def _size_or_reason(path: Path) -> tuple[int, int] | str:
    try:
        return image_size(path)
    except ImageReadError as error:
        return str(error)


def shortened(faults: Iterator[str], statement: str) -> Iterator[str]:
    """Yield the first `SHOWN_FAULTS` faults, and one line with the number of the others."""
    yield from islice(faults, SHOWN_FAULTS)
    more = sum(1 for _ in faults)
    if more:
        yield f"{more} more {statement}"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command. Returns: 0, or 2 for a fault or a user's mistake."""
    return run_command(lambda: run(parser().parse_args(argv)))


if __name__ == "__main__":
    sys.exit(main())
