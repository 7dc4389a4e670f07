"""How long one round of self-training takes to merge its labels, and what memory, at two sizes.

    python benchmarks/merge_labels.py [--images 100000]

Every image has three old masks and three predictions, ellipses of all sizes in 480 x 640 pixels. Each merge is a process
of its own, `tools/edit_labels.py merge`; its peak memory is that of the process, imports and all.
"""

import os
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

from boxrefine_d2.data import write_pseudo_labels
from boxrefine_d2.errors import CommandParser, run_command

HEIGHT, WIDTH = 480, 640
KINDS, EACH = 12, 3  # so few that many predictions meet an old label
EDIT = Path(__file__).parents[1] / "tools" / "edit_labels.py"


def ellipses(count: int) -> list[dict[str, Any]]:
    """Masks and boxes of filled ellipses, the same ones each time."""
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
    """A label file of that many images."""
    draw = np.random.default_rng(seed)
    kinds = ellipses(KINDS)

    def annotations() -> Iterator[dict[str, Any]]:
        for image in range(1, images + 1):
            for kind in draw.choice(KINDS, EACH, replace=False).tolist():
                yield kinds[kind] | {"image_id": image, "score": round(float(draw.random()), 3)}

    listed = [
        {"id": i, "file_name": f"{i}.jpg", "height": HEIGHT, "width": WIDTH}
        for i in range(1, images + 1)
    ]
    write_pseudo_labels(path, images=listed, annotations=annotations(), info={})


def merge(old: Path, new: Path, output: Path) -> tuple[float, float]:
    """Seconds and peak MiB of the command."""
    command = [sys.executable, EDIT, "merge", "--old", old, "--new", new, "--output", output]
    start = time.perf_counter()
    process = subprocess.Popen([*command, "--min-score", "0.5"], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return time.perf_counter() - start, usage.ru_maxrss / 1024


def run(images: int) -> None:
    """Prints a line for a tenth of the images, and one for all."""
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / name for name in ("old.json", "new.json", "merged.json")]
        for count in (images // 10, images):
            for seed, path in enumerate(files[:2]):
                write_labels(path, count, seed)
            seconds, peak = merge(*files)
            print(f"{count} images: {seconds:.1f} s, peak {peak:.0f} MiB")


def main() -> int:
    """The command."""
    parser = CommandParser(prog="merge_labels.py", description=__doc__)
    parser.add_argument("--images", type=int, default=100_000, metavar="N")
    args = parser.parse_args()
    return run_command(lambda: run(args.images))


if __name__ == "__main__":
    sys.exit(main())
