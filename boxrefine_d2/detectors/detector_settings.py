"""Settings of a detector: norms and learning rate for this machine, and keys that are not read."""

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
# keys of Detectron2 that choose how data is loaded, and the values that we support
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
# errors that Detectron2 raises if its keys contradict each other
_BUILD_ERRORS = (
    AssertionError,
    AttributeError,
    IndexError,
    KeyError,
    TypeError,
    ValueError,
    RuntimeError,
)
_REASON_LENGTH = 300  # characters of Detectron2's reason in our message
_CLASS_AGNOSTIC_KEYS = ("INPUT.COPY_PASTE.ENABLED", "SOLVER.AMP.ENABLED")


def build_detector(cfg: CfgNode) -> nn.Module:
    """Return the model that MODEL describes, built by Detectron2 on its device.

    Raises: UserError with Detectron2's reason if parts do not fit together, or one is unknown.
    """
    try:
        detector: nn.Module = build_model(with_local_norms(cfg))
        return detector
    except UserError:
        raise
    except _BUILD_ERRORS as error:
        reason = " ".join(str(error).split())[:_REASON_LENGTH] or "its parts do not fit together"
        raise UserError(
            f"MODEL {cfg.MODEL.META_ARCHITECTURE} cannot be built by Detectron2 "
            f"({type(error).__name__}): {reason}"
        ) from error


def with_local_norms(cfg: CfgNode) -> CfgNode:
    """Replace SyncBN by BN if nothing can be synchronised: on CPUs and in a single process."""
    alone, on_cpu = comm.get_world_size() == 1, cfg.MODEL.DEVICE == "cpu"
    synced = [name for name in _NORMS if _value(cfg, name).NORM == "SyncBN"]
    if not synced or not (alone or on_cpu):
        return cfg
    why = "a single process" if alone else "CPUs"
    logger.info("SyncBN is replaced by BN for %s: %s.NORM", why, ".NORM, ".join(synced))
    local = cfg.clone()
    local.defrost()
    for name in synced:
        _value(local, name).NORM = "BN"
    local.freeze()
    return local


def with_scaled_rate(cfg: CfgNode) -> CfgNode:
    """Scale SOLVER.BASE_LR linearly from SOLVER.REFERENCE_BATCH to SOLVER.IMS_PER_BATCH.

    Source: arXiv:1706.02677.
    """
    solver = cfg.SOLVER
    if not solver.REFERENCE_BATCH or solver.REFERENCE_BATCH == solver.IMS_PER_BATCH:
        return cfg
    scaled = cfg.clone()
    scaled.defrost()
    scaled.SOLVER.BASE_LR = solver.BASE_LR * solver.IMS_PER_BATCH / solver.REFERENCE_BATCH
    scaled.freeze()
    logger.info(
        "SOLVER.BASE_LR %g belongs to batches of %d images; for batches of %d it is scaled to %g "
        "(SOLVER.REFERENCE_BATCH 0 keeps it)",
        *(solver.BASE_LR, solver.REFERENCE_BATCH, solver.IMS_PER_BATCH, scaled.SOLVER.BASE_LR),
    )
    return scaled


def check_parts(cfg: CfgNode) -> None:
    """Refuse keys that the named parts would not read. Raises: UserError."""
    drops = cfg.MODEL.ROI_HEADS.DROP_LOSS.ENABLED
    if drops and not cfg.MODEL.ROI_HEADS.NAME.startswith("DropLoss"):
        raise UserError(
            f"MODEL.ROI_HEADS.DROP_LOSS.ENABLED: {cfg.MODEL.ROI_HEADS.NAME} has no DropLoss; set "
            "MODEL.ROI_HEADS.NAME to DropLossROIHeads or DropLossCascadeROIHeads"
        )
    for key, known in _LOADING.items():
        if _value(cfg, key) not in known:
            raise UserError(
                f"{key} {_value(cfg, key)}: this way of loading images is not supported; set it to "
                f"{' or '.join(map(str, known))}"
            )
    if cfg.MODEL.META_ARCHITECTURE == "ClassAgnosticRCNN":
        return
    for key in _CLASS_AGNOSTIC_KEYS:
        if _value(cfg, key):
            raise UserError(
                f"{key} True: {cfg.MODEL.META_ARCHITECTURE} does not read it, ClassAgnosticRCNN "
                "does; set it to False"
            )


def _value(cfg: CfgNode, name: str) -> Any:
    for part in name.split("."):
        cfg = cfg[part]
    return cfg
