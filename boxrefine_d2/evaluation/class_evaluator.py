"""Detectron2's average precision by class, of any data set spec."""

import math
from pathlib import Path
from typing import Any

from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets.coco import convert_to_coco_dict
from detectron2.evaluation import COCOEvaluator

from boxrefine_d2.errors import UserError

from . import GroundTruth, write_json

GROUND_TRUTH_FILE = "ground_truth.json"
_OF_NOTHING = dict.fromkeys(("AP", "AP50", "AP75"), 0.0)


class ClassEvaluator(COCOEvaluator):
    """Detectron2's, with the data set as it is now, not as an earlier run wrote it down; numbers in percent.

    A number that is not defined, as that of a size or class without objects, is left out; where nothing is detected the
    others are 0.
    """

    def __init__(self, name: str, *, classes: int, masks: bool, output_dir: Path):
        """Args: name: of the catalogs.  classes: that the detector tells apart.  masks: whether they are scored, too.

        Raises: UserError for data without labels, of other classes, or with images whose size is not known.
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
            return dict(_OF_NOTHING)
        found = super()._derive_coco_results(coco_eval, *args, **kwargs)
        return {name: value for name, value in found.items() if math.isfinite(value)}


def _check(name: str, classes: int) -> None:
    records = DatasetCatalog.get(name)
    GroundTruth(name, records).boxes()
    theirs = len(MetadataCatalog.get(name).thing_classes)
    if theirs != classes:
        raise UserError(
            f"{name} has {theirs} classes and MODEL.ROI_HEADS.NUM_CLASSES is {classes}: their precision cannot be scored "
            "one by one; name a data set of the same classes"
        )
    unknown = [r["file_name"] for r in records if not (r["height"] and r["width"])]
    if unknown:
        raise UserError(
            f"{name}: the size of {len(unknown)} images is not known (first: {unknown[0]}); put readable files there"
        )
