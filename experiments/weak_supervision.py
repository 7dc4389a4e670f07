"""The measurements and the page docs/results/weak_supervision.md.

    python experiments/weak_supervision.py --run [WORLD/TRAINING ...]   # run all or the named ones
    python experiments/weak_supervision.py --quick                      # 20 minutes
    python experiments/weak_supervision.py                              # write the page alone

Each training of weak_supervision.yaml learns from the training images of a rendered world, and its
sources of boxes are scored on the test images; the validation images choose the thresholds. The
stages are a pipeline; completed stages are skipped. The results are kept in
experiments/weak_supervision/WORLD.json.
"""

import argparse
import json
import shlex
import sys
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from kept_results import commit
from localization_scores import THRESHOLDS, Scores, centred_box, pxap, pxap_gain, scores_of
from weak_supervision_page import IOU_OF, KEPT, Settings, kept_results, page

from boxrefine_d2.errors import CommandParser, UserError, run_command
from boxrefine_d2.evaluation import write_json
from boxrefine_d2.evaluation.bootstrap import paired_gain
from boxrefine_d2.files.safe_yaml import read_yaml
from boxrefine_d2.files.shipped import shipped_tools
from boxrefine_d2.training.results_file import inference_folder
from boxrefine_d2.workflow import plan_of_stages, run_plan

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "results" / "weak_supervision.md"
USUAL_OUTPUT = "output/weak_supervision"  # in kept commands


def settings() -> Settings:
    """Return the content of weak_supervision.yaml."""
    content: Settings = read_yaml(HERE / "weak_supervision.yaml", "settings file")
    return content


def needed(everything: Settings, name: str) -> list[str]:
    """Return the trainings whose folders a training reads, the first to run first."""
    texts = " ".join(map(str, everything["trainings"][name].get("opts", {}).values()))
    found = [other for other in everything["trainings"] if f"{{{other}}}" in texts]
    return [each for other in found for each in (*needed(everything, other), other)]


def stages_of(everything: Settings, world: str, name: str, seed: int) -> list[dict[str, Any]]:
    """Return the stages of a training with one seed, after those that it needs."""
    stages, images = [], everything["worlds"][world]
    for each in dict.fromkeys([*needed(everything, name), name]):
        about = everything["trainings"][each]
        flag = "--resume" if about.get("learns", True) else "--eval-only"
        words = ["train_net.py", "--config-file", about["config"], flag, "SEED", str(seed)]
        train = about.get("train", images["train"])
        words += ["OUTPUT_DIR", "{here}", "DATASETS.TRAIN", f"('{train}',)"]
        tests = tuple(images[split] for split in splits_of(about)) if about["sources"] else ()
        words += ["DATASETS.TEST", str(tests)]
        if about["sources"]:
            words += ["LOCALIZATION.SOURCES", str(about["sources"])]
        for key, value in about.get("opts", {}).items():
            text = str(value).replace("{seed}", str(seed))
            for other in everything["trainings"]:
                text = text.replace(f"{{{other}}}", f"{{{other}_{seed}}}")
            words += [key, text]
        stages.append({"name": f"{each}_{seed}", "run": shlex.join(words), "makes": "results.json"})
    return stages


def splits_of(about: Settings) -> tuple[str, ...]:
    """Return the parts of a world that a training is scored on."""
    return ("val", "test") if about.get("chooses_threshold", True) else ("test",)


@cache
def scores(folder: Path, spec: str, source: str) -> Scores:
    """Return the scores of a source of a run on a data set."""
    return scores_of(inference_folder(folder, spec) / source, spec)


def run_training(everything: Settings, world: str, name: str, seeds: int, output: Path) -> None:
    """Run a training on a world and keep its results. Raises: UserError if a stage failed."""
    about, images = everything["trainings"][name], everything["worlds"][world]
    kept: dict[str, Any] = {"commit": commit(), "seeds": {}}
    for seed in range(min(seeds, about["seeds"])):
        stages = stages_of(everything, world, name, seed)
        plan = plan_of_stages(stages, output / world, {}, "weak_supervision.yaml")
        if run_plan(plan, shipped_tools(), partial(print, flush=True)):
            raise UserError(f"a stage on {world} failed; see the messages above")
        if seed == 0:
            kept["command"] = shlex.join(plan[-1].command).replace(str(output), USUAL_OUTPUT)
        folder = output / world / f"{name}_{seed}"
        results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
        own: dict[str, Any] = {"sources": {}}
        own |= {key: results["record"].get(key) for key in ("map_checks", "kept_iteration")}
        for words in about["sources"]:
            source = "_".join(words)
            test = scores(folder, images["test"], source)
            own["sources"][source] = {
                "file": {str(iou): text_of(test.hits("file", iou, 0)) for iou in IOU_OF.values()},
                "own_threshold": 100 * float(test.of_map[:, :, 0].any(axis=0).mean()),
                "pxap": pxap(test.pixels.sum(axis=0)) if test.pixels.any() else None,
                "metrics": results["datasets"][images["test"]][source],
            }
            if "val" in splits_of(about):
                threshold = scores(folder, images["val"], source).best_threshold()
                own["sources"][source] |= {
                    "threshold": float(THRESHOLDS[threshold]),
                    "map": {
                        str(iou): text_of(test.hits("map", iou, threshold))
                        for iou in IOU_OF.values()
                    },
                }
        kept["seeds"][str(seed)] = own
    keep(world, name, kept)


def text_of(hits: np.ndarray) -> str:
    """Return hits as a text of 0 and 1."""
    return "".join(str(int(hit)) for hit in hits)


def keep(world: str, name: str, results: dict[str, Any]) -> None:
    """Keep the results of a training beside the others of its world."""
    path = KEPT / f"{world}.json"
    content = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    write_json(path, content | {name: results})


def judge(everything: Settings, world: str, claim: Settings, output: Path) -> Settings | None:
    """Return the difference of a claim on a world, with its interval; None without its runs."""
    images, trainings = everything["worlds"][world], everything["trainings"]
    kept = kept_results(everything).get(world, {})
    names = [name.split("/")[0] for name in (*claim["better"], *claim["worse"])]
    if any(name not in kept for name in names):
        return None
    seeds = min(len(kept[name]["seeds"]) for name in names)

    def measured(place: str) -> tuple[float, list[Any]]:
        """Return the score on validation images, and the test values of each seed."""
        name, source = place.split("/")
        assert name in trainings
        on_val, on_test = [], []
        for seed in range(seeds):
            folder = output / world / f"{name}_{seed}"
            test = scores(folder, images["test"], source)
            if claim["of"] == "file":
                on_test.append(test.hits("file", IOU_OF[claim["metric"]], 0))
                continue
            val = scores(folder, images["val"], source)
            threshold = val.best_threshold()
            if claim["metric"] == "pxap":
                on_val.append(pxap(val.pixels.sum(axis=0)))
                on_test.append(test.pixels)
                continue
            iou, of = IOU_OF[claim["metric"]], claim["of"]
            if of == "best":
                of = "file" if source.endswith(("sgrm", "above_mean")) else "map"
            on_val.append(float(val.hits(of, iou, threshold).mean()))
            on_test.append(test.hits(of, iou, threshold))
        return float(np.mean(on_val or [0.0])), on_test

    better, worse = (
        max((measured(place) for place in claim[side]), key=lambda pair: pair[0])
        for side in ("better", "worse")
    )
    gain = pxap_gain if claim["metric"] == "pxap" else paired_gain
    return {"seeds": seeds, **gain(worse[1], better[1]).to_json()}


def work(args: argparse.Namespace) -> None:
    """Run the trainings if the arguments ask for it, judge the claims, and write the page."""
    everything = settings()
    known = [
        f"{world}/{name}"
        for name, about in everything["trainings"].items()
        for world in about["worlds"]
    ]
    unknown = set(args.run or []) - set(known)
    if unknown:
        raise UserError(f"no training {min(unknown)!r}; known: {', '.join(known)}")
    if args.run is not None or args.quick:
        for place in everything["quick"] if args.quick else args.run or known:
            world, name = place.split("/")
            run_training(everything, world, name, 1 if args.quick else args.seeds, args.output)
            images = everything["worlds"][world]
            keep(world, "centred_box", centred_box(images["val"], images["test"]))
        judged = {
            f"{number}/{world}": judge(everything, world, claim, args.output)
            for number, claim in enumerate(everything["claims"])
            for world in claim["worlds"]
        }
        write_json(KEPT / "claims.json", {name: one for name, one in judged.items() if one})
    PAGE.write_text(page(everything), encoding="utf-8")


def main() -> int:
    """Run the command and return its exit code."""
    parser = CommandParser(prog="weak_supervision.py", description=__doc__)
    parser.add_argument("--run", nargs="*", metavar="WORLD/TRAINING", help="run these first")
    parser.add_argument("--quick", action="store_true", help="run one seed of the quick set")
    parser.add_argument("--seeds", type=int, default=3, help="largest number of seeds")
    parser.add_argument("--output", type=Path, default=Path(USUAL_OUTPUT), metavar="DIR")
    args = parser.parse_args()
    return run_command(lambda: work(args))


if __name__ == "__main__":
    sys.exit(main())
