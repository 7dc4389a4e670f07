"""Results of detectors that were trained on a run's boxes, before and after refinement."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from boxrefine_d2.errors import UserError
from boxrefine_d2.evaluation import corloc
from boxrefine_d2.evaluation.bootstrap import mean_with_interval, paired_gain
from boxrefine_d2.evaluation.detection_evaluator import DETECTIONS_FILE
from boxrefine_d2.evaluation.sources import REFINED
from boxrefine_d2.training.results_file import inference_folder
from boxrefine_d2.training.setup import load_config

from .compared_files import ImageId, read_label_file
from .run_folder import Run, read_json


@dataclass(frozen=True)
class Detector:
    """A detector trained on the boxes of one source.

    Attributes:
        labels: source of the boxes that it learnt from, e.g. "lost".
        steps: number of training steps.
        best_boxes: image id -> (4,) XYXY, half-open, in image pixels; images without a detection
            are absent.
        hits: (N,) bool, True if the best box is on an object, in the order of the run's image ids.
        average_precision: {"ap": ..., "ap50": ...}, percent.
    """

    labels: str
    steps: int
    best_boxes: Mapping[ImageId, Sequence[float]]
    hits: np.ndarray
    average_precision: dict[str, float]

    @property
    def source(self) -> str:
        """Source name of its own boxes, e.g. "lost_cad"."""
        return cad_source(self.labels)


def cad_source(labels: str) -> str:
    """Return the source name of CAD's boxes. Args: labels: source of the boxes it learnt from."""
    return f"{labels}_cad"


def gain_name(labels: str) -> str:
    """Return the key in results.json of the gain of CAD on the boxes it learnt from."""
    return f"{cad_source(labels)}_minus_{labels}"


def read_detectors(folder: Path, run: Run) -> list[Detector]:
    """Read CAD on the rule's boxes before and after refinement.

    Args: folder: folder of the stages that followed `run`.
    Raises: UserError if a stage is missing, or is not of this run.
    """
    stages = {run.rule: folder / "cad", REFINED: folder / "cad_refined"}
    return [_read(stage, labels, run) for labels, stage in stages.items()]


def detector_summary(
    detectors: Sequence[Detector], run: Run, commands: Sequence[str]
) -> dict[str, Any]:
    """Return entry "detectors" of results.json: CorLoc, AP, and the gains of CAD.

    All numbers are of one seed, on the first test dataset. Intervals are over its images, and
    gains are paired.

    Args: commands: the command lines of the stages.
    Returns: {} if there are no detectors.
    """
    if not detectors:
        return {}
    before = next(iter(run.hits.values())).by_source
    sources: dict[str, dict[str, Any]] = {}
    gain: dict[str, dict[str, Any]] = {}
    for detector in detectors:
        learnt_from = before[detector.labels]
        sources[detector.labels] = {"corloc": mean_with_interval([learnt_from]).to_json()}
        score_of_cad = mean_with_interval([detector.hits]).to_json()
        sources[detector.source] = {"corloc": score_of_cad, **detector.average_precision}
        gain[gain_name(detector.labels)] = paired_gain([learnt_from], [detector.hits]).to_json()
    return {
        "seed": run.seed,
        "steps": detectors[0].steps,
        "sources": sources,
        "gain": gain,
        "commands": list(commands),
    }


def _read(stage: Path, labels: str, run: Run) -> Detector:
    dataset, run_hits = next(iter(run.hits.items()))
    results = read_json(stage / "results.json")
    metrics = results["datasets"].get(dataset, {})
    path = inference_folder(stage, dataset) / DETECTIONS_FILE
    images = read_label_file(str(path)).images
    best = {image_id: image.boxes[0].xyxy for image_id, image in images.items() if image.boxes}
    score = corloc(best, run.gt_boxes(dataset))
    same = list(score.hits) == run_hits.image_ids and results["seed"] == run.seed
    if not same or not np.isclose(score.percent, metrics.get("corloc", np.nan)):
        raise UserError(
            f"{path} is not of a detector that followed {run.folder}: its CorLoc is "
            f"{score.percent}, results.json beside it has {metrics.get('corloc')}; remove "
            f"{stage.parent} and repeat the demo"
        )
    steps = load_config(str(stage / "config.yaml"), []).SOLVER.MAX_ITER
    hits = np.array(list(score.hits.values()))
    return Detector(labels, steps, best, hits, {name: metrics[name] for name in ("ap50", "ap")})
