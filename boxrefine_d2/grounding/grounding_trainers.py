"""Trainers of g: its training, its refinement through h, and the evaluation of WhatIsWhere."""

from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog
from detectron2.solver.build import maybe_add_gradient_clipping
from detectron2.utils import comm
from torch import nn

from boxrefine_d2.data.dataset_spec import register_spec
from boxrefine_d2.data.loaders import WholeImageLoader, equal_size_batches
from boxrefine_d2.data.mappers.phrase import (
    PhraseMapper,
    QueryMapper,
    check_phrases,
    draw_decoys,
    queries_of,
)
from boxrefine_d2.errors import UserError
from boxrefine_d2.evaluation.grounding_evaluator import MISS, GroundingEvaluator
from boxrefine_d2.evaluation.sources import REFINED
from boxrefine_d2.evaluation.sources import G as G_SOURCE
from boxrefine_d2.refinement.phased_trainer import PhasedTrainer
from boxrefine_d2.training.loop import Trainer
from boxrefine_d2.training.product_trainer import ProductTrainer
from boxrefine_d2.training.results_file import inference_folder

from .grounding_refiner import GroundingRefiner
from .heatmap_training import HeatmapTraining
from .proposals import require_selective_search
from .what_is_where import WhatIsWhere


class PhraseTrainer(Trainer):
    """Common base: it reads phrases and reports pointing accuracy and box accuracy."""

    record_of: str  # source whose records the trainer writes

    def __init__(self, cfg: CfgNode):
        """Build the trainer. Raises: UserError for images without a phrase."""
        super().__init__(cfg)
        check_phrases(self.train_loader.dataset.records, cfg.DATASETS.TRAIN)

    @classmethod
    def build_mapper(cls, cfg: CfgNode) -> PhraseMapper:
        """Return the mapper that gives squares with a phrase."""
        mapper: PhraseMapper = PhraseMapper(cfg)
        return mapper

    @classmethod
    def build_test_loader(cls, cfg: CfgNode, dataset_name: str) -> WholeImageLoader:
        """Return the images with phrases, squeezed to a square; each rank gets every n-th batch."""
        records = [r for r in DatasetCatalog.get(register_spec(dataset_name)) if queries_of(r)]
        decoys = draw_decoys(records, cfg.SEED) if cfg.TEST.GROUNDING_CONTROLS else None
        mapper = QueryMapper(cfg.INPUT.SQUARE_SIZE, cfg.GROUNDING.PROMPT, decoys)
        size = mapper.input_size(0, 0)
        batches = equal_size_batches(records, mapper, lambda _: size, cfg.TEST.IMS_PER_BATCH)
        mine = batches[comm.get_rank() :: comm.get_world_size()]
        return WholeImageLoader(
            mine, mapper, cfg.DATALOADER.NUM_WORKERS, what=f"evaluate {dataset_name}"
        )

    @classmethod
    def build_evaluator(cls, cfg: CfgNode, dataset_name: str) -> GroundingEvaluator:
        """Return the evaluator of both accuracies for every source."""
        return GroundingEvaluator(
            register_spec(dataset_name),
            record_of=cls.record_of,
            output_dir=str(inference_folder(cfg.OUTPUT_DIR, dataset_name)),
            main_dir=cfg.OUTPUT_DIR,
            seed=cfg.SEED,
            missing=cls.missing(cfg),
        )

    @classmethod
    def missing(cls, cfg: CfgNode) -> str:
        """Return how the evaluator treats phrases without an answer."""
        return MISS


class HeatmapTrainer(PhraseTrainer, ProductTrainer):
    """Trainer of a `HeatmapTraining`, whose product is g."""

    network: HeatmapTraining
    record_of = G_SOURCE

    @classmethod
    def build_optimizer(cls, cfg: CfgNode, model: HeatmapTraining) -> torch.optim.Optimizer:
        """Return SGD, as in the papers' code."""
        optimizer = maybe_add_gradient_clipping(cfg, torch.optim.SGD)
        built: torch.optim.Optimizer = optimizer(
            model.parameter_groups(),
            lr=cfg.SOLVER.BASE_LR,
            momentum=cfg.SOLVER.MOMENTUM,
            fused=True,
        )
        return built


class GroundingRefineTrainer(PhraseTrainer, PhasedTrainer):
    """Trainer of a `GroundingRefiner`, with its schedule and two learning rates."""

    network: GroundingRefiner
    record_of = REFINED

    def record(self) -> dict[str, Any]:
        """Return the time of each phase, in seconds, and the distance that g moved."""
        return {
            "images": len(self.train_loader.dataset),
            "weight_distance": self.network.weight_distance(),
            "seconds": {phase: round(s, 1) for phase, s in self.phase_hook.seconds.items()},
            "unreadable_images": self.unreadable_images(),
        }


class WhatIsWhereTrainer(PhraseTrainer):
    """Evaluation of a `WhatIsWhere`, which does not learn."""

    network: WhatIsWhere
    record_of = G_SOURCE
    learns = False

    @classmethod
    def check(cls, cfg: CfgNode, *, eval_only: bool) -> None:
        """Check the configuration. Raises: UserError if selective search is missing."""
        if not cfg.DATASETS.TEST:
            raise UserError("DATASETS.TEST is empty: there is nothing to evaluate on")
        require_selective_search()
        super().check(cfg, eval_only=eval_only)

    @classmethod
    def load_trained(cls, model: nn.Module, cfg: CfgNode) -> None:
        """Load nothing: MODEL.HEATMAP, MODEL.CLIP and MODEL.CAPTIONER name their own weights."""

    @classmethod
    def missing(cls, cfg: CfgNode) -> str:
        """Return how the evaluator treats images in which nothing was found."""
        missing: str = cfg.LOOKING.MISSING
        return missing
