"""Base of the trainers of models that learn from class labels."""

from collections.abc import Sequence
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog
from detectron2.evaluation import DatasetEvaluator
from detectron2.modeling import META_ARCH_REGISTRY
from detectron2.solver.build import maybe_add_gradient_clipping
from detectron2.utils import comm

from boxrefine_d2.data.dataset_spec import register_spec
from boxrefine_d2.data.loaders import TrainMapper, WholeImageLoader, equal_size_batches
from boxrefine_d2.data.mappers.classified import ClassMapper, ClassTestMapper
from boxrefine_d2.errors import check_choice
from boxrefine_d2.training.product_trainer import ProductTrainer
from boxrefine_d2.training.results_file import config_sha256, inference_folder

from .class_model import ClassModel
from .localization_evaluator import LocalizationEvaluator
from .sources import sources_of

GIB = 2**30


class ClassTrainer(ProductTrainer):
    """Trainer of a `ClassModel`."""

    network: ClassModel

    @classmethod
    def check(cls, cfg: CfgNode, *, eval_only: bool) -> None:
        """Refuse sources of boxes that do not exist, before the training. Raises: UserError."""
        model: type[ClassModel] = META_ARCH_REGISTRY.get(cfg.MODEL.META_ARCHITECTURE)
        for source in sources_of(cfg) if model.producers else ():
            check_choice(
                f"LOCALIZATION.SOURCES {list(source.words)}: map", source.producer, model.producers
            )

    @classmethod
    def build_optimizer(cls, cfg: CfgNode, model: ClassModel) -> torch.optim.Optimizer:
        """Return the optimizer of LOCALIZATION.OPTIMIZER, over the parameters that learn."""
        settings: dict[str, Any] = {"lr": cfg.SOLVER.BASE_LR, "fused": True}
        kind: type[torch.optim.Optimizer] = torch.optim.AdamW
        if cfg.LOCALIZATION.OPTIMIZER == "sgd":
            kind, settings["momentum"] = torch.optim.SGD, cfg.SOLVER.MOMENTUM
        optimizer = maybe_add_gradient_clipping(cfg, kind)
        built: torch.optim.Optimizer = optimizer(model.parameter_groups(), **settings)
        return built

    @classmethod
    def build_mapper(cls, cfg: CfgNode) -> TrainMapper:
        """Return the mapper of crops with their class."""
        return class_mapper(cfg)

    @classmethod
    def build_test_loader(cls, cfg: CfgNode, dataset_name: str) -> WholeImageLoader:
        """Return the centre crops of resized images; ranks take turns."""
        records = DatasetCatalog.get(register_spec(dataset_name))
        return centre_crops(cfg, records, f"evaluate {dataset_name}")

    @classmethod
    def build_evaluator(cls, cfg: CfgNode, dataset_name: str) -> DatasetEvaluator:
        """Return the evaluator of all sources of boxes."""
        return LocalizationEvaluator(
            register_spec(dataset_name),
            sources=sources_of(cfg),
            output_dir=inference_folder(cfg.OUTPUT_DIR, dataset_name),
            seed_threshold=cfg.LOCALIZATION.SEED_THRESHOLD,
            device=cfg.MODEL.DEVICE,
            info={"method": cfg.MODEL.META_ARCHITECTURE, "config_sha256": config_sha256(cfg)},
        )


def centre_crops(
    cfg: CfgNode, records: Sequence[dict[str, Any]], what: str = ""
) -> WholeImageLoader:
    """Return a loader of this rank's test inputs. Args: what: the label of the progress bar."""
    node = cfg.INPUT.CLASSIFIED
    mapper = ClassTestMapper(resize=max(node.TEST_RESIZE, node.CROP), crop=node.CROP)
    size = mapper.input_size(0, 0)
    batches = equal_size_batches(records, mapper, lambda _: size, cfg.TEST.IMS_PER_BATCH)
    mine = batches[comm.get_rank() :: comm.get_world_size()]
    return WholeImageLoader(mine, mapper, cfg.DATALOADER.NUM_WORKERS, what=what)


def class_mapper(cfg: CfgNode) -> ClassMapper:
    """Return the mapper of random crops, as INPUT.CLASSIFIED sets it."""
    node = cfg.INPUT.CLASSIFIED
    return ClassMapper(
        resize=node.RESIZE,
        crop=node.CROP,
        flip=node.FLIP,
        seed=cfg.SEED,
        cache_bytes=cfg.INPUT.CACHE_GIB * GIB,
    )
