"""Pre-training of transformers: self-distillation, masked patches, composites; CLIP's text."""

from ..limits import (
    AREA,
    BELOW_1,
    COUNT,
    NOT_NEGATIVE,
    ONE_OR_MORE,
    POSITIVE,
    SHARE,
    SIDE,
    WIDTH,
    one_of,
    pair,
    several,
    whole,
)
from ..section import OURS, Key, Section
from .pair_loss import pair_loss_keys

_DINO = "DINO (arXiv:2104.14294), code for ViT-S/16; 1251 iterations are an epoch of ImageNet"

PRETRAIN = Section(
    "PRETRAIN",
    "Self-distillation of a student and its moving average, the teacher.",
    {
        "TEACHER_MOMENTUM": Key(
            0.996, "Momentum of the teacher at the start; a cosine leads to 1 at the end.", SHARE
        ),
        "WEIGHT_DECAY_END": Key(
            0.4,
            "Weight decay at the end of a cosine that starts at SOLVER.WEIGHT_DECAY. Biases and "
            "norms have none.",
            NOT_NEGATIVE,
        ),
        "DROP_PATH": Key(
            0.1, "Drop path of the student's last block; the first block has 0.", BELOW_1
        ),
    },
    source=_DINO,
)

DINO = Section(
    "PRETRAIN.DINO",
    "The loss of CLS tokens of crops.",
    {
        "WEIGHT": Key(1.0, "Weight of the loss.", NOT_NEGATIVE),
        "GLOBAL_SIZE": Key(224, "Side of a global crop.", SIDE, "pixels"),
        "GLOBAL_AREA": Key(
            (0.25, 1.0), "Range of a global crop's area.", AREA, "share of the image"
        ),
        "LOCAL_SIZE": Key(96, "Side of a local crop.", SIDE, "pixels"),
        "LOCAL_AREA": Key(
            (0.05, 0.25), "Range of a local crop's area.", AREA, "share of the image"
        ),
        "LOCAL_CROPS": Key(10, "Number of local crops of an image.", whole(0, 1000)),
        "STUDENT_TEMPERATURE": Key(0.1, "Temperature of the student.", POSITIVE),
        "TEACHER_TEMPERATURE": Key(
            (0.04, 0.07),
            "Temperatures of the teacher, linear from the first to the second.",
            several(POSITIVE, 2, 2),
        ),
        "TEMPERATURE_ITERS": Key(37530, "Length of that change, 30 epochs.", COUNT, "iterations"),
        "CENTRE_MOMENTUM": Key(0.9, "Momentum of the centre of the teacher's outputs.", SHARE),
        "OUT_DIM": Key(65536, "Outputs of the head.", whole(1, 2**20)),
        "HIDDEN_DIM": Key(2048, "Width of the head's hidden layers.", WIDTH, "channels"),
        "BOTTLENECK_DIM": Key(256, "Width of the head's bottleneck.", WIDTH, "channels"),
        "NORM_LAST_LAYER": Key(False, "Whether the last layer's weights keep length 1."),
        "FREEZE_LAST_LAYER_ITERS": Key(
            1251, "Iterations in which the last layer does not learn, 1 epoch.", COUNT, "iterations"
        ),
        "COLLAPSE_NATS": Key(
            0.01,
            "Training has collapsed if the teacher's outputs tell the crops of a batch apart by "
            "less than this.",
            NOT_NEGATIVE,
            "nats",
            OURS,
        ),
        "COLLAPSE_ITERS": Key(
            500, "Iterations in a row that make a collapse.", ONE_OR_MORE, "iterations", OURS
        ),
    },
    source=_DINO,
)

PATCH = Section(
    "PRETRAIN.PATCH",
    "The loss of masked patches, through the head of the CLS tokens.",
    {
        "WEIGHT": Key(0.0, "Weight of the loss. iBOT's is 1.", NOT_NEGATIVE),
        "MASKED_IMAGES": Key(0.5, "Share of global crops that have masked patches.", SHARE),
        "MASK_RATIO": Key(
            (0.1, 0.5), "Range of the share of patches that are masked.", pair(SHARE)
        ),
    },
    source="iBOT (arXiv:2111.07832)",
)

GROUPING = Section(
    "PRETRAIN.GROUPING",
    "The loss that tells patches of composites apart by the image that they come from.",
    {
        "WEIGHT": Key(0.0, "Weight of the loss.", NOT_NEGATIVE),
        "SIZE": Key(224, "Side of a composite.", SIDE, "pixels"),
        "VIEW_AREA": Key(
            (0.35, 1.0), "Range of the area that a view shows.", AREA, "share of the image"
        ),
        "REGION_AREA": Key(
            (0.02, 0.5), "Range of the area that a pasted region covers.", AREA, "share of the view"
        ),
        **pair_loss_keys(0.3, "the image that receives the region"),
    },
    source=OURS,
)

REGIONS = Section(
    "PRETRAIN.REGIONS",
    "The loss that tells patches of an object from the background; a rule finds both on the "
    "teacher's map.",
    {
        "WEIGHT": Key(0.0, "Weight of the loss.", NOT_NEGATIVE),
        "RULE": Key(
            "absorption",
            "The rule. It has masks and reads keys.",
            one_of("absorption", "lost", "maskcut", "tokencut"),
        ),
        "START_ITERS": Key(
            150, "Iterations before the teacher is asked first.", COUNT, "iterations"
        ),
        "WHOLE_SIZE": Key(192, "Side of the whole image that the teacher reads.", SIDE, "pixels"),
        "SIZE": Key(160, "Side of the crop that the student reads.", SIDE, "pixels"),
        "VIEW_AREA": Key((0.25, 1.0), "Range of the crop's area.", AREA, "share of the image"),
        **pair_loss_keys(1.0, "the background"),
    },
    source=OURS,
)

CLIP_TEXT = Section(
    "PRETRAIN.CLIP",
    "Training of a small CLIP.",
    {
        "VOCABULARY": Key(
            1024,
            "Tokens of its text; 514 of them are bytes and marks.",
            whole(514, 2**20),
            "tokens",
        )
    },
    source=OURS,
)
