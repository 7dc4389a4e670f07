"""What a training run left in its OUTPUT_DIR, read back."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog
from torch import Tensor

from boxrefine_d2.data import register_spec
from boxrefine_d2.engine import inference_folder, load_config
from boxrefine_d2.errors import UserError
from boxrefine_d2.evaluation import GroundTruth

REFINED, DETECTOR = "refined", "h"  # sources of boxes beside the rule on f before


@dataclass(frozen=True)
class ImageHits:
    """Which images were hit: the image ids, and source ("lost", "h", "refined") -> (N,) bool in their order."""

    image_ids: list[Any]
    by_source: dict[str, np.ndarray]


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        results: its results.json.
        hits: test data set -> `ImageHits`, in the order of DATASETS.TEST.
    """

    folder: Path
    cfg: CfgNode
    results: dict[str, Any]
    hits: dict[str, ImageHits]

    @property
    def seed(self) -> int:
        """SEED of the configuration."""
        return self.cfg.SEED

    @property
    def rule(self) -> str:
        """The discovery rule, which is also the source name of its boxes before refinement."""
        return self.cfg.DISCOVERY.NAME

    def gt_boxes(self, dataset: str) -> dict[Any, Tensor]:
        """Image id -> (N, 4) XYXY, half-open, in image pixels: what the boxes on a test data set are scored against."""
        records = DatasetCatalog.get(register_spec(dataset))
        rounds = MetadataCatalog.get(dataset).get("corloc_rounds_boxes", False)
        protocol = self.cfg.TEST.CORLOC_PROTOCOL
        return GroundTruth(dataset, records, protocol=protocol, rounds_boxes=rounds).boxes()


def read_run(folder: str | Path) -> Run:
    """The run in `folder`.

    Raises: UserError if it is not there, not finished, without test data, or its files are of different runs.
    """
    folder = Path(folder)
    results = read_json(folder / "results.json")
    config = folder / "config.yaml"
    if not config.is_file():
        raise UserError(f"{folder} holds no config.yaml: it is no OUTPUT_DIR of train_net.py")
    cfg = load_config(str(config), [])
    if not cfg.DATASETS.TEST:
        raise UserError(f"the run in {folder} was tested on nothing; set DATASETS.TEST")
    hits = {name: _read_hits(folder, name, results) for name in cfg.DATASETS.TEST}
    return Run(folder, cfg, results, hits)


def read_metrics(folder: str | Path) -> list[dict[str, float]]:
    """The lines of metrics.json in order of their iteration.

    A resumed run repeats iterations and may leave a line that was being written: of equal iterations the last value
    counts, and what is no whole line is passed over.
    """
    rows: dict[int, dict[str, float]] = {}
    path = Path(folder) / "metrics.json"
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue
        rows.setdefault(row["iteration"], {}).update(row)
    return [rows[iteration] for iteration in sorted(rows)]


def read_json(path: Path) -> Any:
    """A file that a finished run has. Raises: UserError if it is not there or cannot be read."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(
            f"no {path.name} in {path.parent}: no finished run is there; train_net.py writes it at its end"
        ) from error
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {path}: {error}") from error


def _read_hits(folder: Path, dataset: str, results: dict[str, Any]) -> ImageHits:
    path = inference_folder(folder, dataset) / "corloc_per_image.json"
    rows = read_json(path)
    by_source = {source: np.array([bool(hit) for _, hit in row]) for source, row in rows.items()}
    percents = results["datasets"].get(dataset, {}).get("corloc", {})
    found = {source: 100 * float(hits.mean()) for source, hits in by_source.items()}
    if percents.keys() != found.keys() or not all(
        np.isclose(percents[source], found[source]) for source in found
    ):
        raise UserError(
            f"{path} is not of the run in {folder}: its CorLoc is {found}, results.json has {percents}; repeat the run"
        )
    ids = [image_id for image_id, _ in next(iter(rows.values()))]
    return ImageHits(ids, by_source)
