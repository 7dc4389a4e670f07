"""Training of g, and its refinement through h, by the same loop."""

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
    """What both share: phrases in, pointing and box accuracy out."""

    record_of: str  # the source whose records are written

    def __init__(self, cfg: CfgNode):
        """Also refuses images of which nothing is said. Raises: UserError."""
        super().__init__(cfg)
        check_phrases(self.train_loader.dataset.records, cfg.DATASETS.TRAIN)

    @classmethod
    def build_mapper(cls, cfg: CfgNode) -> PhraseMapper:
        """Squares with a phrase."""
        mapper: PhraseMapper = PhraseMapper(cfg)
        return mapper

    @classmethod
    def build_test_loader(cls, cfg: CfgNode, dataset_name: str) -> WholeImageLoader:
        """Images with phrases, squeezed to a square; ranks take turns."""
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
        """Both accuracies of every source."""
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
        """What becomes of phrases that are not answered."""
        return MISS


class HeatmapTrainer(PhraseTrainer, ProductTrainer):
    """Trains a `HeatmapTraining`, whose product is g."""

    network: HeatmapTraining
    record_of = G_SOURCE

    @classmethod
    def build_optimizer(cls, cfg: CfgNode, model: HeatmapTraining) -> torch.optim.Optimizer:
        """SGD, as the papers' code has it."""
        optimizer = maybe_add_gradient_clipping(cfg, torch.optim.SGD)
        built: torch.optim.Optimizer = optimizer(
            model.parameter_groups(),
            lr=cfg.SOLVER.BASE_LR,
            momentum=cfg.SOLVER.MOMENTUM,
            fused=True,
        )
        return built


class GroundingRefineTrainer(PhraseTrainer, PhasedTrainer):
    """Trains a `GroundingRefiner` by its schedule, with two learning rates."""

    network: GroundingRefiner
    record_of = REFINED

    def record(self) -> dict[str, Any]:
        """How long each phase took, and how far g moved."""
        return {
            "images": len(self.train_loader.dataset),
            "weight_distance": self.network.weight_distance(),
            "seconds": {phase: round(s, 1) for phase, s in self.phase_hook.seconds.items()},
            "unreadable_images": self.unreadable_images(),
        }


class WhatIsWhereTrainer(PhraseTrainer):
    """Evaluates a `WhatIsWhere`; there is nothing to train."""

    network: WhatIsWhere
    record_of = G_SOURCE
    learns = False

    @classmethod
    def check(cls, cfg: CfgNode) -> None:
        """Also that regions can be found. Raises: UserError."""
        if not cfg.DATASETS.TEST:
            raise UserError("DATASETS.TEST is empty: there is nothing to evaluate on")
        require_selective_search()
        super().check(cfg)

    @classmethod
    def load_trained(cls, model: nn.Module, cfg: CfgNode) -> None:
        """Nothing: MODEL.HEATMAP, MODEL.CLIP and MODEL.CAPTIONER name weights of their own."""

    @classmethod
    def missing(cls, cfg: CfgNode) -> str:
        """Of images in which nothing was found."""
        missing: str = cfg.LOOKING.MISSING
        return missing
