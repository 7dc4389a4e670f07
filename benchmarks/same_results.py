"""Check of a code change: same bytes of pseudo-labels, same losses of every training.

Record before and after the change, each from the root of its checkout, and compare the records:

    PYTHONPATH=. python benchmarks/same_results.py record output/before.json
    PYTHONPATH=. python benchmarks/same_results.py compare before.json after.json

The script uses only command lines and file formats, and therefore runs on any version. It needs the
extra `grounding`.
"""

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

IMAGES = "scenes:val+first=6"
TRAIN = "scenes:train+first=32"
SHIPPED = ("dino_mini", "found_mini")  # networks whose weights are in the package
STEPS = 20
LOSS_TOLERANCE = 1e-6  # relative
MAIN_LOG = ("metrics.json", "results.json")

# name -> method, options of discover.py
RULES: dict[str, tuple[str, ...]] = {
    "lost": ("lost",),
    "tokencut": ("tokencut",),
    "tokencut_bilateral": ("tokencut", "--set", "bilateral=True"),
    "maskcut": ("maskcut", "--set", "crf=False"),
    "dino_seg": ("dino_seg", "--set", "head=0"),
    "ensemble": ("ensemble",),
    "representer": ("representer",),
    "move": ("move", "--backbone", "move_mini"),
    "found": ("found", "--backbone", "found_mini"),
    "lost_of_cnn": ("lost", "--backbone", "dino_resnet50", "--max-side", "160"),
}
_REFINE = ("REFINE.WARMUP_ITERS", "10", "REFINE.RECORD_IMAGES", "2", "REFINE.DRIFT.IMAGES", "4")
_DETECTOR = ("SOLVER.WARMUP_ITERS", "5", "SOLVER.STEPS", "()", "SOLVER.AMP.ENABLED", "False")
# name -> configuration, KEY VALUE pairs; {labels} and {masks} are pseudo-labels of TRAIN
TRAININGS: dict[str, tuple[str, ...]] = {
    "refine_lost": ("configs/demo/lost_refine.yaml", *_REFINE, "REFINE.REFINE_ITERS", "5"),
    "refine_tokencut": (
        *("configs/demo/lost_refine.yaml", *_REFINE, "REFINE.REFINE_ITERS", "5"),
        *("DISCOVERY.NAME", "tokencut", "MODEL.MAP_DETECTOR.INPUT", "keys_as_image"),
    ),
    "refine_move": (
        *("configs/demo/lost_refine.yaml", *_REFINE, "REFINE.REFINE_ITERS", "5"),
        *("DISCOVERY.NAME", "move", "MODEL.MAP_NETWORK.NAME", "move_mini", "REFINE.REG_ON", "mask"),
        *("MODEL.MAP_NETWORK.WEIGHTS", "random:0"),
    ),
    "cad": ("configs/demo/cad.yaml", *_DETECTOR, "DATASETS.TRAIN", "('{train}+pseudo={labels}',)"),
    "cutler": (
        *("configs/demo/cutler.yaml", *_DETECTOR),
        *("DATASETS.TRAIN", "('{train}+pseudo={masks}',)"),
    ),
    "semi_supervised": (
        *("configs/demo/semi_supervised.yaml", *_DETECTOR, "MODEL.WEIGHTS", "resnet_mini"),
        *("MODEL.ROI_HEADS.NUM_CLASSES", "12", "MODEL.MASK_ON", "False"),
    ),
    "dino": ("configs/pretrain/dino_mini.yaml", "SOLVER.WARMUP_ITERS", "5"),
    "mae": ("configs/pretrain/mae_mini.yaml", "SOLVER.WARMUP_ITERS", "5"),
    "found": ("configs/pretrain/found_mini.yaml", "PRETRAIN.FOUND.SEED_STEPS", "10"),
    "move": (
        *("configs/pretrain/move_mini.yaml", "PRETRAIN.INPAINTER.WEIGHTS", "random:0"),
        *("PRETRAIN.MOVE.BINARISE_STEPS", "5"),
    ),
    "trunk": ("configs/pretrain/resnet_mini.yaml", "SOLVER.WARMUP_ITERS", "5"),
    "clip": ("configs/pretrain/clip_mini.yaml", "SOLVER.WARMUP_ITERS", "5"),
    "heatmap": ("configs/demo/grounding_train.yaml", "SOLVER.WARMUP_ITERS", "5"),
    "refine_heatmap": ("configs/demo/grounding_refine.yaml", "REFINE.WARMUP_ITERS", "10"),
}


def main() -> int:
    """Run the command; return 1 if a result differs or a part of a record fails."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    verbs = parser.add_subparsers(dest="verb", required=True)
    record = verbs.add_parser("record", help="run every rule and training and record the results")
    record.add_argument("output", metavar="FILE.json", type=Path, help="file for the record")
    record.add_argument("--seeds", default="0,1,2", help="comma-separated (default: %(default)s)")
    record.add_argument(
        "--only",
        action="append",
        metavar="NAME",
        help="record only parts whose name contains NAME; may be repeated",
    )
    compare = verbs.add_parser("compare", help="print a table of two records")
    compare.add_argument("before", type=Path, help="record made before the change")
    compare.add_argument("after", type=Path, help="record made after the change")
    args = parser.parse_args()
    if args.verb == "compare":
        return _compare(json.loads(args.before.read_text()), json.loads(args.after.read_text()))
    seeds = [int(seed) for seed in args.seeds.split(",")]
    return _record(args.output, seeds, args.only or [""])


def _record(output: Path, seeds: list[int], only: list[str]) -> int:
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for name, run in _parts(seeds, Path(scratch)):
            if any(part in name for part in only):
                start = time.perf_counter()
                results[name] = run()
                outcome = results[name].get("error") or f"{time.perf_counter() - start:.0f} s"
                print(f"{name}: {outcome}", flush=True)
                output.parent.mkdir(parents=True, exist_ok=True)
                output.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")
    return int(any("error" in values for values in results.values()))


def _parts(seeds: list[int], scratch: Path) -> Iterator[tuple[str, Callable[[], dict[str, Any]]]]:
    for name, (method, *options) in RULES.items():
        backbone = (
            options[options.index("--backbone") + 1] if "--backbone" in options else "dino_mini"
        )
        shipped = ["shipped"] if backbone in SHIPPED else []
        for weights in (*shipped, *(f"random:{seed}" for seed in seeds)):
            yield (
                f"discover {name} {weights}",
                lambda m=method, o=options, w=weights: _discover(m, o, w, scratch / "labels.json"),
            )
    for name, (config, *pairs) in TRAININGS.items():
        for seed in seeds:
            yield (
                f"train {name} seed {seed}",
                lambda c=config, p=pairs, s=seed: _train(c, p, s, scratch),
            )
    yield "evaluate what_is_where", lambda: _describe_images(scratch / "look")


def _discover(method: str, options: list[str], weights: str, output: Path) -> dict[str, Any]:
    output.unlink(missing_ok=True)
    backbone = () if "--backbone" in options else ("--backbone", "dino_mini")
    weight_options = () if weights == "shipped" else ("--weights", weights)
    command = ["tools/discover.py", "--method", method, "--data", IMAGES, "--output", str(output)]
    if error := _run([*command, *backbone, *options, *weight_options, "--num-workers", "0"]):
        return {"error": error}
    content = json.loads(output.read_text())
    content["info"].pop("version", None)
    boxes = len(content["annotations"])
    text = json.dumps(content, sort_keys=True)
    text = re.sub(r"boxrefine_d2\.[\w.]+", "boxrefine_d2", text)  # paths of classes
    return {"sha256": hashlib.sha256(text.encode()).hexdigest(), "boxes": boxes}


def _train(config: str, pairs: list[str], seed: int, scratch: Path) -> dict[str, Any]:
    labels = {"train": TRAIN, "labels": scratch / "lost.json", "masks": scratch / "maskcut.json"}
    for method, path in (("lost", labels["labels"]), ("maskcut", labels["masks"])):
        if f"{path}" in " ".join(pairs).format(**labels) and not Path(path).exists():
            command = ["tools/discover.py", "--method", method, "--data", TRAIN]
            command += RULES[method][1:]
            if error := _run([*command, "--backbone", "dino_mini", "--output", str(path)]):
                return {"error": error}
    folder = scratch / "run"
    subprocess.run(["rm", "-rf", str(folder)], check=True)
    own = [pair.format(**labels) for pair in pairs]
    train = [] if "DATASETS.TRAIN" in own else ["DATASETS.TRAIN", f"('{TRAIN}',)"]
    common = ["DATASETS.TEST", "()", "SOLVER.MAX_ITER", str(STEPS), "SOLVER.IMS_PER_BATCH", "4"]
    common += ["LOG_PERIOD", "1", "SEED", str(seed), "OUTPUT_DIR", str(folder)]
    common += ["DATALOADER.NUM_WORKERS", "0", "TEST.EVAL_PERIOD", "0"]
    if error := _run(["tools/train_net.py", "--config-file", config, *common, *train, *own]):
        return {"error": error}
    lines = [json.loads(line) for line in (folder / "metrics.json").read_text().splitlines()]
    losses = {
        f"{line['iteration']} {key}": value
        for line in lines
        for key, value in line.items()
        if "loss" in key
    }
    return {"losses": losses} if losses else {"error": "no loss in metrics.json"}


def _describe_images(folder: Path) -> dict[str, Any]:
    pairs = ["DATASETS.TEST", f"('{IMAGES}',)", "OUTPUT_DIR", str(folder)]
    config = "configs/demo/what_is_where.yaml"
    if error := _run(["tools/train_net.py", "--config-file", config, "--eval-only", *pairs]):
        return {"error": error}
    results = json.loads((folder / "results.json").read_text())
    return {"losses": dict(_numbers(results.get("metrics", results)))}


def _numbers(value: Any, name: str = "") -> Iterator[tuple[str, float]]:
    if isinstance(value, dict):
        for key, child in value.items():
            yield from _numbers(child, f"{name} {key}".strip())
    elif isinstance(value, (int, float)) and "second" not in name:
        yield name, value


def _run(command: list[str]) -> str:
    """Run a command and return the line of its error, or an empty string."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, env=environment, check=False
    )
    last = (done.stderr or done.stdout).strip().splitlines()[-1:]
    return "" if done.returncode == 0 else f"exit {done.returncode}: {''.join(last)}"


def _compare(before: dict[str, Any], after: dict[str, Any]) -> int:
    same = True
    for name in sorted(before.keys() | after.keys()):
        one, two = before.get(name), after.get(name)
        verdict = "only in one record" if one is None or two is None else _difference(one, two)
        same &= verdict.startswith("same")
        print(f"{name:44} {verdict}")
    return 0 if same else 1


def _difference(one: dict[str, Any], two: dict[str, Any]) -> str:
    if "error" in one or "error" in two:
        return f"failed: {one.get('error')} / {two.get('error')}"
    if "sha256" in one:
        return f"same bytes, {one['boxes']} boxes" if one == two else "DIFFERENT bytes"
    first, second = one["losses"], two["losses"]
    if first.keys() != second.keys():
        return f"DIFFERENT losses: {sorted(first.keys() ^ second.keys())[:4]}"
    worst = max(abs(first[k] - second[k]) / max(1.0, abs(first[k])) for k in first)
    verdict = "same" if worst <= LOSS_TOLERANCE else "DIFFERENT"
    return f"{verdict} {len(first)} numbers, apart by {worst:.1e}"


if __name__ == "__main__":
    sys.exit(main())
