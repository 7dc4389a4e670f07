"""Trainer of detectors on pseudo-labels: CAD, CutLER, and detectors that start from them."""

from copy import copy
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.engine import HookBase, hooks
from detectron2.evaluation import DatasetEvaluator
from detectron2.solver import build_optimizer
from detectron2.utils import comm
from fvcore.nn.precise_bn import get_bn_modules
from torch import nn

from boxrefine_d2 import detectors  # noqa: F401, registers its parts
from boxrefine_d2.data.dataset_spec import register_spec
from boxrefine_d2.data.loaders import WholeImageLoader, equal_size_batches
from boxrefine_d2.data.mappers.detector import DetectorMapper, ShortEdgeMapper
from boxrefine_d2.errors import UserError
from boxrefine_d2.evaluation.class_evaluator import ClassEvaluator
from boxrefine_d2.evaluation.detection_evaluator import DetectionEvaluator
from boxrefine_d2.networks.weights import WeightsInfo, file_sha256, module_sha256
from boxrefine_d2.training.checkpoint import SafeCheckpointer
from boxrefine_d2.training.loop import Trainer
from boxrefine_d2.training.predictors import speed_up_predictors
from boxrefine_d2.training.results_file import config_sha256, inference_folder
from boxrefine_d2.training.step_hook import SeededSteps

from .detector_settings import build_detector, check_parts, with_scaled_rate
from .training_labels import records_to_learn_from


class CADTrainer(Trainer):
    """Trainer of a Detectron2 detector, with our data, checkpoints and evaluation.

    Model and optimizer are Detectron2's own.
    """

    learning_rates = "SOLVER.BASE_LR"
    batches_by_shape = True

    def job_hooks(self) -> list[HookBase]:
        """Return the hooks: the seed of each step, and precise batch statistics for evaluation."""
        cfg, period = self.cfg, self.cfg.TEST.EVAL_PERIOD
        self._steps = SeededSteps(self.network, cfg.SEED)
        every: list[HookBase] = [self._steps]
        if cfg.TEST.PRECISE_BN.ENABLED and get_bn_modules(self.network):
            stream = copy(self.train_loader)  # a resumed run does not advance this copy
            every.append(_PreciseBN(period, self.network, stream, cfg.TEST.PRECISE_BN.NUM_ITER))
        return every

    @classmethod
    def build_model(cls, cfg: CfgNode) -> nn.Module:
        """Build the model that MODEL describes; its `weights_info` names its first weights."""
        check_parts(cfg)
        model = build_detector(cfg)
        marked: Any = model  # Detectron2's class does not declare the attribute
        marked.weights_info = _start(cfg, model)
        return model

    @classmethod
    def weights_info(cls, model: Any) -> WeightsInfo:
        """Return the file in MODEL.WEIGHTS, or the seed."""
        info: WeightsInfo = model.weights_info
        return info

    @classmethod
    def build_optimizer(cls, cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
        """Return Detectron2's SGD.

        The rate is scaled to the batch size, and for predictors by SOLVER.PREDICTOR_LR_FACTOR.
        """
        optimizer = build_optimizer(with_scaled_rate(cfg), model)
        return speed_up_predictors(optimizer, model, cfg.SOLVER.PREDICTOR_LR_FACTOR)

    @classmethod
    def build_mapper(cls, cfg: CfgNode) -> DetectorMapper:
        """Return the mapper that resizes images by their shorter edge."""
        mapper: DetectorMapper = DetectorMapper(cfg)
        return mapper

    @classmethod
    def training_records(cls, cfg: CfgNode) -> list[dict[str, Any]]:
        """Return the images of DATASETS.TRAIN that have a box. Raises: UserError for bad labels."""
        if not cfg.DATASETS.TRAIN:
            raise UserError(
                "DATASETS.TRAIN is empty: name a data set, such as folder:DIR+pseudo=FILE"
            )
        return [
            record
            for name in cfg.DATASETS.TRAIN
            for record in records_to_learn_from(
                DatasetCatalog.get(register_spec(name)),
                classes=cfg.MODEL.ROI_HEADS.NUM_CLASSES,
                masks=cfg.MODEL.MASK_ON,
                where=name,
            )
        ]

    @classmethod
    def build_test_loader(cls, cfg: CfgNode, dataset_name: str) -> WholeImageLoader:
        """Return whole images in batches of one size; each rank gets every n-th batch."""
        mapper = ShortEdgeMapper(cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST)
        records = DatasetCatalog.get(register_spec(dataset_name))
        batches = equal_size_batches(records, mapper, lambda size: size, cfg.TEST.IMS_PER_BATCH)
        mine = batches[comm.get_rank() :: comm.get_world_size()]
        return WholeImageLoader(
            mine, mapper, cfg.DATALOADER.NUM_WORKERS, what=f"evaluate {dataset_name}"
        )

    @classmethod
    def build_evaluator(cls, cfg: CfgNode, dataset_name: str) -> DatasetEvaluator:
        """Return the evaluator of a dataset; each dataset has an output directory of its own.

        Class-agnostic detectors get CorLoc of the best box, COCO's AP, and detections.json.
        Detectors of several classes get Detectron2's own AP.
        """
        name = register_spec(dataset_name)
        folder = inference_folder(cfg.OUTPUT_DIR, dataset_name)
        if (
            cfg.MODEL.META_ARCHITECTURE != "ClassAgnosticRCNN"
            and cfg.MODEL.ROI_HEADS.NUM_CLASSES > 1
        ):
            return ClassEvaluator(
                name,
                classes=cfg.MODEL.ROI_HEADS.NUM_CLASSES,
                masks=cfg.MODEL.MASK_ON,
                output_dir=folder,
            )
        return DetectionEvaluator(
            dataset_name,
            DatasetCatalog.get(name),
            protocol=cfg.TEST.CORLOC_PROTOCOL,
            rounds_boxes=MetadataCatalog.get(name).get("corloc_rounds_boxes", False),
            masks=cfg.MODEL.MASK_ON,
            output_dir=folder,
            info={"method": cfg.MODEL.META_ARCHITECTURE, "config_sha256": config_sha256(cfg)},
        )

    def record(self) -> dict[str, Any]:
        """Return the time of the training and the number of images seen."""
        return self.stream_record(self._steps)


class _PreciseBN(hooks.PreciseBN):
    """Hook that reads the same batches at each evaluation.

    A resumed run then has the statistics of an uninterrupted one.
    """

    def update_stats(self) -> None:
        self._data_iter = None
        super().update_stats()


def _start(cfg: CfgNode, model: nn.Module) -> WeightsInfo:
    if cfg.MODEL.WEIGHTS:
        path = SafeCheckpointer.local(cfg.MODEL.WEIGHTS)
        return WeightsInfo(path.name, file_sha256(path))
    return WeightsInfo(f"random:{cfg.SEED}", module_sha256(model))
