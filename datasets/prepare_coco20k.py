"""Puts the list of COCO20k into place: `python datasets/prepare_coco20k.py --list FILE [--root DIR]`.

FILE is datasets/coco_20k_filenames.txt of the LOST repository (the one of TokenCut is the same),
lines such as train2014/COCO_train2014_000000123456.jpg. Its MD5 sum is checked, and that all its
images are below ROOT/coco; then it becomes ROOT/coco/coco20k.txt. Nothing is downloaded.

Exit codes: 0 done; 2 what was given is wrong, said in one line on stderr.
"""

import argparse
import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path

from boxrefine_d2.data.datasets.coco20k import LIST_MD5, LIST_NAME
from boxrefine_d2.data.datasets.registered import datasets_root
from boxrefine_d2.errors import CommandParser, UserError, run_command
from boxrefine_d2.files.atomic import atomic_binary_file


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = CommandParser(
        prog="prepare_coco20k.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--list", required=True, type=Path, metavar="FILE")
    parser.add_argument(
        "--root", type=Path, metavar="DIR", help="default: $DETECTRON2_DATASETS, or datasets"
    )
    parser.add_argument(
        "--any-list",
        action="store_true",
        help="take a list with another MD5 sum; the name coco20k does not load it",
    )
    return parser


def run(args: argparse.Namespace) -> None:
    """Checks the list and its images, and writes the list."""
    coco = (args.root or datasets_root()) / "coco"
    content = read_list(args.list, any_list=args.any_list)
    names = content.decode("utf-8", errors="replace").split()
    if not names:
        raise UserError(f"--list {str(args.list)!r} names no image")
    missing = [name for name in names if not (coco / name).is_file()]
    if missing:
        raise UserError(
            f"{len(missing)} of the {len(names)} images in {str(args.list)!r} are not there, "
            f"first {str(coco / missing[0])!r}; unpack COCO's train2014 there, or name its folder with --root"
        )
    with atomic_binary_file(coco / LIST_NAME) as file:
        file.write(content)
    print(f"{coco / LIST_NAME}: {len(names)} images, all there")


def read_list(path: Path, *, any_list: bool) -> bytes:
    """The list, byte for byte. Raises: UserError if it cannot be read, or is not the published one."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read --list {str(path)!r}: {error.strerror}") from error
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if found == LIST_MD5:
        return content
    what = f"{str(path)!r} is not the published list of COCO20k: MD5 {found}, expected {LIST_MD5}"
    if not any_list:
        raise UserError(f"{what}; --any-list takes it all the same")
    print(
        f"note: {what}; taken because of --any-list. The name coco20k refuses it: "
        "numbers on it are not those of COCO20k, write a subset as coco:JSON:DIR",
        file=sys.stderr,
    )
    return content


def main(argv: Sequence[str] | None = None) -> int:
    """The command; 0, or 2 for a user's mistake."""
    return run_command(lambda: run(parser().parse_args(argv)))


if __name__ == "__main__":
    sys.exit(main())
