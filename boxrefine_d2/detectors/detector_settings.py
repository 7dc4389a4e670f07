"""What of a detector's settings changes with the machine, norms and the learning rate; and what of them is not read."""

import logging
from typing import Any

from detectron2.config import CfgNode
from detectron2.modeling import build_model
from detectron2.utils import comm
from torch import nn

from boxrefine_d2.errors import UserError

logger = logging.getLogger(__name__)

_NORMS = (
    "MODEL.RESNETS",
    "MODEL.FPN",
    "MODEL.ROI_BOX_HEAD",
    "MODEL.ROI_MASK_HEAD",
)
# keys of Detectron2 that choose among ways of loading data, and the ways that are ours
_LOADING: dict[str, tuple[Any, ...]] = {
    "INPUT.FORMAT": ("RGB",),
    "INPUT.RANDOM_FLIP": ("horizontal", "none"),
    "INPUT.CROP.ENABLED": (False,),
    "MODEL.KEYPOINT_ON": (False,),
    "MODEL.LOAD_PROPOSALS": (False,),
    "DATALOADER.SAMPLER_TRAIN": ("TrainingSampler",),
    "DATALOADER.FILTER_EMPTY_ANNOTATIONS": (True,),
    "TEST.AUG.ENABLED": (False,),
}
# how Detectron2 says that its keys contradict each other
_OF_PARTS_THAT_DO_NOT_FIT = (AssertionError, AttributeError, IndexError, KeyError, TypeError, ValueError, RuntimeError)  # fmt: skip
_SHOWN = 300  # characters of its reason
_OF_CLASS_AGNOSTIC_RCNN = ("INPUT.COPY_PASTE.ENABLED", "SOLVER.AMP.ENABLED")


def build_detector(cfg: CfgNode) -> nn.Module:
    """The model that MODEL describes, built by Detectron2 on its device.

    Raises: UserError with Detectron2's reason where its parts do not fit together, or one is unknown.
    """
    try:
        detector: nn.Module = build_model(with_local_norms(cfg))
        return detector
    except UserError:
        raise
    except _OF_PARTS_THAT_DO_NOT_FIT as error:
        reason = " ".join(str(error).split())[:_SHOWN] or "its parts do not fit together"
        raise UserError(
            f"MODEL {cfg.MODEL.META_ARCHITECTURE} cannot be built by Detectron2 ({type(error).__name__}): {reason}"
        ) from error


def with_local_norms(cfg: CfgNode) -> CfgNode:
    """SyncBN becomes BN where there is nobody to synchronise with: on CPUs and in a single process."""
    alone, on_cpu = comm.get_world_size() == 1, cfg.MODEL.DEVICE == "cpu"
    synced = [name for name in _NORMS if _value(cfg, name).NORM == "SyncBN"]
    if not synced or not (alone or on_cpu):
        return cfg
    why = "a single process" if alone else "CPUs"
    logger.info("SyncBN is BN for %s: %s.NORM", why, ".NORM, ".join(synced))
    local = cfg.clone()
    local.defrost()
    for name in synced:
        _value(local, name).NORM = "BN"
    local.freeze()
    return local


def with_scaled_rate(cfg: CfgNode) -> CfgNode:
    """SOLVER.BASE_LR scaled linearly from SOLVER.REFERENCE_BATCH to SOLVER.IMS_PER_BATCH (arXiv:1706.02677)."""
    solver = cfg.SOLVER
    if not solver.REFERENCE_BATCH or solver.REFERENCE_BATCH == solver.IMS_PER_BATCH:
        return cfg
    scaled = cfg.clone()
    scaled.defrost()
    scaled.SOLVER.BASE_LR = solver.BASE_LR * solver.IMS_PER_BATCH / solver.REFERENCE_BATCH
    scaled.freeze()
    logger.info(
        "SOLVER.BASE_LR %g is of batches of %d; for %d it is %g (SOLVER.REFERENCE_BATCH 0 leaves it)",
        *(solver.BASE_LR, solver.REFERENCE_BATCH, solver.IMS_PER_BATCH, scaled.SOLVER.BASE_LR),
    )
    return scaled


def check_parts(cfg: CfgNode) -> None:
    """Raises: UserError for keys that the named parts would not read."""
    drops = cfg.MODEL.ROI_HEADS.DROP_LOSS.ENABLED
    if drops and not cfg.MODEL.ROI_HEADS.NAME.startswith("DropLoss"):
        raise UserError(
            f"MODEL.ROI_HEADS.DROP_LOSS.ENABLED: {cfg.MODEL.ROI_HEADS.NAME} has no DropLoss; set MODEL.ROI_HEADS.NAME to "
            "DropLossROIHeads or DropLossCascadeROIHeads"
        )
    for key, known in _LOADING.items():
        if _value(cfg, key) not in known:
            raise UserError(
                f"{key} {_value(cfg, key)}: images are not loaded so here; set it to {' or '.join(map(str, known))}"
            )
    if cfg.MODEL.META_ARCHITECTURE == "ClassAgnosticRCNN":
        return
    for key in _OF_CLASS_AGNOSTIC_RCNN:
        if _value(cfg, key):
            raise UserError(
                f"{key} True: {cfg.MODEL.META_ARCHITECTURE} does not read it, ClassAgnosticRCNN does; set it to False"
            )


def _value(cfg: CfgNode, name: str) -> Any:
    for part in name.split("."):
        cfg = cfg[part]
    return cfg
