"""Refinement: phases, targets, feature preservation, drift, and the optimizer of f."""

from ..limits import BETAS, COUNT, NOT_NEGATIVE, ONE_OR_MORE, between, one_of
from ..section import OURS, PAPER, Key, Section

REFINE = Section(
    "REFINE",
    "h learns alone for WARMUP_ITERS, then f for REFINE_ITERS and h for DETECTOR_ITERS in turn.",
    {
        "WARMUP_ITERS": Key(
            3000, "Length of the first phase, in which h learns.", COUNT, "iterations"
        ),
        "REFINE_ITERS": Key(10000, "Length of a phase in which f learns.", COUNT, "iterations"),
        "DETECTOR_ITERS": Key(
            0,
            "Length of a later phase in which h learns. The paper never returns to h.",
            COUNT,
            "iterations",
            f"{PAPER}; release: 620",
        ),
        "PRESERVATION_WEIGHT": Key(
            1.0, "Weight of feature preservation, ||f(I) - f^h(I)||^2.", NOT_NEGATIVE
        ),
        "REG_ON": Key(
            "cls",
            "What feature preservation holds: of a transformer the CLS token after the final "
            "norm, or the keys; of a "
            "segmenter the mask; of any other network the map.",
            one_of("cls", "keys", "mask", "map"),
        ),
        "REG_REDUCTION": Key(
            "sum",
            "Reduction over channels. The formula sums, the release takes the mean.",
            one_of("sum", "mean"),
        ),
        "RECORD_IMAGES": Key(
            0,
            "Number of training images on which a run is measured at its end; 0 is all of them.",
            COUNT,
            "images",
            OURS,
        ),
        "TARGETS": Key(
            "rule",
            "What h and f learn from: the rule's boxes on the current map of the square input "
            "(rule, the release), on "
            "the map of f before refinement (reference, the release of MOVE), or the boxes of "
            "DATASETS.TRAIN such as "
            "+pseudo=FILE (annotations, the paper's boxes 'extracted from I by f').",
            one_of("rule", "reference", "annotations"),
        ),
        "FRESH_HEAD": Key(
            False,
            "Whether the head of a segmenter starts anew when f begins to learn, and learns "
            "alone. The release refines "
            "no segmenter of MOVE's.",
        ),
        "REFERENCE_BATCH_STATISTICS": Key(
            False,
            "Whether the batch norms of the frozen copy read the batch while f learns, as the "
            "release of MOVE leaves "
            "them by oversight.",
        ),
        "SHUFFLE_BOXES": Key(
            False,
            "Whether h learns from the boxes of another image of the batch: a control.",
            source=OURS,
        ),
        "STOP_ON_DRIFT": Key(
            False,
            "Whether f goes back to the check before and training ends once f drifts off. False: "
            "drift is logged.",
            source=OURS,
        ),
    },
    source=PAPER,
)

DRIFT = Section(
    "REFINE.DRIFT",
    "Signs, without labels, that f drifts off.",
    {
        "PERIOD": Key(500, "Iterations of f between checks; 0 is never.", COUNT, "iterations"),
        "IMAGES": Key(64, "Number of training images that a check reads.", ONE_OR_MORE, "images"),
        "AGREEMENT_LOSS": Key(
            0.05, "Fall of the mean IoU with the boxes of mirrored images.", NOT_NEGATIVE
        ),
        "AREA_FACTOR": Key(
            1.5, "Factor by which the mean box area may grow or shrink.", between(1, 1e30)
        ),
        "FEATURE_SHIFT": Key(
            0.5, "Distance of the maps before and after.", NOT_NEGATIVE, "share of their length"
        ),
    },
    source=OURS,
)

MAP_NETWORK_SOLVER = Section(
    "SOLVER",
    "The optimizer of f; SOLVER.BASE_LR is the learning rate of h.",
    {
        "MAP_NETWORK_LR": Key(
            5e-7, "Learning rate of f.", NOT_NEGATIVE, source=f"{PAPER}; release: 1e-5"
        ),
        "MAP_NETWORK_BETAS": Key(
            (0.9, 0.999), "Betas of Adam.", BETAS, source="Adam; release of MOVE: (0.9, 0.95)"
        ),
        "MAP_NETWORK_DECOUPLED_DECAY": Key(
            False,
            "Whether weight decay is AdamW's (release of MOVE), or Adam's, a part of the gradient.",
        ),
    },
    source=PAPER,
)

MAP_NETWORK_DECAY = Section(
    "SOLVER.MAP_NETWORK_DECAY",
    "The learning rate of f falls as (1 - t / ITERS) ** POWER. t counts from the end of "
    "REFINE.WARMUP_ITERS.",
    {
        "POWER": Key(0.0, "Exponent; 0: the rate does not fall.", NOT_NEGATIVE),
        "ITERS": Key(10000, "Iterations until the rate is 0.", ONE_OR_MORE, "iterations"),
        "EVERY_ITERS": Key(
            1, "Iterations between two changes of the rate.", ONE_OR_MORE, "iterations"
        ),
    },
    source="release of MOVE",
)
