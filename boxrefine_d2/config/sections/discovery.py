"""The rules that draw pseudo-boxes from a map; `mask_refinement.py` has the steps on masks."""

from ..limits import (
    COUNT,
    ONE_OR_MORE,
    POSITIVE,
    SHARE,
    SOME_SHARE,
    entry_of,
    one_of,
    text,
)
from ..section import OURS, Key, Section


def max_objects(of: str) -> Key:
    """Return the key MAX_OBJECTS of a rule whose source knows one object.

    Args: of: what further objects are components of.
    """
    return Key(
        1,
        f"Largest number of objects in an image; more than 1 adds further components of {of}.",
        ONE_OR_MORE,
        source=OURS,
    )


def min_area(of: str = "grid") -> Key:
    """Return the key MIN_AREA of a rule with several objects."""
    return Key(
        0.01,
        f"Smallest share of the {of} that a further object covers.",
        SHARE,
        source=OURS,
    )


DISCOVERY = Section(
    "DISCOVERY",
    "The rule that turns the map into pseudo-boxes.",
    {"NAME": Key("lost", "The rule.", entry_of("discovery.build.DISCOVERY_REGISTRY"))},
)

LOST = Section(
    "DISCOVERY.LOST",
    "LOST: the seed is the key with the fewest similar patches; similar patches near it are the "
    "object.",
    {
        "K_PATCHES": Key(
            100, "Number of candidates for seed expansion.", ONE_OR_MORE, unit="patches"
        ),
        "CENTRE": Key(
            False,
            "Whether the image's mean key is subtracted first. It helps untrained networks, and "
            "DINO's little.",
            source=OURS,
        ),
        "MAX_OBJECTS": max_objects("the foreground"),
        "MIN_AREA": min_area(),
    },
    source="LOST (arXiv:2109.14279)",
)

DINO_SEG = Section(
    "DISCOVERY.DINO_SEG",
    "DINO-seg: the cells that hold most of a head's attention.",
    {
        "HEAD": Key(4, "Attention head, counted from 0.", COUNT),
        "MASS": Key(0.6, "Share of the attention that is foreground.", SHARE),
        "COMPONENT": Key(
            "largest",
            "Which component is the object. The release overlooks the last component.",
            one_of("largest", "release"),
        ),
        "MAX_OBJECTS": max_objects("the foreground"),
        "MIN_AREA": min_area(),
    },
    source="DINO (arXiv:2104.14294), as LOST's baseline (arXiv:2109.14279)",
)

ABSORPTION = Section(
    "DISCOVERY.ABSORPTION",
    "Absorption: the object is where a random walk over similar patches is late to leave the "
    "image.",
    {
        "TEMPERATURE": Key(
            0.1,
            "Difference of cosine similarity that makes a step e times less likely.",
            POSITIVE,
        ),
        "REACH": Key(2, "Largest step along an axis.", ONE_OR_MORE, "cells"),
        "MAX_OBJECTS": max_objects("the foreground"),
        "MIN_AREA": min_area(),
    },
    source=f"{OURS}; absorption time: Jiang et al., ICCV 2013",
)

REPRESENTER = Section(
    "DISCOVERY.REPRESENTER",
    "The bright part of a map of representer points.",
    {
        "THRESHOLD": Key(
            0.5,
            "Foreground is above this value of the map in [0, 1].",
            SHARE,
            source=f"{OURS}; the supplement leaves it open",
        ),
        "UPSAMPLE": Key(True, "Whether the map is resized to pixels before the threshold."),
        "ALIGN_CORNERS": Key(
            False,
            "Whether the outer cells lie on the border of the resized map. The release's do.",
        ),
        "MINMAX_BEFORE_UPSAMPLING": Key(
            False, "Whether the map is scaled to [0, 1] before it is resized, as in the release."
        ),
        "IMPORTANCE": Key(
            "ratio",
            "What makes a feature important: its norm less |v| / |u|, or less the mean norm; "
            "norm_only: its norm is the map.",
            one_of("ratio", "mean_norm", "norm_only"),
        ),
        "RECTIFY": Key(
            False,
            "Whether negative numbers of a feature count as 0, as in the release. Those of a "
            "ResNet's last stage are never negative.",
        ),
        "NORMALISE_FEATURES": Key(
            False, "Whether the map reads unit vectors, as in the release, or features."
        ),
        "CLAMP": Key(False, "Whether negative values of the map become 0, as in the release."),
        "SAMPLING_RATIO": Key(
            1.0, "Share of the images from which the statistics come, evenly spread.", SOME_SHARE
        ),
        "MAX_OBJECTS": max_objects("the foreground"),
        "MIN_AREA": min_area(),
    },
    source="representer point selection, supplement",
)

ENSEMBLE = Section(
    "DISCOVERY.ENSEMBLE",
    "The boxes on which several rules agree.",
    {
        "RULES": Key(
            "lost,tokencut",
            "The rules. All of them read the same facet.",
            text("names of discovery.build.DISCOVERY_REGISTRY, comma-separated"),
        ),
        "MIN_AGREEMENT": Key(
            0.5, "Smallest mean IoU with the nearest boxes of the other rules.", SHARE
        ),
        "MAX_OBJECTS": Key(1, "Largest number of objects in an image.", ONE_OR_MORE),
        "MAX_IOU": Key(0.5, "Of two boxes that overlap by more, the better one is kept.", SHARE),
    },
    source=OURS,
)

MOVE = Section(
    "DISCOVERY.MOVE",
    "The components of a segmenter's mask, on the backbones move_*.",
    {
        "MASK_THRESH": Key(0.5, "Foreground is above this value of the mask.", SHARE),
        "MIN_SIDE": Key(
            0.05,
            "A component is left out if its rectangle is no larger than the square of this side.",
            SHARE,
            unit="share of the image's height",
        ),
        "RANK_BY": Key(
            "pixels",
            "What makes a component the largest. The release counts the rectangle.",
            one_of("pixels", "rectangle"),
        ),
        "MAXIMA": Key(
            "exclusive",
            "What x2 and y2 are. The release's are inclusive, one pixel short.",
            one_of("exclusive", "inclusive"),
        ),
        "FALLBACK": Key(
            "image",
            "The box where there is no component. The release's is the square [0, 0, H - 1, H - "
            "1].",
            one_of("image", "square"),
        ),
        "MAX_OBJECTS": max_objects("the mask"),
        "MIN_AREA": min_area("image"),
    },
    source="Box-based Refinement (ICCV 2023); where it is silent, its release",
)

FOUND = Section(
    "DISCOVERY.FOUND",
    "The components of the mask of FOUND's head, on the backbones found_*.",
    {
        "MASK_THRESH": Key(0.5, "Foreground is above this value of the mask.", SHARE),
        "MAX_OBJECTS": max_objects("the mask"),
        "MIN_AREA": min_area(),
    },
    source="FOUND (arXiv:2212.07834)",
)

LARGEST_CONTOUR = Section(
    "DISCOVERY.LARGEST_CONTOUR",
    "The largest contour of a heatmap, on the backbones classifier, weight_map and "
    "distilled_heads, and on segmenters.",
    {
        "SHARE": Key(
            0.1,
            "A pixel is bright from this share of the largest value. Class activation maps need a "
            "larger share; CAM's paper has 0.2.",
            SOME_SHARE,
        ),
    },
    source="weight map (arXiv:2111.14131)",
)

CONTOURS = Section(
    "DISCOVERY.CONTOURS",
    "The contours of a heatmap. The release sets NORMALISE and QUANTISE True, SCORE thresholded, "
    "NMS_FORMAT xywh and "
    "FALLBACK pixels.",
    {
        "NORMALISE": Key(False, "Whether the heatmap is scaled to [0, 1]."),
        "QUANTISE": Key(False, "Whether values are rounded to the grey levels of a coloured map."),
        "THRESHOLD": Key(0.5, "Share of the maximum from which a pixel is bright.", SHARE),
        "MIN_AREA": Key(
            0.05,
            "A box covers more than this share of the image. The paper's numbers use it and its "
            "text does not state it; "
            "WWbL's code has 0.",
            SHARE,
        ),
        "SCORE": Key(
            "heatmap",
            "The score is the mean of the heatmap in the box; thresholded: pixels that are not "
            "bright count as 0.",
            one_of("heatmap", "thresholded"),
        ),
        "NMS_IOU": Key(0.05, "Of two boxes that overlap by more, the better one is kept.", SHARE),
        "NMS_FORMAT": Key(
            "xyxy",
            "Frame of the boxes in NMS. With xywh, sizes are read as corners.",
            one_of("xyxy", "xywh"),
        ),
        "DROP_RATIO": Key(
            0.5, "Boxes with less than this share of the best score are dropped.", SHARE
        ),
        "FALLBACK": Key(
            "none",
            "What an image without a box gets: nothing, or two boxes of one pixel.",
            one_of("none", "pixels"),
        ),
        "MAX_OBJECTS": Key(
            10, "Largest number of boxes in an image: as many as h has slots.", ONE_OR_MORE
        ),
    },
    source="Box-based Refinement (ICCV 2023) and WWbL (arXiv:2206.09358)",
)
