"""The evaluator of a model that gives boxes: CorLoc, and a file of its detector's boxes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from detectron2.data import DatasetCatalog
from detectron2.evaluation import DatasetEvaluator, DatasetEvaluators

from boxrefine_d2.data.dataset_spec import register_spec

from .corloc_evaluator import CorLocEvaluator
from .detections_file import DetectionsWriter
from .ground_truth import check_labels


def build_box_evaluator(
    name: str, *, protocol: str, output_dir: Path, info: Mapping[str, Any]
) -> DatasetEvaluator:
    """Return the evaluator of a registered data set; without labels it only writes the boxes.

    Args:
        name: name in Detectron2's DatasetCatalog, which `register_spec` gives a spec.
        protocol: protocol of CorLoc.
        output_dir: folder of `corloc_per_image.json` and `detections.json`.
        info: description of the detector, written into `detections.json`.
    """
    records = DatasetCatalog.get(name)
    writer = DetectionsWriter(name, records, output_dir=output_dir, info=info)
    if not any("annotations" in record for record in records):
        return writer
    corloc = CorLocEvaluator(name, protocol=protocol, output_dir=str(output_dir))
    return DatasetEvaluators([corloc, writer])


def check_scores(evaluator: DatasetEvaluator, name: str, *, required: bool) -> None:
    """Refuse an evaluator that scores nothing, if scores are required.

    Raises: UserError: the data set has no labels.
    """
    if required and isinstance(evaluator, DetectionsWriter):
        check_labels(DatasetCatalog.get(register_spec(name)), name)
