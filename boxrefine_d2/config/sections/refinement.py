"""Refinement: phases, targets, feature preservation, drift, and the optimizer of f."""

from ..limits import BETAS, COUNT, NOT_NEGATIVE, ONE_OR_MORE, SHARE, Limit, between, one_of, whole
from ..section import OURS, PAPER, Key, Section
from .pair_loss import pair_loss_keys

_BOXINST = "BoxInst (arXiv:2012.02310)"

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
        "LOSS": Key(
            "detector",
            "What refines f: h's loss on f's map (detector, the paper's), the region loss of "
            "REFINE.REGION (region; then f needs no h, and WARMUP_ITERS may be 0), or both.",
            one_of("detector", "region", "both"),
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
            "Whether h learns from the boxes of another image of the batch, and the region loss "
            "reads another image's regions: a control.",
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

REGION = Section(
    "REFINE.REGION",
    "The region loss on f's keys of the square input: those of one region become similar, and "
    "those of regions that lie apart dissimilar.",
    {
        "WEIGHT": Key(1.0, "Weight of the loss.", NOT_NEGATIVE),
        "FROM": Key(
            "masks",
            "Source of the regions: the masks of REFINE.TARGETS, which are those of the "
            "annotations or of the rule (masks); these masks inside h's confident boxes on f's "
            "current map, and no cell on which the two disagree (detector); the boxes of "
            "REFINE.TARGETS, by the terms of BoxInst (boxes); or these boxes as if their objects "
            "filled them (filled_boxes).",
            one_of("masks", "boxes", "filled_boxes", "detector"),
        ),
        "CONFIDENCE": Key(
            0.5, "With detector: least probability of an object in a box of h.", SHARE
        ),
        "OUTSIDE": Key(
            "background",
            "What lies outside of every region: one more region (background), or unknown "
            "(ignored), as where one pseudo-box leaves other objects unnamed.",
            one_of("background", "ignored"),
        ),
        "BORDER": Key(
            0.75,
            "Least share of a map's cell that one region, or the outside, must fill. A region's "
            "edge cuts other cells, and they are ignored.",
            Limit("above 0.5, at most 1", lambda value: 0.5 < value <= 1),
            "share of a cell",
        ),
        "REGIONS_APART": Key(
            False,
            "Whether the keys of two regions of an image become dissimilar, too. Two objects may "
            "be of one kind.",
        ),
        **pair_loss_keys(1.0, "the background"),
        "PAIRWISE_WEIGHT": Key(
            1.0,
            "With boxes: weight of the pairwise term against the projection term.",
            NOT_NEGATIVE,
            source=_BOXINST,
        ),
        "COLOUR_SIMILARITY": Key(
            0.3,
            "With boxes: least similarity of colours, exp(-difference in CIELAB / 2), from which "
            "on two neighbouring cells should have one label.",
            SHARE,
            source=_BOXINST,
        ),
        "PAIR_DISTANCE": Key(
            1,
            "With boxes: distance of such neighbours. BoxInst's 2 cells are 8 pixels of its map of "
            "stride 4; a cell here has 8 or 16.",
            whole(1, 1000),
            "cells",
        ),
    },
    source=OURS,
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
