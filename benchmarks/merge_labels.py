"""Time and peak memory of merging the labels of one round of self-training, at two sizes.

    python benchmarks/merge_labels.py [--images 100000]

Every image has 480 x 640 pixels, three old masks and three predictions. Each mask is one of twelve
ellipses. Each merge runs `tools/edit_labels.py merge` in a process of its own. The peak memory is
that of the whole process, imports included.
"""

import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from pycocotools import mask as mask_codec

from boxrefine_d2.data.pseudo_label_file import write_ordered_pseudo_labels
from boxrefine_d2.errors import CommandParser, run_command

HEIGHT, WIDTH = 480, 640
KINDS, EACH = 12, 3  # few kinds, because many predictions must overlap an old label
EDIT = Path(__file__).parents[1] / "tools" / "edit_labels.py"
# This program runs a script and prints its own peak memory at the end. The peak that the system
# reports for a child process may be its parent's.
WATCHED = """
import atexit, runpy, sys
atexit.register(lambda: print(open("/proc/self/status").read()))
runpy.run_path(sys.argv.pop(1), run_name="__main__")
"""


def ellipses(count: int) -> list[dict[str, Any]]:
    """Return masks and boxes of filled ellipses, the same at each call."""
    draw = np.random.default_rng(0)
    labels = []
    for _ in range(count):
        centre = draw.integers((80, 80), (WIDTH - 80, HEIGHT - 80))
        axes = draw.integers(10, 80, size=2)
        mask = np.zeros((HEIGHT, WIDTH), np.uint8)
        cv2.ellipse(mask, centre.tolist(), axes.tolist(), int(draw.integers(180)), 0, 360, 1, -1)
        rle = mask_codec.encode(np.asfortranarray(mask))
        labels.append({"bbox": mask_codec.toBbox(rle).tolist(), "segmentation": rle})
    return labels


def write_labels(path: Path, images: int, seed: int) -> None:
    """Write a label file of `images` images."""
    draw = np.random.default_rng(seed)
    kinds = ellipses(KINDS)

    def annotations() -> Iterator[dict[str, Any]]:
        for image in range(1, images + 1):
            for kind in draw.choice(KINDS, EACH, replace=False).tolist():
                yield kinds[kind] | {"image_id": image, "score": round(float(draw.random()), 3)}

    listed = (
        {"id": i, "file_name": f"{i}.jpg", "height": HEIGHT, "width": WIDTH}
        for i in range(1, images + 1)
    )
    write_ordered_pseudo_labels(path, images=listed, annotations=annotations(), info={})


def merge(old: Path, new: Path, merged: Path) -> tuple[float, float]:
    """Run the merge and return its seconds and its peak memory in MiB; Linux only."""
    files = ["--old", old, "--new", new, "--output", merged]
    command = [sys.executable, "-c", WATCHED, EDIT, "merge", *files, "--min-score", "0.5"]
    start = time.perf_counter()
    output = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    seconds = time.perf_counter() - start
    (peak,) = re.findall(r"^VmHWM:\s+(\d+) kB$", output, re.MULTILINE)
    return seconds, int(peak) / 1024


def run(images: int) -> None:
    """Print a line for the merge of a tenth of the images, and one for all images."""
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / name for name in ("old.json", "new.json", "merged.json")]
        for count in (images // 10, images):
            for seed, path in enumerate(files[:2]):
                write_labels(path, count, seed)
            seconds, peak = merge(*files)
            print(f"{count} images: {seconds:.1f} s, peak {peak:.0f} MiB")


def main() -> int:
    """Run the command and return its exit code."""
    parser = CommandParser(prog="merge_labels.py", description=__doc__)
    parser.add_argument(
        "--images", type=int, default=100_000, metavar="N", help="images of the larger merge"
    )
    args = parser.parse_args()
    return run_command(lambda: run(args.images))


if __name__ == "__main__":
    sys.exit(main())
