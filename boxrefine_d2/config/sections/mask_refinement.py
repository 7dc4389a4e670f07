"""Refinement of a rule's masks by the image: the bilateral solver, the CRF, ARM and SGRM."""

from ..limits import BELOW_1, COUNT, NOT_NEGATIVE, ONE_OR_MORE, POSITIVE, SHARE, one_of, whole
from ..section import OURS, Key, Section

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

ARM = Section(
    "DISCOVERY.ARM",
    "ARM: pixels of similar colour exchange their values in the map.",
    {
        "VARIANT": Key(
            "afa",
            "Neighbours of a pixel: literal has 8, as LCAR's text; afa has 48 at six distances.",
            one_of("literal", "afa"),
            source="AFA's code (arXiv:2203.02664)",
        ),
        "STEPS": Key(50, "Number of exchanges.", COUNT),
        "KEEP": Key(0.1, "Share of its own value that a pixel keeps in an exchange.", SHARE),
        "POSITION_WEIGHT": Key(0.01, "Weight of nearness beside that of colour.", NOT_NEGATIVE),
    },
    source="LCAR (Coarse2Fine, AAAI 2023)",
)

_KANEZAKI = "Kanezaki's unsupervised segmentation (ICASSP 2018, code)"

SGRM = Section(
    "DISCOVERY.SGRM",
    "SGRM: a small network, trained on one image, predicts the mask.",
    {
        "SCALE": Key(
            32.0, "Size of the superpixels, as scikit-image takes it.", POSITIVE, source=_KANEZAKI
        ),
        "SIGMA": Key(
            0.5,
            "Width of the smoothing before the superpixels.",
            NOT_NEGATIVE,
            "pixels",
            source=_KANEZAKI,
        ),
        "MIN_SIZE": Key(64, "Smallest superpixel.", ONE_OR_MORE, "pixels", source=_KANEZAKI),
        "LOW_PIXEL": Key(0.1, "A pixel below this value of the map is background.", SHARE),
        "HIGH_PIXEL": Key(0.6, "A pixel above this value of the map is object.", SHARE),
        "LOW_SUPERPIXEL": Key(0.1, "A superpixel with a mean below this is background.", SHARE),
        "HIGH_SUPERPIXEL": Key(
            0.4, "A superpixel with a mean above this is object; 0.6 on ILSVRC.", SHARE
        ),
        "OBJECT_WEIGHT": Key(2.0, "Weight of object pixels in the loss.", NOT_NEGATIVE),
        "BACKGROUND_WEIGHT": Key(0.1, "Weight of background pixels in the loss.", NOT_NEGATIVE),
        "SUPERPIXEL_WEIGHT": Key(0.1, "Weight of superpixels in the loss.", NOT_NEGATIVE),
        "LR": Key(0.05, "Learning rate.", POSITIVE),
        "MOMENTUM": Key(0.9, "Momentum of gradient descent.", BELOW_1),
        "STEPS": Key(200, "Largest number of steps.", COUNT),
        "STOP_ERROR": Key(
            0.1,
            "The training ends when the prediction contradicts a smaller share of the pixels whose "
            "label is known.",
            SHARE,
        ),
        "VOTE": Key(
            True,
            "Whether an unsure superpixel takes the majority of the prediction inside it. False: "
            "each pixel takes its own.",
        ),
        "BY_SUPERPIXELS": Key(
            False,
            "Whether the mask is that of the superpixels, each sure or by vote. False: it is the "
            "prediction of each pixel.",
            source=OURS,
        ),
        "SEED": Key(
            0,
            "Seed of the network's first weights; they depend on the image, too.",
            whole(0, 2**32 - 1),
            source=OURS,
        ),
    },
    source="LCAR (Coarse2Fine, AAAI 2023)",
)
