"""Install COCO20k's list: `python datasets/prepare_coco20k.py --list FILE [--root DIR]`.

FILE is datasets/coco_20k_filenames.txt of the LOST repository; TokenCut's file is the same. Its
lines look like train2014/COCO_train2014_000000123456.jpg. The command checks the file's MD5 sum and
that all its images are below DIR/coco. Then it writes the list to DIR/coco/coco20k.txt. It
downloads nothing.

Exit codes: 0, done; 2, a user's mistake, with one line on stderr.
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
    """Return the parser of the command line."""
    parser = CommandParser(
        prog="prepare_coco20k.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--list", required=True, type=Path, metavar="FILE", help="list of image file names to copy"
    )
    parser.add_argument(
        "--root",
        type=Path,
        metavar="DIR",
        help="folder of the data sets; default: $DETECTRON2_DATASETS, or datasets",
    )
    parser.add_argument(
        "--any-list",
        action="store_true",
        help="accept a list with another MD5 sum; the name coco20k does not load it",
    )
    return parser


def run(args: argparse.Namespace) -> None:
    """Check the list and its images, and write the list."""
    coco = (args.root or datasets_root()) / "coco"
    content = read_list(args.list, any_list=args.any_list)
    names = content.decode("utf-8", errors="replace").split()
    if not names:
        raise UserError(f"--list {str(args.list)!r} names no image")
    missing = [name for name in names if not (coco / name).is_file()]
    if missing:
        raise UserError(
            f"{len(missing)} of the {len(names)} images in {str(args.list)!r} are not there, "
            f"first {str(coco / missing[0])!r}; unpack COCO's train2014 there, or name its folder "
            "with --root"
        )
    with atomic_binary_file(coco / LIST_NAME) as file:
        file.write(content)
    print(f"{coco / LIST_NAME}: {len(names)} images, all there")


def read_list(path: Path, *, any_list: bool) -> bytes:
    """Return the list's bytes. Raises: UserError if it is unreadable or not the published one."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read --list {str(path)!r}: {error.strerror}") from error
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if md5 == LIST_MD5:
        return content
    fault = f"{str(path)!r} is not the published list of COCO20k: MD5 {md5}, expected {LIST_MD5}"
    if not any_list:
        raise UserError(f"{fault}; --any-list accepts it")
    print(
        f"note: {fault}; accepted because of --any-list. The name coco20k refuses it, because "
        "numbers on it are not those of COCO20k; name a subset as coco:JSON:DIR",
        file=sys.stderr,
    )
    return content


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command. Returns: 0, or 2 for a user's mistake."""
    return run_command(lambda: run(parser().parse_args(argv)))


if __name__ == "__main__":
    sys.exit(main())
