"""What each key of the configuration may hold: one table, read before anything is built.

Keys that name a part (a network, a rule, a head) are not here: the part's registry knows the names. Every key is also
held to the type of its default and to finite numbers, see `config_checks`.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Limit:
    """What a value may be. Attributes: allowed: in words, to follow "must be"."""

    allowed: str
    holds: Callable[[Any], bool]


def whole(least: int, most: int = 2**31 - 1) -> Limit:
    """Whole numbers from `least` to `most`."""
    upper = f" and at most {most}" if most < 2**31 - 1 else ""
    return Limit(f"at least {least}{upper}", lambda value: least <= value <= most)


def between(least: float, most: float) -> Limit:
    """Numbers of a closed range."""
    return Limit(f"from {least:g} to {most:g}", lambda value: least <= value <= most)


def above(bound: float) -> Limit:
    """Numbers greater than a bound."""
    return Limit(f"greater than {bound:g}", lambda value: value > bound)


def one_of(*known: Any) -> Limit:
    """One of a few values."""
    return Limit(f"one of {', '.join(map(repr, known))}", lambda value: value in known)


def several(each: Limit, least: int = 0, most: int = 1000, *, order: str = "") -> Limit:
    """So many values that each keep to a limit. Args: order: "" for any, "rising", or "strictly rising"."""
    count = (
        str(least) if least == most else f"{least} or more" if most == 1000 else f"{least}-{most}"
    )
    words = f"{count} values, {f'{order}, ' if order else ''}each {each.allowed}"
    return Limit(
        words,
        lambda values: (
            least <= len(values) <= most and all(map(each.holds, values)) and _in(values, order)
        ),
    )


def pair(each: Limit) -> Limit:
    """A range: its start, and its end, which is no smaller."""
    return several(each, 2, 2, order="rising")


def maybe(limit: Limit) -> Limit:
    """None, or what `limit` allows."""
    return Limit(f"None or {limit.allowed}", lambda value: value is None or limit.holds(value))


def maybe_empty(limit: Limit) -> Limit:
    """Nothing, (), or what `limit` allows."""
    return Limit(f"() or {limit.allowed}", lambda value: not len(value) or limit.holds(value))


def _in(values: Iterable[Any], order: str) -> bool:
    listed = list(values)
    steps = zip(listed, listed[1:])
    return not order or all(a < b or (order == "rising" and a == b) for a, b in steps)


def _text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


_SIDE = whole(1, 16_384)  # of images, pixels
_EDGE = whole(16, 16_384)  # of images that a detector reads, pixels
_WIDTH = whole(1, 65_536)  # of layers
_SHARE, _POSITIVE, _NOT_NEGATIVE = between(0, 1), above(0), between(0, 1e30)
_SOME_SHARE = Limit("greater than 0, at most 1", lambda value: 0 < value <= 1)
_BELOW_1 = Limit("at least 0, below 1", lambda value: 0 <= value < 1)
_BETAS = several(_BELOW_1, 2, 2)
_AREA = pair(_SOME_SHARE)
_COUNT, _ONE = whole(0), whole(1)
_NAMED = Limit("a text that is not empty", _text)
_SPECS = several(Limit("a dataset spec such as 'folder:DIR'", _text))
_NORM = one_of("", "BN", "SyncBN", "FrozenBN", "GN", "nnSyncBN", "naiveSyncBN", "LN")
_BOX_LOSS = one_of("smooth_l1", "giou", "diou", "ciou")
_POOLER = one_of("ROIPool", "ROIAlign", "ROIAlignV2")
_WEIGHTS_OF_4 = several(_POSITIVE, 4, 4)
_RULES = ["LOST", "TOKENCUT", "DINO_SEG", "REPRESENTER", "ENSEMBLE", "MOVE", "CONTOURS", "FOUND"]

_GROUPS: list[tuple[Limit, str]] = [
    (one_of(2), "VERSION"),
    (whole(-1), "SEED"),
    (_NAMED, "OUTPUT_DIR MODEL.DEVICE MODEL.META_ARCHITECTURE"),
    (_ONE, "LOG_PERIOD SOLVER.CHECKPOINT_PERIOD SOLVER.MAX_ITER TEST.PRECISE_BN.NUM_ITER"),
    (_COUNT, "TEST.EVAL_PERIOD VIS_PERIOD SOLVER.WARMUP_ITERS SOLVER.REFERENCE_BATCH"),
    # data
    (_SPECS, "DATASETS.TRAIN DATASETS.TEST"),
    (whole(0, 1024), "DATALOADER.NUM_WORKERS"),
    (whole(1, 65_536), "SOLVER.IMS_PER_BATCH TEST.IMS_PER_BATCH"),
    (_SIDE, "INPUT.SQUARE_SIZE"),
    (_EDGE, "INPUT.MAX_SIZE_TRAIN INPUT.MAX_SIZE_TEST"),
    (Limit(f"0, for images as they are, or {_EDGE.allowed}", lambda side: side == 0 or _EDGE.holds(side)), "INPUT.MIN_SIZE_TEST"),
    (_COUNT, "INPUT.MAX_SIDE"),
    (several(_EDGE, 1), "INPUT.MIN_SIZE_TRAIN"),
    (one_of("choice", "range"), "INPUT.MIN_SIZE_TRAIN_SAMPLING"),
    (one_of("polygon", "bitmask"), "INPUT.MASK_FORMAT"),
    (maybe_empty(_AREA), "INPUT.CROP_AREA"),
    (pair(between(0.01, 100)), "INPUT.CROP_ASPECT"),
    (_NOT_NEGATIVE, "INPUT.CACHE_GIB"),
    (_SHARE, "INPUT.COPY_PASTE.RATE INPUT.COPY_PASTE.DISCARD_SHARE"),
    (_AREA, "INPUT.COPY_PASTE.RATIO"),
    (one_of("fixed", "release"), "INPUT.COPY_PASTE.BEHAVIOUR"),
    # optimizers
    (_NOT_NEGATIVE, "SOLVER.BASE_LR SOLVER.MAP_NETWORK_LR"),
    (_NOT_NEGATIVE, "SOLVER.WEIGHT_DECAY SOLVER.WEIGHT_DECAY_NORM"),
    (_NOT_NEGATIVE, "SOLVER.PREDICTOR_LR_FACTOR SOLVER.BIAS_LR_FACTOR SOLVER.MAP_NETWORK_DECAY.POWER"),
    (maybe(Limit("a number of at least 0", lambda v: type(v) in (int, float) and v >= 0)), "SOLVER.WEIGHT_DECAY_BIAS"),
    (_BELOW_1, "SOLVER.MOMENTUM"),
    (_NOT_NEGATIVE, "SOLVER.GAMMA"),
    (_SHARE, "SOLVER.WARMUP_FACTOR"),
    (several(_ONE, order="strictly rising"), "SOLVER.STEPS"),
    (one_of("WarmupMultiStepLR", "WarmupCosineLR"), "SOLVER.LR_SCHEDULER_NAME"),
    (one_of("linear", "constant"), "SOLVER.WARMUP_METHOD"),
    (one_of("value", "norm"), "SOLVER.CLIP_GRADIENTS.CLIP_TYPE"),
    (_POSITIVE, "SOLVER.CLIP_GRADIENTS.CLIP_VALUE SOLVER.CLIP_GRADIENTS.NORM_TYPE"),
    (_BETAS, "SOLVER.MAP_NETWORK_BETAS PRETRAIN.INPAINTER.BETAS PRETRAIN.MOVE.SEGMENTER_BETAS"),
    (_BETAS, "PRETRAIN.MOVE.DISCRIMINATOR.BETAS"),
    (_ONE, "SOLVER.MAP_NETWORK_DECAY.ITERS SOLVER.MAP_NETWORK_DECAY.EVERY_ITERS"),
    # h
    (whole(1, 10_000), "MODEL.MAP_DETECTOR.NUM_BOXES"),
    (one_of("BN", "SyncBN", "FrozenBN"), "MODEL.MAP_DETECTOR.NORM"),
    (whole(1, 1024), "MODEL.MAP_DETECTOR.INPUT_POOL"),
    (_NOT_NEGATIVE, "MODEL.CRITERION.CLASS_WEIGHT MODEL.CRITERION.L1_WEIGHT MODEL.CRITERION.GIOU_WEIGHT"),
    (_NOT_NEGATIVE, "MODEL.CRITERION.NO_OBJECT_WEIGHT"),
    (one_of("fp32", "bf16"), "MODEL.CAPTIONER.PRECISION"),
    # refinement
    (_COUNT, "REFINE.WARMUP_ITERS REFINE.REFINE_ITERS REFINE.DETECTOR_ITERS REFINE.RECORD_IMAGES"),
    (_NOT_NEGATIVE, "REFINE.PRESERVATION_WEIGHT REFINE.DRIFT.AGREEMENT_LOSS REFINE.DRIFT.FEATURE_SHIFT"),
    (between(1, 1e30), "REFINE.DRIFT.AREA_FACTOR"),
    (_COUNT, "REFINE.DRIFT.PERIOD"),
    (_ONE, "REFINE.DRIFT.IMAGES"),
    (one_of("cls", "keys", "mask", "map"), "REFINE.REG_ON"),
    (one_of("sum", "mean"), "REFINE.REG_REDUCTION"),
    (one_of("rule", "reference", "annotations"), "REFINE.TARGETS"),
    # rules
    (_ONE, " ".join(f"DISCOVERY.{rule}.MAX_OBJECTS" for rule in _RULES)),
    (_SHARE, " ".join(f"DISCOVERY.{rule}.MIN_AREA" for rule in [*_RULES, "MASKCUT"] if rule != "ENSEMBLE")),
    (_ONE, "DISCOVERY.LOST.K_PATCHES DISCOVERY.MASKCUT.N_MASKS"),
    (between(-1, 1), "DISCOVERY.TOKENCUT.TAU DISCOVERY.MASKCUT.TAU"),
    (_SOME_SHARE, "DISCOVERY.TOKENCUT.EPS DISCOVERY.MASKCUT.EPS"),
    (_SHARE, "DISCOVERY.TOKENCUT.TIE_TOLERANCE DISCOVERY.MASKCUT.TIE_TOLERANCE"),
    (_COUNT, "DISCOVERY.DINO_SEG.HEAD"),
    (_SHARE, "DISCOVERY.DINO_SEG.MASS DISCOVERY.REPRESENTER.THRESHOLD DISCOVERY.ENSEMBLE.MIN_AGREEMENT"),
    (one_of("largest", "release"), "DISCOVERY.DINO_SEG.COMPONENT"),
    (_SHARE, "DISCOVERY.ENSEMBLE.MAX_IOU DISCOVERY.MASKCUT.MAX_IOU DISCOVERY.BILATERAL.MIN_IOU DISCOVERY.CRF.MIN_IOU"),
    (whole(0, 16_384), "DISCOVERY.MASKCUT.INPUT_SIDE"),
    (whole(0, 4), "DISCOVERY.MASKCUT.MAX_CORNERS"),
    (_POSITIVE, "DISCOVERY.BILATERAL.SIGMA_SPATIAL DISCOVERY.BILATERAL.SIGMA_LUMA DISCOVERY.BILATERAL.SIGMA_CHROMA"),
    (_SHARE, "DISCOVERY.BILATERAL.CONFIDENCE"),
    (_NOT_NEGATIVE, "DISCOVERY.BILATERAL.SMOOTHNESS DISCOVERY.BILATERAL.CG_TOLERANCE"),
    (whole(1, 10_000), "DISCOVERY.BILATERAL.BALANCE_ROUNDS DISCOVERY.BILATERAL.CG_ITERATIONS"),
    (one_of("second_largest", "largest_object"), "DISCOVERY.BILATERAL.REGION"),
    (_POSITIVE, "DISCOVERY.CRF.SMOOTH_XY DISCOVERY.CRF.COLOUR_XY DISCOVERY.CRF.COLOUR_RGB"),
    (_NOT_NEGATIVE, "DISCOVERY.CRF.SMOOTH_WEIGHT DISCOVERY.CRF.COLOUR_WEIGHT"),
    (whole(0, 10_000), "DISCOVERY.CRF.ITERATIONS"),
    (_SHARE, "DISCOVERY.MOVE.MASK_THRESH DISCOVERY.MOVE.MIN_SIDE DISCOVERY.FOUND.MASK_THRESH"),
    (one_of("pixels", "rectangle"), "DISCOVERY.MOVE.RANK_BY"),
    (one_of("exclusive", "inclusive"), "DISCOVERY.MOVE.MAXIMA"),
    (one_of("image", "square"), "DISCOVERY.MOVE.FALLBACK"),
    (_SHARE, "DISCOVERY.CONTOURS.THRESHOLD DISCOVERY.CONTOURS.NMS_IOU DISCOVERY.CONTOURS.DROP_RATIO"),
    (one_of("heatmap", "thresholded"), "DISCOVERY.CONTOURS.SCORE"),
    (one_of("xyxy", "xywh"), "DISCOVERY.CONTOURS.NMS_FORMAT"),
    (one_of("none", "pixels"), "DISCOVERY.CONTOURS.FALLBACK"),
    # grounding
    (_SHARE, "GROUNDING.WORD_DROP GROUNDING.UNION_PROBABILITY GROUNDING.MIN_TARGET_SIDE LOOKING.MIN_AREA"),
    (whole(-1, 1000), "GROUNDING.START_LAYER"),
    (_NOT_NEGATIVE, "GROUNDING.RELEVANCE_WEIGHT GROUNDING.AREA_WEIGHT GROUNDING.FOREGROUND_WEIGHT"),
    (_NOT_NEGATIVE, "GROUNDING.BACKGROUND_WEIGHT"),
    (one_of("iteration", "sample"), "GROUNDING.UNION_PER"),
    (one_of("matched", "all_pairs"), "GROUNDING.SIMILARITY"),
    (one_of("uint8", "float"), "LOOKING.SEARCH_INPUT"),
    (between(-1, 1), "LOOKING.MIN_SIMILARITY"),
    (_ONE, "LOOKING.MIN_SIZE"),
    (one_of("discard", "trim"), "LOOKING.OVERLAP"),
    (one_of("miss", "skip"), "LOOKING.MISSING"),
    # pre-training
    (_SHARE, "PRETRAIN.TEACHER_MOMENTUM PRETRAIN.DINO.CENTRE_MOMENTUM PRETRAIN.PATCH.MASKED_IMAGES"),
    (_BELOW_1, "PRETRAIN.DROP_PATH"),
    (_NOT_NEGATIVE, "PRETRAIN.WEIGHT_DECAY_END PRETRAIN.DINO.WEIGHT PRETRAIN.PATCH.WEIGHT PRETRAIN.GROUPING.WEIGHT"),
    (_NOT_NEGATIVE, "PRETRAIN.DINO.COLLAPSE_NATS PRETRAIN.GROUPING.BACKGROUND_WEIGHT PRETRAIN.GROUPING.CENTRED_WEIGHT"),
    (_SIDE, "PRETRAIN.DINO.GLOBAL_SIZE PRETRAIN.DINO.LOCAL_SIZE PRETRAIN.GROUPING.SIZE"),
    (_AREA, "PRETRAIN.DINO.GLOBAL_AREA PRETRAIN.DINO.LOCAL_AREA PRETRAIN.GROUPING.VIEW_AREA"),
    (_AREA, "PRETRAIN.GROUPING.REGION_AREA"),
    (_POSITIVE, "PRETRAIN.GROUPING.SCALE PRETRAIN.DINO.STUDENT_TEMPERATURE"),
    (several(_POSITIVE, 2, 2), "PRETRAIN.DINO.TEACHER_TEMPERATURE"),
    (whole(0, 1000), "PRETRAIN.DINO.LOCAL_CROPS"),
    (_COUNT, "PRETRAIN.DINO.TEMPERATURE_ITERS PRETRAIN.DINO.FREEZE_LAST_LAYER_ITERS"),
    (_ONE, "PRETRAIN.DINO.COLLAPSE_ITERS"),
    (whole(1, 2**20), "PRETRAIN.DINO.OUT_DIM"),
    (_WIDTH, "PRETRAIN.DINO.HIDDEN_DIM PRETRAIN.DINO.BOTTLENECK_DIM"),
    (pair(_SHARE), "PRETRAIN.PATCH.MASK_RATIO"),
    (pair(_BELOW_1), "PRETRAIN.INPAINTER.MASK_RATIO"),
    (_NOT_NEGATIVE, "PRETRAIN.INPAINTER.VISIBLE_WEIGHT PRETRAIN.MOVE.BINARISE_WEIGHT PRETRAIN.MOVE.MIN_AREA_WEIGHT"),
    (_NOT_NEGATIVE, "PRETRAIN.MOVE.MAX_AREA_WEIGHT PRETRAIN.MOVE.SEGMENTER_WEIGHT_DECAY"),
    (_NOT_NEGATIVE, "PRETRAIN.MOVE.DISCRIMINATOR.WEIGHT_DECAY"),
    (_SHARE, "PRETRAIN.MOVE.SHIFT PRETRAIN.MOVE.MIN_AREA PRETRAIN.MOVE.MAX_AREA"),
    (_SIDE, "PRETRAIN.MOVE.POOL PRETRAIN.MOVE.DISCRIMINATOR.INPUT_SIZE"),
    (_COUNT, "PRETRAIN.MOVE.BINARISE_STEPS PRETRAIN.FOUND.SEED_STEPS"),
    (_WIDTH, "PRETRAIN.MOVE.DISCRIMINATOR.MIX_CHANNELS"),
    (pair(_WIDTH), "PRETRAIN.MOVE.DISCRIMINATOR.HEAD_CHANNELS"),
    (one_of("attention", "similarity"), "PRETRAIN.FOUND.SEED_BY"),
    (between(-1, 1), "PRETRAIN.FOUND.BACKGROUND_COSINE"),
    (_NOT_NEGATIVE, "PRETRAIN.FOUND.SEED_WEIGHT PRETRAIN.FOUND.BILATERAL_WEIGHT PRETRAIN.FOUND.SELF_WEIGHT"),
    (whole(514, 2**20), "PRETRAIN.CLIP.VOCABULARY"),
    # detectors
    (several(_SHARE, 1), "SELF_TRAINING.MIN_SCORES"),
    (_SHARE, "SELF_TRAINING.MAX_IOU MODEL.ROI_HEADS.DROP_LOSS.IOU_THRESH"),
    (_ONE, "SELF_TRAINING.DETECTIONS TEST.DETECTIONS_PER_IMAGE"),
    (one_of("paper", "release"), "MODEL.ROI_HEADS.DROP_LOSS.TARGETS"),
    (one_of("lost", "no_hard", "release"), "TEST.CORLOC_PROTOCOL"),
    (Limit("[]: tools/evaluate.py compares, training does not", lambda values: not values), "TEST.EXPECTED_RESULTS"),
    (several(between(-1e6, 1e6), 3, 3), "MODEL.PIXEL_MEAN"),
    (several(_POSITIVE, 3, 3), "MODEL.PIXEL_STD"),
    (whole(0, 5), "MODEL.BACKBONE.FREEZE_AT"),
    (one_of(18, 34, 50, 101, 152), "MODEL.RESNETS.DEPTH"),
    (_NORM, "MODEL.RESNETS.NORM MODEL.FPN.NORM MODEL.ROI_BOX_HEAD.NORM MODEL.ROI_MASK_HEAD.NORM"),
    (_WIDTH, "MODEL.RESNETS.NUM_GROUPS MODEL.RESNETS.WIDTH_PER_GROUP MODEL.RESNETS.RES2_OUT_CHANNELS"),
    (_WIDTH, "MODEL.RESNETS.STEM_OUT_CHANNELS MODEL.FPN.OUT_CHANNELS MODEL.ROI_BOX_HEAD.FC_DIM"),
    (_WIDTH, "MODEL.ROI_BOX_HEAD.CONV_DIM MODEL.ROI_MASK_HEAD.CONV_DIM MODEL.RESNETS.DEFORM_NUM_GROUPS"),
    (one_of(1, 2), "MODEL.RESNETS.RES5_DILATION"),
    (several(one_of(False, True), 4, 4), "MODEL.RESNETS.DEFORM_ON_PER_STAGE"),
    (one_of("sum", "avg"), "MODEL.FPN.FUSE_TYPE"),
    (several(several(between(1, 16_384), 1), 1), "MODEL.ANCHOR_GENERATOR.SIZES"),
    (several(several(between(0.01, 100), 1), 1), "MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS"),
    (_BELOW_1, "MODEL.ANCHOR_GENERATOR.OFFSET"),
    (several(_NAMED, 1), "MODEL.RESNETS.OUT_FEATURES MODEL.RPN.IN_FEATURES MODEL.ROI_HEADS.IN_FEATURES"),
    (several(_NAMED), "MODEL.FPN.IN_FEATURES"),
    (whole(0, 100), "MODEL.ROI_BOX_HEAD.NUM_CONV MODEL.ROI_BOX_HEAD.NUM_FC MODEL.ROI_MASK_HEAD.NUM_CONV"),
    (whole(1, 512), "MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION MODEL.ROI_MASK_HEAD.POOLER_RESOLUTION"),
    (whole(0, 512), "MODEL.ROI_BOX_HEAD.POOLER_SAMPLING_RATIO MODEL.ROI_MASK_HEAD.POOLER_SAMPLING_RATIO"),
    (_POOLER, "MODEL.ROI_BOX_HEAD.POOLER_TYPE MODEL.ROI_MASK_HEAD.POOLER_TYPE"),
    (_BOX_LOSS, "MODEL.ROI_BOX_HEAD.BBOX_REG_LOSS_TYPE MODEL.RPN.BBOX_REG_LOSS_TYPE"),
    (_WEIGHTS_OF_4, "MODEL.ROI_BOX_HEAD.BBOX_REG_WEIGHTS MODEL.RPN.BBOX_REG_WEIGHTS"),
    (several(_WEIGHTS_OF_4, 1), "MODEL.ROI_BOX_CASCADE_HEAD.BBOX_REG_WEIGHTS"),
    (several(_SHARE, 1), "MODEL.ROI_BOX_CASCADE_HEAD.IOUS"),
    (_NOT_NEGATIVE, "MODEL.ROI_BOX_HEAD.BBOX_REG_LOSS_WEIGHT MODEL.RPN.BBOX_REG_LOSS_WEIGHT MODEL.RPN.LOSS_WEIGHT"),
    (_NOT_NEGATIVE, "MODEL.ROI_BOX_HEAD.SMOOTH_L1_BETA MODEL.RPN.SMOOTH_L1_BETA"),
    (whole(1, 65_536), "MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE MODEL.RPN.BATCH_SIZE_PER_IMAGE"),
    (whole(1, 100_000), "MODEL.ROI_HEADS.NUM_CLASSES"),
    (_SOME_SHARE, "MODEL.ROI_HEADS.POSITIVE_FRACTION MODEL.RPN.POSITIVE_FRACTION"),
    (several(one_of(-1, 0, 1), 1), "MODEL.ROI_HEADS.IOU_LABELS MODEL.RPN.IOU_LABELS"),
    (several(_SOME_SHARE, 1, order="rising"), "MODEL.ROI_HEADS.IOU_THRESHOLDS MODEL.RPN.IOU_THRESHOLDS"),
    (_SHARE, "MODEL.ROI_HEADS.SCORE_THRESH_TEST MODEL.ROI_HEADS.NMS_THRESH_TEST MODEL.RPN.NMS_THRESH"),
    (_ONE, "MODEL.RPN.PRE_NMS_TOPK_TRAIN MODEL.RPN.PRE_NMS_TOPK_TEST MODEL.RPN.POST_NMS_TOPK_TRAIN"),
    (_ONE, "MODEL.RPN.POST_NMS_TOPK_TEST"),
    (several(Limit("-1 or at least 1", lambda value: value == -1 or value >= 1), 1), "MODEL.RPN.CONV_DIMS"),
    (_COUNT, "MODEL.PROPOSAL_GENERATOR.MIN_SIZE"),
]  # fmt: skip

LIMITS: dict[str, Limit] = {key: limit for limit, keys in _GROUPS for key in keys.split()}
