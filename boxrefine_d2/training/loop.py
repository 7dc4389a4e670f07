"""The one training loop: Detectron2's, made to resume exactly, to run on CPUs, and to say what went wrong in a line."""

import logging
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
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
from boxrefine_d2.errors import UserError, expected_end
from boxrefine_d2.evaluation import CorLocEvaluator
from boxrefine_d2.networks import padded_size, padding_multiple
from boxrefine_d2.networks.weights import WeightsInfo

from .checkpoint import SafeCheckpointer, load_trained
from .hooks import ProgressBar, SharedStatistics, StopTraining
from .results_file import inference_folder
from .step_hook import TimedSteps


class Trainer(DefaultTrainer):
    """What every job shares; `cfg.DATASETS.*` may hold any dataset spec.

    A job says how its optimizer and its mapper are built, which hooks surround a step, and what its record holds.

    Attributes: network: the model without DDP's wrapper.
    """

    learning_rates: str  # the keys to lower when the loss breaks down
    batches_by_shape = False  # whether DATALOADER.ASPECT_RATIO_GROUPING is read
    learns = True  # or else it can be evaluated only

    def __init__(self, cfg: CfgNode):
        """Builds everything Detectron2's trainer builds; unlike it, also for several processes on CPUs."""
        TrainerBase.__init__(self)
        self.network = model = self.build_model(cfg)
        optimizer = self.build_optimizer(cfg, model)
        self.train_loader = self.build_train_loader(cfg)
        on_gpu = model.device.type == "cuda"
        # parameters without a gradient in a step (the phase's idle part, a frozen layer) are what DDP calls unused
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
        """The job's own hooks; they run before all others."""
        return []

    def progress(self) -> dict[str, str]:
        """What the progress bar shows beside the rate."""
        return {"loss": f"{self.storage.history('total_loss').latest():.3f}"}

    def position_text(self) -> str:
        """Return where the training is, for a message."""
        return f"iteration {self.iter}"

    @classmethod
    def product_file(cls, cfg: CfgNode) -> str | None:
        """Return the file or folder that a training writes to OUTPUT_DIR beside its checkpoints; None if there is none."""
        return None

    @classmethod
    def weights_info(cls, model: Any) -> WeightsInfo:
        """What the model started from."""
        info: WeightsInfo = model.map_network.weights_info
        return info

    def stream_record(self, steps: TimedSteps) -> dict[str, Any]:
        """Return what the record of every job on images has: their number, how many were drawn, and the seconds."""
        return {
            "images_seen": self.max_iter * self.cfg.SOLVER.IMS_PER_BATCH,
            "images": len(self.train_loader.dataset),
            "seconds": round(steps.seconds, 1),
            "unreadable_images": self.unreadable_images(),
        }

    def record(self) -> dict[str, Any]:
        """What the run did, for results.json; computed by all ranks together, complete on the main one."""
        raise NotImplementedError

    @classmethod
    def build_mapper(cls, cfg: CfgNode) -> TrainMapper:
        """From a record to a training sample."""
        raise NotImplementedError

    def build_hooks(self) -> list[HookBase]:
        """The job's first, then Detectron2's in its own order: checkpoint, evaluation, and last the writers."""
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
        """Detectron2's; metrics.json holds the numbers of the iteration, not their running median."""
        metrics = Path(self.cfg.OUTPUT_DIR) / "metrics.json"
        return [
            CommonMetricPrinter(self.max_iter),
            JSONWriter(str(metrics), window_size=1),
            TensorboardXWriter(self.cfg.OUTPUT_DIR),
        ]

    @classmethod
    def check(cls, cfg: CfgNode) -> None:
        """Fails before training, not after it, on test data that cannot be scored. Raises: UserError."""
        for name in cfg.DATASETS.TEST:
            cls.build_evaluator(cfg, name)

    def train(self) -> dict[str, Any]:
        """Trains to the end.

        Returns: test data set -> what its evaluators returned; {} on ranks other than the main one.
        """
        with _without_tracebacks_of_expected_ends(), suppress(StopTraining):
            super().train()
        return _by_name(self.cfg, self._last_eval_results)

    @classmethod
    def load_trained(cls, model: nn.Module, cfg: CfgNode) -> None:
        """What was learnt, into a model that is to be evaluated. Raises: UserError, see `checkpoint.load_trained`."""
        load_trained(model, cfg)

    @classmethod
    def evaluate(cls, cfg: CfgNode, model: nn.Module) -> dict[str, Any]:
        """Evaluates a model on DATASETS.TEST as it is; returns what `train` does."""
        return _by_name(cfg, cls.test(cfg, model))

    def resume_or_load(self, resume: bool = True) -> None:
        """Loads weights, or everything; the stream of images continues where the run stopped."""
        super().resume_or_load(resume)
        self.train_loader.start_iteration = self.start_iter

    def unreadable_images(self) -> dict[str, str]:
        """Training images that other ones stood in for, file name -> reason; of all ranks, on the main one."""
        parts = comm.gather(self.train_loader.unreadable, dst=0)
        return {name: why for part in parts for name, why in part.items()}

    def state_dict(self) -> dict[str, Any]:
        """Iteration, hooks and the optimizer, which Detectron2 0.6 leaves out of its checkpoints."""
        state: dict[str, Any] = TrainerBase.state_dict(self) | {
            "optimizer": self.optimizer.state_dict()
        }
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """What `state_dict` gave. Raises: ValueError for an optimizer of other parameters."""
        TrainerBase.load_state_dict(self, state_dict)
        self.optimizer.load_state_dict(state_dict["optimizer"])
        for parameter, kept in self.optimizer.state.items():
            shapes = {x.shape for x in kept.values() if isinstance(x, torch.Tensor) and x.ndim}
            if shapes - {parameter.shape}:
                raise ValueError("its optimizer learnt parameters of other shapes")

    def run_step(self) -> None:
        """One step.

        Raises: UserError when a loss is not finite any more.
        """
        try:
            super().run_step()
        except FloatingPointError as error:
            raise UserError(
                f"training broke down at {self.position_text()}: {error}; lower {self.learning_rates}, "
                "or continue from an earlier checkpoint"
            ) from error

    @classmethod
    def build_lr_scheduler(cls, cfg: CfgNode, optimizer: torch.optim.Optimizer) -> LRScheduler:
        """Detectron2's, less the steps that a shortened run does not reach: it refuses one at the very end."""
        reached = cfg.clone()
        reached.defrost()
        reached.SOLVER.STEPS = tuple(x for x in cfg.SOLVER.STEPS if x < cfg.SOLVER.MAX_ITER)
        scheduler: LRScheduler = build_lr_scheduler(reached, optimizer)
        return scheduler

    @classmethod
    def build_train_loader(cls, cfg: CfgNode) -> TrainLoader:
        """The endless stream over `training_records`."""
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
        """The records of all of DATASETS.TRAIN, in order."""
        return [
            record
            for name in cfg.DATASETS.TRAIN
            for record in DatasetCatalog.get(register_spec(name))
        ]

    @classmethod
    def build_test_loader(cls, cfg: CfgNode, dataset_name: str) -> WholeImageLoader:
        """Whole images in batches of one padded size; ranks take turns."""
        records = DatasetCatalog.get(register_spec(dataset_name))
        return whole_image_loader(cfg, records, f"evaluate {dataset_name}")

    @classmethod
    def build_evaluator(cls, cfg: CfgNode, dataset_name: str) -> DatasetEvaluator:
        """CorLoc of every set of boxes the model returns; one folder of details per data set."""
        return CorLocEvaluator(
            register_spec(dataset_name),
            protocol=cfg.TEST.CORLOC_PROTOCOL,
            output_dir=str(inference_folder(cfg.OUTPUT_DIR, dataset_name)),
        )


def _by_name(cfg: CfgNode, results: dict[str, Any]) -> dict[str, Any]:
    """Undoes Detectron2's shortcut for a single data set."""
    names = cfg.DATASETS.TEST
    return {names[0]: results} if len(names) == 1 else results


@contextmanager
def _without_tracebacks_of_expected_ends() -> Iterator[None]:
    """Detectron2's loop logs every exception whole; a user's mistake, a full disk or a killed worker is one line, said
    by the command, and a hook that ends the training has said why."""

    def is_ours(record: logging.LogRecord) -> bool:
        error = record.exc_info and record.exc_info[1]
        return not (error and (isinstance(error, StopTraining) or expected_end(error)))

    loop = logging.getLogger("detectron2.engine.train_loop")
    loop.addFilter(is_ours)
    try:
        yield
    finally:
        loop.removeFilter(is_ours)


def whole_image_loader(
    cfg: CfgNode, records: Sequence[dict[str, Any]], what: str = ""
) -> WholeImageLoader:
    """Return a loader of this rank's share of whole images, in batches of one padded size. Args: what: for a progress bar."""
    mapper = WholeImageMapper(cfg.INPUT.MAX_SIDE)
    multiple = padding_multiple(cfg.MODEL.MAP_NETWORK.NAME)
    batches = equal_size_batches(
        records, mapper, lambda size: padded_size(size, multiple), cfg.TEST.IMS_PER_BATCH
    )
    mine = batches[comm.get_rank() :: comm.get_world_size()]
    return WholeImageLoader(mine, mapper, cfg.DATALOADER.NUM_WORKERS, what=what)
