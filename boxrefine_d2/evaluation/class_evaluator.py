"""Detectron2's average precision per class, on any dataset spec."""

import math
from pathlib import Path
from typing import Any

from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets.coco import convert_to_coco_dict
from detectron2.evaluation import COCOEvaluator

from boxrefine_d2.errors import UserError

from . import GroundTruth, write_json

GROUND_TRUTH_FILE = "ground_truth.json"
_NOTHING_DETECTED = dict.fromkeys(("AP", "AP50", "AP75"), 0.0)


class ClassEvaluator(COCOEvaluator):
    """Detectron2's COCOEvaluator on the current state of the data set; numbers in percent.

    The ground truth is written anew, because a file of an earlier run may be out of date. Undefined
    numbers, such as those of a size or a class without objects, are left out. Without any detection
    the numbers are 0.
    """

    def __init__(self, name: str, *, classes: int, masks: bool, output_dir: Path):
        """Write the ground truth and create its evaluator.

        Args:
            name: name in the catalogs.
            classes: number of classes that the detector tells apart.
            masks: whether masks are scored as well.
            output_dir: folder of the ground truth and of Detectron2's result files.
        Raises: UserError for data without labels, with other classes, or with images of unknown
            size.
        """
        _check(name, classes)
        path = str(output_dir / GROUND_TRUTH_FILE)
        write_json(path, convert_to_coco_dict(name))
        known = MetadataCatalog.get(name)
        if path in MetadataCatalog.list():
            MetadataCatalog.remove(path)
        MetadataCatalog.get(path).set(
            json_file=path,
            thing_classes=known.thing_classes,
            thing_dataset_id_to_contiguous_id=known.thing_dataset_id_to_contiguous_id,
        )
        tasks = ("bbox", "segm") if masks else ("bbox",)
        super().__init__(path, tasks=tasks, output_dir=str(output_dir))

    def _derive_coco_results(self, coco_eval: Any, *args: Any, **kwargs: Any) -> dict[str, float]:
        if coco_eval is None:
            return dict(_NOTHING_DETECTED)
        metrics = super()._derive_coco_results(coco_eval, *args, **kwargs)
        return {name: value for name, value in metrics.items() if math.isfinite(value)}


def _check(name: str, classes: int) -> None:
    records = DatasetCatalog.get(name)
    GroundTruth(name, records).boxes()
    data_classes = len(MetadataCatalog.get(name).thing_classes)
    if data_classes != classes:
        raise UserError(
            f"{name} has {data_classes} classes and MODEL.ROI_HEADS.NUM_CLASSES is {classes}: "
            "their precision cannot be scored one by one; name a data set of the same classes"
        )
    unknown = [r["file_name"] for r in records if not (r["height"] and r["width"])]
    if unknown:
        raise UserError(
            f"{name}: the size of {len(unknown)} images is not known (first: {unknown[0]}); "
            "put readable files there"
        )
