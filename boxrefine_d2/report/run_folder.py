"""Results of a training run, read from its OUTPUT_DIR."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog
from torch import Tensor

from boxrefine_d2.data import register_spec
from boxrefine_d2.errors import UserError
from boxrefine_d2.evaluation import GroundTruth
from boxrefine_d2.files import inputs
from boxrefine_d2.files.inputs import read_lines
from boxrefine_d2.files.values import is_id, is_number, is_whole
from boxrefine_d2.training.results_file import inference_folder
from boxrefine_d2.training.setup import load_config

_RECORDED = {
    "version": str,
    "weights": dict,
    "record": dict,
}  # keys of results.json that a page needs
METRIC_TITLES = {"corloc": "CorLoc", "pointing": "pointing accuracy", "box_acc": "box accuracy"}


@dataclass(frozen=True)
class ImageHits:
    """Hits on the images of a dataset.

    Attributes:
        image_ids: ids of the N images.
        by_source: source ("lost", "h", "refined") -> (N,) bool in their order.
    """

    image_ids: list[Any]
    by_source: dict[str, np.ndarray]


@dataclass(frozen=True)
class FinishedRun:
    """Finished run of any job.

    Attributes: results: its results.json.
    """

    folder: Path
    cfg: CfgNode
    results: dict[str, Any]

    @property
    def seed(self) -> int:
        """SEED of the configuration."""
        seed: int = self.cfg.SEED
        return seed

    def check_tested(self) -> None:
        """Refuse a run without test data. Raises: UserError."""
        if not self.cfg.DATASETS.TEST:
            raise UserError(f"the run in {self.folder} has no test data; set DATASETS.TEST")

    def check_recorded(self) -> None:
        """Refuse a results.json that lacks facts that a page needs. Raises: UserError."""
        for key, kind in _RECORDED.items():
            if not isinstance(self.results.get(key), kind):
                raise UserError(f"results.json in {self.folder} lacks {key!r}; repeat the run")

    def check_percents(
        self, path: Path, computed: dict[str, float], metric: str, name: str
    ) -> None:
        """Compare the percentages of a file of hits with results.json.

        Args:
            computed: source -> percentage in the file.
            metric: metric on dataset `name`.
        Raises: UserError if they differ: the file is of another run.
        """
        percents = self.results["datasets"].get(name, {}).get(metric, {})
        if percents.keys() != computed.keys() or not all(
            np.isclose(percents[source], computed[source]) for source in computed
        ):
            raise UserError(
                f"{path} is not of the run in {self.folder}: its {METRIC_TITLES[metric]} is "
                f"{computed}, results.json has {percents}; repeat the run"
            )


@dataclass(frozen=True)
class Run(FinishedRun):
    """Finished run of `BoxRefiner`.

    Attributes: hits: test dataset -> `ImageHits`, in the order of DATASETS.TEST.
    """

    hits: dict[str, ImageHits]

    @property
    def rule(self) -> str:
        """Discovery rule; its name is also the source name of its boxes before refinement."""
        rule: str = self.cfg.DISCOVERY.NAME
        return rule

    def gt_boxes(self, dataset: str) -> dict[Any, Tensor]:
        """Return the boxes that predictions on a test dataset are scored against.

        Returns: image id -> (N, 4) XYXY, half-open, in image pixels.
        """
        records = DatasetCatalog.get(register_spec(dataset))
        rounds = MetadataCatalog.get(dataset).get("corloc_rounds_boxes", False)
        protocol = self.cfg.TEST.CORLOC_PROTOCOL
        return GroundTruth(dataset, records, protocol=protocol, rounds_boxes=rounds).boxes()


def read_finished(folder: str | Path) -> FinishedRun:
    """Read the run in `folder`, of any job. Raises: UserError if it is missing or not finished."""
    folder = Path(folder)
    results = read_json(folder / "results.json")
    config = folder / "config.yaml"
    if not config.is_file():
        raise UserError(f"{folder} holds no config.yaml: it is no OUTPUT_DIR of train_net.py")
    cfg = load_config(str(config), [])
    if not isinstance(results, dict) or not isinstance(results.get("datasets"), dict):
        raise UserError(
            f"{folder / 'results.json'} lacks 'datasets': train_net.py did not write it"
        )
    return FinishedRun(folder, cfg, results)


def read_run(folder: str | Path) -> Run:
    """Read the run of `BoxRefiner` in `folder`.

    Raises: UserError if it is missing, not finished, without test data, or if its files are of
        different runs.
    """
    run = read_finished(folder)
    run.check_tested()
    hits = {name: _read_hits(run, name) for name in run.cfg.DATASETS.TEST}
    return Run(run.folder, run.cfg, run.results, hits)


def read_metrics(folder: str | Path) -> list[dict[str, float]]:
    """Return the lines of metrics.json in order of their iteration.

    A resumed run repeats iterations and may leave an unfinished line. Of equal iterations the last
    value counts; incomplete lines are skipped.
    """
    rows: dict[int, dict[str, float]] = {}
    path = Path(folder) / "metrics.json"
    for line in read_lines(path, "file of metrics") if path.exists() else []:
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(row, dict) and is_whole(row.get("iteration")):
            numbers = {key: value for key, value in row.items() if is_number(value)}
            rows.setdefault(row["iteration"], {}).update(numbers)
    return [rows[iteration] for iteration in sorted(rows)]


def _page_of_improvement(folder: Path) -> str:
    """Return words that name the page of `boxrefine improve`, if the folder is its output."""
    page = folder / "page" / "report.html"
    return f"; boxrefine improve wrote {page}: open it in a browser" if page.is_file() else ""


def read_json(path: Path) -> Any:
    """Read a file that a finished run has. Raises: UserError if it is missing or unreadable."""
    if not os.path.lexists(path):
        raise UserError(
            f"no {path.name} in {path.parent}: no finished run is there; train_net.py writes it at "
            f"its end{_page_of_improvement(path.parent)}"
        )
    return inputs.read_json(path, "file of a run")


@contextmanager
def as_training_wrote(path: Path) -> Iterator[None]:
    """Turn errors in the content of a run's file into a UserError that names the file.

    The context encloses code that expects the content that train_net.py wrote.
    """
    try:
        yield
    except UserError:
        raise
    except (AttributeError, LookupError, StopIteration, TypeError, ValueError) as error:
        raise UserError(
            f"{path} is not in the form that train_net.py writes; repeat the run"
        ) from error


def _read_hits(run: FinishedRun, dataset: str) -> ImageHits:
    path = inference_folder(run.folder, dataset) / "corloc_per_image.json"
    by_source, ids = _hits_in(read_json(path), path)
    percents = {source: 100 * float(hits.mean()) for source, hits in by_source.items()}
    run.check_percents(path, percents, "corloc", dataset)
    return ImageHits(ids, by_source)


def _hits_in(rows: Any, path: Path) -> tuple[dict[str, np.ndarray], list[Any]]:
    """Return source -> (N,) bool, and the N image ids, from {source: [[image id, hit], ...]}."""
    lists = list(rows.values()) if isinstance(rows, dict) else []
    if not lists or not all(
        isinstance(row, list) and row and all(map(_is_hit, row)) for row in lists
    ):
        raise UserError(f"{path} does not say which images were hit; repeat the run")
    by_source = {source: np.array([bool(hit) for _, hit in row]) for source, row in rows.items()}
    return by_source, [image_id for image_id, _ in lists[0]]


def _is_hit(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and is_id(value[0])
