"""Result of `boxrefine localize`: the boxes, masks and maps of the first source of a run."""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode

from boxrefine_d2.data import read_pseudo_labels
from boxrefine_d2.data.pseudo_label_file import PseudoLabels
from boxrefine_d2.errors import UserError
from boxrefine_d2.evaluation import write_json
from boxrefine_d2.evaluation.predictions import best_entries, read_predictions
from boxrefine_d2.evaluation.results import Curve
from boxrefine_d2.files import inputs
from boxrefine_d2.files.atomic import atomic_binary_file
from boxrefine_d2.training.results_file import inference_folder

from .box_labels import BOXES_FILE
from .localization_evaluator import CURVES_FILE, LOCALIZATION_FILE, METRICS_FILE
from .sources import BoxSource, sources_of


@dataclass(frozen=True)
class SourceResult:
    """Files of a source on a data set.

    Attributes:
        source: the source.
        folder: folder of its files.
    """

    source: BoxSource
    folder: Path

    @property
    def title(self) -> str:
        """Name for readers, such as "cam, arm, sgrm"."""
        return ", ".join(self.source.words)

    def labels(self) -> PseudoLabels:
        """Return the boxes and masks. Raises: UserError for a missing or damaged file."""
        return read_pseudo_labels(self.folder / BOXES_FILE)

    def entries(self) -> dict[Any, dict[str, Any]]:
        """Return image id -> entry of localization.json. Raises: UserError."""
        return dict(best_entries(read_predictions(self.folder / LOCALIZATION_FILE)))

    def reasons(self) -> Mapping[str, int]:
        """Return images by the reason for which a step could not work as it should."""
        path = self.folder / METRICS_FILE
        content = inputs.read_json(path, "metrics of a source") if path.exists() else {}
        counts: Mapping[str, int] = content.get("images_by_reason", {})
        return {reason: count for reason, count in counts.items() if count}

    def curves(self) -> list[Curve]:
        """Return the curves over thresholds; [] for data without boxes."""
        path = self.folder / CURVES_FILE
        content = inputs.read_json(path, "curves of a source") if path.exists() else []
        return [Curve(**curve) for curve in content]


def source_results(run: Path, cfg: CfgNode, data: str) -> list[SourceResult]:
    """Return the results of a run's sources on a data set.

    Args: run: output directory of the run.  cfg: its configuration.
    Raises: UserError if the run did not draw boxes on the data set.
    """
    folder = inference_folder(run, data)
    found = [SourceResult(source, folder / source.name) for source in sources_of(cfg)]
    missing = next((x.folder for x in found if not (x.folder / LOCALIZATION_FILE).is_file()), None)
    if missing is not None:
        raise UserError(
            f"no {LOCALIZATION_FILE} in {missing}: the run in {run} drew no boxes on {data}; name "
            "it in DATASETS.TEST"
        )
    return found


def write_result(result: SourceResult, output: Path) -> None:
    """Write boxes.json and localization.json of a source to a folder; its maps stay where they are.

    Raises: UserError if a file cannot be read or written.
    """
    with (
        open(result.folder / BOXES_FILE, "rb") as read,
        atomic_binary_file(output / BOXES_FILE) as written,
    ):
        shutil.copyfileobj(read, written)
    beside = os.path.relpath(result.folder, output)
    entries = inputs.read_json(result.folder / LOCALIZATION_FILE, "results file")
    moved = [entry | {"heatmap": (Path(beside) / entry["heatmap"]).as_posix()} for entry in entries]
    write_json(output / LOCALIZATION_FILE, moved)
