"""Limits of Detectron2's own keys that this package reads. Detectron2 documents their meaning.

Keys that name a part (a backbone, a head) are not here: the registry of the part knows the names.
"""

from .limits import (
    BELOW_1,
    COUNT,
    NOT_EMPTY,
    NOT_NEGATIVE,
    ONE_OR_MORE,
    POSITIVE,
    SHARE,
    SOME_SHARE,
    WIDTH,
    Limit,
    between,
    maybe,
    one_of,
    several,
    whole,
)

_EDGE = whole(16, 16_384)  # of images that a detector reads, pixels
_SPECS = several(Limit("a dataset spec such as 'folder:DIR'", NOT_EMPTY.holds))
_NORM = one_of("", "BN", "SyncBN", "FrozenBN", "GN", "nnSyncBN", "naiveSyncBN", "LN")
_BOX_LOSS = one_of("smooth_l1", "giou", "diou", "ciou")
_POOLER = one_of("ROIPool", "ROIAlign", "ROIAlignV2")
_WEIGHTS_OF_4 = several(POSITIVE, 4, 4)

_GROUPS: list[tuple[Limit, str]] = [
    (one_of(2), "VERSION"),
    (NOT_EMPTY, "OUTPUT_DIR MODEL.DEVICE MODEL.META_ARCHITECTURE"),
    (ONE_OR_MORE, "SOLVER.CHECKPOINT_PERIOD SOLVER.MAX_ITER TEST.PRECISE_BN.NUM_ITER"),
    (COUNT, "TEST.EVAL_PERIOD VIS_PERIOD SOLVER.WARMUP_ITERS"),
    # data
    (_SPECS, "DATASETS.TRAIN DATASETS.TEST"),
    (whole(0, 1024), "DATALOADER.NUM_WORKERS"),
    (whole(1, 65_536), "SOLVER.IMS_PER_BATCH"),
    (_EDGE, "INPUT.MAX_SIZE_TRAIN INPUT.MAX_SIZE_TEST"),
    (
        Limit(
            f"0, for images as they are, or {_EDGE.allowed}",
            lambda side: side == 0 or _EDGE.holds(side),
        ),
        "INPUT.MIN_SIZE_TEST",
    ),
    (several(_EDGE, 1), "INPUT.MIN_SIZE_TRAIN"),
    (one_of("choice", "range"), "INPUT.MIN_SIZE_TRAIN_SAMPLING"),
    (one_of("polygon", "bitmask"), "INPUT.MASK_FORMAT"),
    # optimizers
    (NOT_NEGATIVE, "SOLVER.BASE_LR"),
    (NOT_NEGATIVE, "SOLVER.WEIGHT_DECAY SOLVER.WEIGHT_DECAY_NORM"),
    (NOT_NEGATIVE, "SOLVER.BIAS_LR_FACTOR"),
    (
        maybe(Limit("a number of at least 0", lambda v: type(v) in (int, float) and v >= 0)),
        "SOLVER.WEIGHT_DECAY_BIAS",
    ),
    (BELOW_1, "SOLVER.MOMENTUM"),
    (NOT_NEGATIVE, "SOLVER.GAMMA"),
    (SHARE, "SOLVER.WARMUP_FACTOR"),
    (several(ONE_OR_MORE, order="strictly rising"), "SOLVER.STEPS"),
    (one_of("WarmupMultiStepLR", "WarmupCosineLR"), "SOLVER.LR_SCHEDULER_NAME"),
    (one_of("linear", "constant"), "SOLVER.WARMUP_METHOD"),
    (one_of("value", "norm"), "SOLVER.CLIP_GRADIENTS.CLIP_TYPE"),
    (POSITIVE, "SOLVER.CLIP_GRADIENTS.CLIP_VALUE SOLVER.CLIP_GRADIENTS.NORM_TYPE"),
    # detectors
    (ONE_OR_MORE, "TEST.DETECTIONS_PER_IMAGE"),
    (
        Limit("[]: tools/evaluate.py compares, training does not", lambda values: not values),
        "TEST.EXPECTED_RESULTS",
    ),
    (several(between(-1e6, 1e6), 3, 3), "MODEL.PIXEL_MEAN"),
    (several(POSITIVE, 3, 3), "MODEL.PIXEL_STD"),
    (whole(0, 5), "MODEL.BACKBONE.FREEZE_AT"),
    (one_of(18, 34, 50, 101, 152), "MODEL.RESNETS.DEPTH"),
    (_NORM, "MODEL.RESNETS.NORM MODEL.FPN.NORM MODEL.ROI_BOX_HEAD.NORM MODEL.ROI_MASK_HEAD.NORM"),
    (
        WIDTH,
        "MODEL.RESNETS.NUM_GROUPS MODEL.RESNETS.WIDTH_PER_GROUP MODEL.RESNETS.RES2_OUT_CHANNELS",
    ),
    (WIDTH, "MODEL.RESNETS.STEM_OUT_CHANNELS MODEL.FPN.OUT_CHANNELS MODEL.ROI_BOX_HEAD.FC_DIM"),
    (
        WIDTH,
        "MODEL.ROI_BOX_HEAD.CONV_DIM MODEL.ROI_MASK_HEAD.CONV_DIM MODEL.RESNETS.DEFORM_NUM_GROUPS",
    ),
    (one_of(1, 2), "MODEL.RESNETS.RES5_DILATION"),
    (several(one_of(False, True), 4, 4), "MODEL.RESNETS.DEFORM_ON_PER_STAGE"),
    (one_of("sum", "avg"), "MODEL.FPN.FUSE_TYPE"),
    (several(several(between(1, 16_384), 1), 1), "MODEL.ANCHOR_GENERATOR.SIZES"),
    (several(several(between(0.01, 100), 1), 1), "MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS"),
    (BELOW_1, "MODEL.ANCHOR_GENERATOR.OFFSET"),
    (
        several(NOT_EMPTY, 1),
        "MODEL.RESNETS.OUT_FEATURES MODEL.RPN.IN_FEATURES MODEL.ROI_HEADS.IN_FEATURES",
    ),
    (several(NOT_EMPTY), "MODEL.FPN.IN_FEATURES"),
    (
        whole(0, 100),
        "MODEL.ROI_BOX_HEAD.NUM_CONV MODEL.ROI_BOX_HEAD.NUM_FC MODEL.ROI_MASK_HEAD.NUM_CONV",
    ),
    (whole(1, 512), "MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION MODEL.ROI_MASK_HEAD.POOLER_RESOLUTION"),
    (
        whole(0, 512),
        "MODEL.ROI_BOX_HEAD.POOLER_SAMPLING_RATIO MODEL.ROI_MASK_HEAD.POOLER_SAMPLING_RATIO",
    ),
    (_POOLER, "MODEL.ROI_BOX_HEAD.POOLER_TYPE MODEL.ROI_MASK_HEAD.POOLER_TYPE"),
    (_BOX_LOSS, "MODEL.ROI_BOX_HEAD.BBOX_REG_LOSS_TYPE MODEL.RPN.BBOX_REG_LOSS_TYPE"),
    (_WEIGHTS_OF_4, "MODEL.ROI_BOX_HEAD.BBOX_REG_WEIGHTS MODEL.RPN.BBOX_REG_WEIGHTS"),
    (several(_WEIGHTS_OF_4, 1), "MODEL.ROI_BOX_CASCADE_HEAD.BBOX_REG_WEIGHTS"),
    (several(SHARE, 1), "MODEL.ROI_BOX_CASCADE_HEAD.IOUS"),
    (
        NOT_NEGATIVE,
        "MODEL.ROI_BOX_HEAD.BBOX_REG_LOSS_WEIGHT MODEL.RPN.BBOX_REG_LOSS_WEIGHT "
        "MODEL.RPN.LOSS_WEIGHT",
    ),
    (NOT_NEGATIVE, "MODEL.ROI_BOX_HEAD.SMOOTH_L1_BETA MODEL.RPN.SMOOTH_L1_BETA"),
    (whole(1, 65_536), "MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE MODEL.RPN.BATCH_SIZE_PER_IMAGE"),
    (whole(1, 100_000), "MODEL.ROI_HEADS.NUM_CLASSES"),
    (SOME_SHARE, "MODEL.ROI_HEADS.POSITIVE_FRACTION MODEL.RPN.POSITIVE_FRACTION"),
    (several(one_of(-1, 0, 1), 1), "MODEL.ROI_HEADS.IOU_LABELS MODEL.RPN.IOU_LABELS"),
    (
        several(SOME_SHARE, 1, order="rising"),
        "MODEL.ROI_HEADS.IOU_THRESHOLDS MODEL.RPN.IOU_THRESHOLDS",
    ),
    (
        SHARE,
        "MODEL.ROI_HEADS.SCORE_THRESH_TEST MODEL.ROI_HEADS.NMS_THRESH_TEST MODEL.RPN.NMS_THRESH",
    ),
    (
        ONE_OR_MORE,
        "MODEL.RPN.PRE_NMS_TOPK_TRAIN MODEL.RPN.PRE_NMS_TOPK_TEST MODEL.RPN.POST_NMS_TOPK_TRAIN",
    ),
    (ONE_OR_MORE, "MODEL.RPN.POST_NMS_TOPK_TEST"),
    (
        several(Limit("-1 or at least 1", lambda value: value == -1 or value >= 1), 1),
        "MODEL.RPN.CONV_DIMS",
    ),
    (COUNT, "MODEL.PROPOSAL_GENERATOR.MIN_SIZE"),
]

DETECTRON2_LIMITS: dict[str, Limit] = {
    key: limit for limit, keys in _GROUPS for key in keys.split()
}
