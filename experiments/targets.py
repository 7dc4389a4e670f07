"""Table of choices of pseudo-labels: the images that each keeps, and its precision.

    python experiments/targets.py --data scenes:train+first=60 --output output/targets

A choice is a rule, rules that agree, or a rule that agrees with itself on views of the image. No
choice reads a label; the precision does. For each data set the program writes pseudo-labels with
`boxrefine discover` and `boxrefine edit agree`, and scores the best box of each image. Existing
files are not computed again.
"""

import argparse
import contextlib
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from boxrefine_d2 import cli
from boxrefine_d2.data import load_spec
from boxrefine_d2.errors import CommandParser, UserError, run_command
from boxrefine_d2.evaluation import GroundTruth, evaluate_predictions, read_predictions
from boxrefine_d2.files.atomic import atomic_text_file
from boxrefine_d2.files.names import file_name_of, user_name, user_path
from boxrefine_d2.pseudo_labels.edit import agree_labels

ROOT = Path(__file__).parents[1]
# Name of a file of pseudo-labels -> flags of `boxrefine discover`.
FILES = {
    "lost": ["--method", "lost"],
    "tokencut": ["--method", "tokencut"],
    "absorption": ["--method", "absorption"],
    "maskcut": ["--method", "maskcut", "--set", "n_masks=1", "crf=false"],
    **{
        view: ["--method", "absorption", "--view", view]
        for view in ("mirrored", "scale:0.75", "crop:0.8")
    },
}
VIEWS = ("mirrored", "scale:0.75", "crop:0.8")
# Title of a choice -> the file whose labels are kept, and the files that must agree with it.
CHOICES: dict[str, tuple[str, tuple[str, ...]]] = {
    "lost": ("lost", ()),
    "tokencut": ("tokencut", ()),
    "absorption": ("absorption", ()),
    "maskcut, first mask, without CRF": ("maskcut", ()),
    "lost, where tokencut agrees": ("lost", ("tokencut",)),
    "absorption, where tokencut agrees": ("absorption", ("tokencut",)),
    **{f"absorption, where {view} agrees": ("absorption", (view,)) for view in VIEWS},
    "absorption, where all three views agree": ("absorption", VIEWS),
}


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = CommandParser(prog="targets.py", description=__doc__)
    parser.add_argument(
        "--data", nargs="+", required=True, metavar="SPEC", help="labelled dataset specs"
    )
    parser.add_argument(
        "--backbone", default="dino_mini", help="network behind the map (default: %(default)s)"
    )
    parser.add_argument(
        "--weights", type=user_name, metavar="FILE", help="weights file (default: its own)"
    )
    parser.add_argument(
        "--min-iou", type=float, default=0.5, help="IoU of boxes that agree (default: %(default)s)"
    )
    parser.add_argument(
        "--output",
        type=user_path,
        required=True,
        metavar="DIR",
        help="folder of the pseudo-labels and of table.md",
    )
    return parser


def discover(name: str, data: str, network: Sequence[str], folder: Path) -> Path:
    """Return the pseudo-label file of a name in `FILES`; a missing one is written.

    Raises: UserError if the command fails.
    """
    path = folder / f"{name.replace(':', '_')}.json"
    if not path.exists():
        words = ["discover", *FILES[name], "--data", data, "--output", str(path), *network]
        print(f"boxrefine {shlex.join(words)}", file=sys.stderr)
        with contextlib.redirect_stdout(sys.stderr):
            code = cli.main(words)
        if code:
            raise UserError(f"boxrefine {shlex.join(words)} failed; see its messages above")
    return path


def measure(files: dict[str, Path], choice: str, min_iou: float, truth: GroundTruth) -> str:
    """Return the cell of a choice: the number of images with a label, and the precision.

    Args: files: pseudo-label file of each name in `FILES`.
    """
    kept, others = CHOICES[choice]
    path = files[kept]
    if others:
        names = "+".join(files[name].stem for name in others)
        path = path.with_name(f"{path.stem}~{names}~{min_iou:g}.json")
        try:
            if not path.exists():
                agree_labels(files[kept], [files[x] for x in others], path, min_iou=min_iou)
        except UserError as error:
            if not str(error).startswith("no label is left"):
                raise
            return "0"
    predictions = read_predictions(path)
    images = {entry["image_id"] for entry in predictions.entries}
    precision = evaluate_predictions(truth, predictions, ["precision"]).values["precision"]
    return f"{len(images)}, {precision:.1f} %"


def truth_of(data: str) -> GroundTruth:
    """Return the ground truth of a data set, by the protocol of `boxrefine evaluate`.

    Raises: UserError for a data set without labels.
    """
    dataset = load_spec(data)
    ids, rounds = frozenset(dataset.category_ids), dataset.corloc_rounds_boxes
    truth = GroundTruth(data, dataset.records, ids, "lost", rounds)
    truth.boxes()
    return truth


def commit() -> str:
    """Return the commit of this checkout, and a remark if files differ from it."""
    git = ["git", "-C", str(ROOT)]
    done = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    if done.returncode:
        return "unknown"
    changed = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True)
    return done.stdout.strip() + (", with changes" if changed.stdout.strip() else "")


def run(args: argparse.Namespace, command: str) -> None:
    """Write OUTPUT/table.md, and print it. Args: command: the command, for the table."""
    network = ["--backbone", args.backbone]
    network += [] if args.weights is None else ["--weights", args.weights]
    heads, columns = ["choice"], []
    for data in args.data:
        truth = truth_of(data)
        folder = args.output / file_name_of("_".join(network[1::2])) / file_name_of(data)
        folder.mkdir(parents=True, exist_ok=True)
        files = {name: discover(name, data, network, folder) for name in FILES}
        heads.append(f"`{data}`, {len(truth.records)} images")
        columns.append([measure(files, choice, args.min_iou, truth) for choice in CHOICES])
    rows = [heads, ["---"] * len(heads)]
    rows += [[choice, *cells] for choice, cells in zip(CHOICES, zip(*columns), strict=True)]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    lines += ["", "Each cell: images that keep a label, and the precision of their best box."]
    lines += ["", f"`{command}`, commit {commit()}."]
    with atomic_text_file(args.output / "table.md") as file:
        file.write("\n".join(lines) + "\n")
    print("\n".join(lines))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program and return its exit code."""
    words = sys.argv[1:] if argv is None else list(argv)
    command = f"python experiments/targets.py {shlex.join(words)}"
    return run_command(lambda: run(parser().parse_args(words), command))


if __name__ == "__main__":
    sys.exit(main())
