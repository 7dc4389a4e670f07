"""Refinement of a rule's masks by the image: the bilateral solver and the CRF."""

from ..limits import NOT_NEGATIVE, POSITIVE, SHARE, one_of, whole
from ..section import Key, Section

_MIN_IOU = "A refined mask is rejected if its IoU with the unrefined one is lower."

BILATERAL = Section(
    "DISCOVERY.BILATERAL",
    "The bilateral solver, as TokenCut's code runs it.",
    {
        "SIGMA_SPATIAL": Key(16.0, "Width of a cell of the grid in space.", POSITIVE, "pixels"),
        "SIGMA_LUMA": Key(16.0, "Width of a cell in luma.", POSITIVE, "levels of 256"),
        "SIGMA_CHROMA": Key(8.0, "Width of a cell in chroma.", POSITIVE, "levels of 256"),
        "CONFIDENCE": Key(0.999, "Confidence in the unrefined mask.", SHARE),
        "SMOOTHNESS": Key(256.0, "Weight lambda of smoothness.", NOT_NEGATIVE),
        "BALANCE_ROUNDS": Key(10, "Rounds that make the grid bistochastic.", whole(1, 10_000)),
        "CG_TOLERANCE": Key(1e-5, "Relative tolerance of conjugate gradients.", NOT_NEGATIVE),
        "CG_ITERATIONS": Key(
            25, "Largest number of conjugate-gradient iterations.", whole(1, 10_000)
        ),
        "REGION": Key(
            "second_largest",
            "Which region is the object. The code's second largest counts the background; "
            "largest_object is ours.",
            one_of("second_largest", "largest_object"),
        ),
        "MIN_IOU": Key(0.5, _MIN_IOU, SHARE),
    },
    source="bilateral solver (arXiv:1511.03296), TokenCut (arXiv:2202.11539)",
)

CRF = Section(
    "DISCOVERY.CRF",
    "The fully connected CRF of MaskCut.",
    {
        "SMOOTH_XY": Key(3.0, "Width of the smoothness kernel in space.", POSITIVE, "pixels"),
        "SMOOTH_WEIGHT": Key(7.0, "Weight of the smoothness kernel.", NOT_NEGATIVE),
        "COLOUR_XY": Key(50.0, "Width of the appearance kernel in space.", POSITIVE, "pixels"),
        "COLOUR_RGB": Key(
            5.0, "Width of the appearance kernel in colour.", POSITIVE, "levels of 256"
        ),
        "COLOUR_WEIGHT": Key(10.0, "Weight of the appearance kernel.", NOT_NEGATIVE),
        "ITERATIONS": Key(10, "Mean-field iterations.", whole(0, 10_000)),
        "MIN_IOU": Key(0.5, _MIN_IOU, SHARE),
    },
    source="CutLER's code (arXiv:2301.11320)",
)
