"""Training loop of every job: Detectron2's, with exact resuming, CPUs and errors in one line."""

import logging
import weakref
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog
from detectron2.engine import (
    DefaultTrainer,
    HookBase,
    SimpleTrainer,
    TrainerBase,
    create_ddp_model,
    hooks,
)
from detectron2.evaluation import DatasetEvaluator
from detectron2.solver import build_lr_scheduler
from detectron2.utils import comm
from detectron2.utils.events import (
    CommonMetricPrinter,
    EventWriter,
    JSONWriter,
    TensorboardXWriter,
)
from torch import nn
from torch.optim.lr_scheduler import LRScheduler

from boxrefine_d2.data.dataset_spec import register_spec
from boxrefine_d2.data.loaders import TrainLoader, TrainMapper, WholeImageLoader, equal_size_batches
from boxrefine_d2.data.mappers import WholeImageMapper
from boxrefine_d2.evaluation.box_evaluator import build_box_evaluator, check_scores
from boxrefine_d2.networks import padded_size, padding_multiple
from boxrefine_d2.networks.weights import WeightsInfo

from .checkpoint import SafeCheckpointer, load_trained
from .hooks import ProgressBar, SharedStatistics, StopTraining
from .results_file import config_sha256, inference_folder
from .step_errors import mistake_of_step, without_tracebacks_of_expected_ends
from .step_hook import TimedSteps

logger = logging.getLogger(__name__)


class Trainer(DefaultTrainer):
    """Base class of the trainers of all jobs; `cfg.DATASETS.*` may hold any dataset spec.

    A subclass builds the optimizer and the mapper, adds hooks around a step and returns the record.

    Attributes: network: the model without DDP's wrapper.
    """

    learning_rates: str  # the keys to lower if the loss is not finite
    batches_by_shape = False  # True if DATALOADER.ASPECT_RATIO_GROUPING is read
    learns = True  # False if the model can only be evaluated

    def __init__(self, cfg: CfgNode):
        """Build the parts that Detectron2's trainer builds, also for several processes on CPUs."""
        TrainerBase.__init__(self)
        self.network = model = self.build_model(cfg)
        optimizer = self.build_optimizer(cfg, model)
        self.train_loader = self.build_train_loader(cfg)
        on_gpu = model.device.type == "cuda"
        # DDP calls parameters without a gradient unused: frozen layers, and the phase's idle part.
        model = create_ddp_model(
            model,
            broadcast_buffers=False,
            find_unused_parameters=True,
            device_ids=[comm.get_local_rank()] if on_gpu else None,
        )
        self._trainer = SimpleTrainer(model, self.train_loader, optimizer)
        self.scheduler = self.build_lr_scheduler(cfg, optimizer)
        self.checkpointer = SafeCheckpointer(
            model, cfg.OUTPUT_DIR, trainer=weakref.proxy(self), save_to_disk=comm.is_main_process()
        )
        self.start_iter = 0
        self.max_iter = cfg.SOLVER.MAX_ITER
        self.cfg = cfg
        self.register_hooks(self.build_hooks())

    def job_hooks(self) -> list[HookBase]:
        """Return the job's own hooks; they run before all others."""
        return []

    def progress(self) -> dict[str, str]:
        """Return the values by name that the progress bar shows beside the rate."""
        return {"loss": f"{self.storage.history('total_loss').latest():.3f}"}

    def position_text(self) -> str:
        """Return the position of the training for a message, such as "iteration 3"."""
        return f"iteration {self.iter}"

    @classmethod
    def product_file(cls, cfg: CfgNode) -> str | None:
        """Return the file or folder that a training writes beside its checkpoints, or None."""
        return None

    @classmethod
    def weights_info(cls, model: Any) -> WeightsInfo:
        """Return the source of the weights from which the model started."""
        info: WeightsInfo = model.map_network.weights_info
        return info

    def stream_record(self, steps: TimedSteps) -> dict[str, Any]:
        """Return the record of every job on images: their numbers, unreadable ones, seconds."""
        return {
            "images_seen": self.max_iter * self.cfg.SOLVER.IMS_PER_BATCH,
            "images": len(self.train_loader.dataset),
            "seconds": round(steps.seconds, 1),
            "unreadable_images": self.unreadable_images(),
        }

    def record(self) -> dict[str, Any]:
        """Return the run's record for results.json. All ranks call it; the main one gets it all."""
        raise NotImplementedError

    @classmethod
    def build_mapper(cls, cfg: CfgNode) -> TrainMapper:
        """Return the function from a dataset record to a training sample."""
        raise NotImplementedError

    def build_hooks(self) -> list[HookBase]:
        """Return the job's hooks, Detectron2's in its own order, and the progress bar."""
        cfg = self.cfg

        def test() -> dict[str, Any]:
            self._last_eval_results = self.test(cfg, self.network)
            results: dict[str, Any] = self._last_eval_results
            return results

        every = [*self.job_hooks(), hooks.IterationTimer(), hooks.LRScheduler()]
        if comm.is_main_process():
            every.append(
                hooks.PeriodicCheckpointer(self.checkpointer, cfg.SOLVER.CHECKPOINT_PERIOD)
            )
        if comm.get_world_size() > 1:
            every.append(SharedStatistics(cfg.TEST.EVAL_PERIOD, self.network))
        every.append(hooks.EvalHook(cfg.TEST.EVAL_PERIOD, test))
        if comm.is_main_process():
            every.append(hooks.PeriodicWriter(self.build_writers(), cfg.LOG_PERIOD))
        return [*every, ProgressBar()]

    def build_writers(self) -> list[EventWriter]:
        """Return Detectron2's writers; metrics.json holds each iteration's values, not medians."""
        return [
            CommonMetricPrinter(self.max_iter),
            JSONWriter(str(Path(self.cfg.OUTPUT_DIR) / "metrics.json"), window_size=1),
            TensorboardXWriter(self.cfg.OUTPUT_DIR),
        ]

    @classmethod
    def check(cls, cfg: CfgNode, *, eval_only: bool) -> None:
        """Refuse test data that cannot be scored, before the training. Raises: UserError."""
        for name in cfg.DATASETS.TEST:
            check_scores(cls.build_evaluator(cfg, name), name, required=not eval_only)

    def train(self) -> dict[str, Any]:
        """Train to the end.

        Returns: test data set -> results of its evaluators; {} on ranks other than the main one.
        """
        with without_tracebacks_of_expected_ends(), suppress(StopTraining):
            super().train()
        return _by_name(self.cfg, self._last_eval_results)

    @classmethod
    def load_trained(cls, model: nn.Module, cfg: CfgNode) -> None:
        """Load trained weights. Raises: UserError, see `checkpoint.load_trained`."""
        load_trained(model, cfg)

    @classmethod
    def evaluate(cls, cfg: CfgNode, model: nn.Module) -> dict[str, Any]:
        """Evaluate a model on DATASETS.TEST without training. Returns: see `train`."""
        return _by_name(cfg, cls.test(cfg, model))

    def resume_or_load(self, resume: bool = True) -> None:
        """Load weights, or resume the run; the stream of images then continues where it stopped."""
        super().resume_or_load(resume)
        self.train_loader.start_iteration = self.start_iter
        if self.start_iter:
            logger.info("continues at iteration %d of %d", self.start_iter, self.max_iter)

    def unreadable_images(self) -> dict[str, str]:
        """Return unreadable training images -> reason; those of all ranks on the main rank."""
        parts = comm.gather(self.train_loader.unreadable, dst=0)
        return {name: reason for part in parts for name, reason in part.items()}

    def state_dict(self) -> dict[str, Any]:
        """Return iteration, hooks and optimizer; Detectron2 0.6 does not save the optimizer."""
        state: dict[str, Any] = TrainerBase.state_dict(self) | {
            "optimizer": self.optimizer.state_dict()
        }
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a `state_dict`. Raises: ValueError for an optimizer of other parameters."""
        TrainerBase.load_state_dict(self, state_dict)
        self.optimizer.load_state_dict(state_dict["optimizer"])
        for parameter, kept in self.optimizer.state.items():
            shapes = {x.shape for x in kept.values() if isinstance(x, torch.Tensor) and x.ndim}
            if shapes - {parameter.shape}:
                raise ValueError("its optimizer learnt parameters of other shapes")

    def run_step(self) -> None:
        """Run one step. Raises: UserError if a loss is not finite, or the batch is too small."""
        try:
            super().run_step()
        except (FloatingPointError, ValueError) as error:
            mistake = mistake_of_step(error, self.position_text(), self.learning_rates)
            if mistake is None:
                raise
            raise mistake from error

    @classmethod
    def build_lr_scheduler(cls, cfg: CfgNode, optimizer: torch.optim.Optimizer) -> LRScheduler:
        """Return Detectron2's scheduler without the SOLVER.STEPS at its end, which it refuses."""
        reached = cfg.clone()
        reached.defrost()
        reached.SOLVER.STEPS = tuple(x for x in cfg.SOLVER.STEPS if x < cfg.SOLVER.MAX_ITER)
        scheduler: LRScheduler = build_lr_scheduler(reached, optimizer)
        return scheduler

    @classmethod
    def build_train_loader(cls, cfg: CfgNode) -> TrainLoader:
        """Return the endless stream over `training_records`."""
        return TrainLoader(
            cls.training_records(cfg),
            cls.build_mapper(cfg),
            batch_size=cfg.SOLVER.IMS_PER_BATCH,
            seed=cfg.SEED,
            rank=comm.get_rank(),
            ranks=comm.get_world_size(),
            num_workers=cfg.DATALOADER.NUM_WORKERS,
            by_shape=cls.batches_by_shape and cfg.DATALOADER.ASPECT_RATIO_GROUPING,
        )

    @classmethod
    def training_records(cls, cfg: CfgNode) -> list[dict[str, Any]]:
        """Return the records of all data sets in DATASETS.TRAIN, in order."""
        return [
            record
            for name in cfg.DATASETS.TRAIN
            for record in DatasetCatalog.get(register_spec(name))
        ]

    @classmethod
    def build_test_loader(cls, cfg: CfgNode, dataset_name: str) -> WholeImageLoader:
        """Return a loader of whole images in batches of one padded size; ranks take turns."""
        records = DatasetCatalog.get(register_spec(dataset_name))
        return whole_image_loader(cfg, records, f"evaluate {dataset_name}")

    @classmethod
    def build_evaluator(cls, cfg: CfgNode, dataset_name: str) -> DatasetEvaluator:
        """Return the evaluator of all sets of boxes; a data set has a folder of details."""
        return build_box_evaluator(
            register_spec(dataset_name),
            protocol=cfg.TEST.CORLOC_PROTOCOL,
            output_dir=inference_folder(cfg.OUTPUT_DIR, dataset_name),
            info={"method": cfg.MODEL.META_ARCHITECTURE, "config_sha256": config_sha256(cfg)},
        )


def _by_name(cfg: CfgNode, results: dict[str, Any]) -> dict[str, Any]:
    """Return data set -> results, also for one data set, where Detectron2 leaves out the name."""
    names = cfg.DATASETS.TEST
    return {names[0]: results} if len(names) == 1 else results


def whole_image_loader(
    cfg: CfgNode, records: Sequence[dict[str, Any]], what: str = ""
) -> WholeImageLoader:
    """Return a loader of this rank's images in batches of one size. Args: what: the bar's label."""
    mapper = WholeImageMapper(cfg.INPUT.MAX_SIDE)
    multiple = padding_multiple(cfg.MODEL.MAP_NETWORK.NAME, cfg.MODEL.MAP_NETWORK.WEIGHTS)
    batches = equal_size_batches(
        records, mapper, lambda size: padded_size(size, multiple), cfg.TEST.IMS_PER_BATCH
    )
    mine = batches[comm.get_rank() :: comm.get_world_size()]
    return WholeImageLoader(mine, mapper, cfg.DATALOADER.NUM_WORKERS, what=what)
