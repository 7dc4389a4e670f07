"""CAD and CutLER. Their other keys are Detectron2's, set in configs/base/."""

from ..limits import AREA, COUNT, NOT_NEGATIVE, ONE_OR_MORE, SHARE, one_of, several
from ..section import OURS, Key, Section

_CUTLER = "CutLER (arXiv:2301.11320)"

DETECTOR_SOLVER = Section(
    "SOLVER",
    "Learning rates of detectors.",
    {
        "REFERENCE_BATCH": Key(
            0,
            "Batch that SOLVER.BASE_LR is meant for. Another SOLVER.IMS_PER_BATCH scales the rate "
            "linearly, and the log "
            "says so; 0: never.",
            COUNT,
            "images",
        ),
        "PREDICTOR_LR_FACTOR": Key(
            1.0,
            "Factor of the learning rate of the layers that tell classes apart, which start anew "
            "on a detector without "
            "classes.",
            NOT_NEGATIVE,
        ),
    },
    source=OURS,
)

DROP_LOSS = Section(
    "MODEL.ROI_HEADS.DROP_LOSS",
    "Regions whose predicted box meets no pseudo-box have no classification loss.",
    {
        "ENABLED": Key(
            False, "Whether the loss is dropped. True needs a ROI_HEADS.NAME DropLoss*."
        ),
        "IOU_THRESH": Key(0.01, "A region keeps its loss above this IoU.", SHARE),
        "TARGETS": Key(
            "paper",
            "Which boxes count: all of the image (paper), or those that its code finds (release).",
            one_of("paper", "release"),
        ),
    },
    source=_CUTLER,
)

SELF_TRAINING = Section(
    "SELF_TRAINING",
    "Rounds of self-training, `boxrefine self-train`.",
    {
        "MIN_SCORES": Key(
            (0.7, 0.65),
            "Smallest score of a prediction that becomes a label, one value for each round; the "
            "last value serves all "
            "further rounds.",
            several(SHARE, 1),
        ),
        "MAX_IOU": Key(
            0.5,
            "A label of the round before stays if its IoU with each prediction is lower.",
            SHARE,
        ),
        "DETECTIONS": Key(30, "Largest number of predictions in an image.", ONE_OR_MORE),
    },
    source="CutLER's repository",
)

COPY_PASTE = Section(
    "INPUT.COPY_PASTE",
    "Copy-paste augmentation.",
    {
        "ENABLED": Key(False, "Whether objects are pasted."),
        "RATE": Key(1.0, "Share of the images that receive objects.", SHARE),
        "RATIO": Key(
            (0.3, 1.0), "Range of the size of a pasted object.", AREA, "share of the image"
        ),
        "DISCARD_SHARE": Key(
            0.5,
            "An object that would cover this share of another one, or more, is not pasted.",
            SHARE,
        ),
        "BEHAVIOUR": Key(
            "fixed",
            "Whether the defects of the release's code are kept.",
            one_of("fixed", "release"),
        ),
    },
    source=f"{_CUTLER}, code",
)
