"""Images, tests, and the run as a whole."""

from ..limits import (
    AREA,
    COUNT,
    NOT_NEGATIVE,
    ONE_OR_MORE,
    SIDE,
    between,
    maybe_empty,
    one_of,
    pair,
    whole,
)
from ..section import OURS, PAPER, Key, Section

_FACTORS = pair(between(0, 10))

RUN = Section(
    "",
    "The run as a whole.",
    {
        "SEED": Key(
            0,
            "Seed of all random numbers. With -1, Detectron2's default, a run draws one; its "
            "config.yaml and "
            "results.json state it.",
            whole(-1),
        ),
        "LOG_PERIOD": Key(
            20, "Iterations between two lines of metrics.json.", ONE_OR_MORE, "iterations"
        ),
    },
    source=OURS,
)

INPUT = Section(
    "INPUT",
    "Images as the networks read them.",
    {
        "SQUARE_SIZE": Key(
            304, "Side of the square from which the map of h is made.", SIDE, "pixels", "release"
        ),
        "CROP_AREA": Key(
            (0.9, 1.0),
            "Range of the area of the random crop while training; () switches the crop off. The "
            "paper is silent.",
            maybe_empty(AREA),
            "share of the image",
            "release",
        ),
        "CROP_ASPECT": Key(
            (3 / 4, 4 / 3),
            "Range of the crop's width over its height.",
            pair(between(0.01, 100)),
            source="release",
        ),
        "CACHE_GIB": Key(
            0.0,
            "Largest size of the cache of decoded training images, a memory-mapped file in TMPDIR "
            "that the loader workers of a process share; 0: no cache.",
            NOT_NEGATIVE,
            "GiB",
            OURS,
        ),
        "MAX_SIDE": Key(
            800,
            "Longest side above which a test image is reduced; 0: never.",
            COUNT,
            "pixels",
            OURS,
        ),
    },
    source=PAPER,
)

COLOUR_JITTER = Section(
    "INPUT.COLOUR_JITTER",
    "Random changes of the colours of square training inputs. 1 changes nothing.",
    {
        "BRIGHTNESS": Key((1.0, 1.0), "Range of the factor of all values.", _FACTORS),
        "CONTRAST": Key(
            (1.0, 1.0), "Range of the factor of differences to the mean grey.", _FACTORS
        ),
        "SATURATION": Key(
            (1.0, 1.0), "Range of the factor of differences to the grey of the pixel.", _FACTORS
        ),
    },
    source=OURS,
)

TEST = Section(
    "TEST",
    "Evaluation.",
    {
        "IMS_PER_BATCH": Key(
            8,
            "Images of one batch, on each process. Only images of one padded size share a batch.",
            whole(1, 65_536),
            "images",
        ),
        "GROUNDING_CONTROLS": Key(
            False, "Whether heatmaps of phrases of other images are scored, too."
        ),
        "CORLOC_PROTOCOL": Key(
            "lost",
            "Ground truth of CorLoc. The release truncates boxes to int16 and keeps crowds.",
            one_of("lost", "no_hard", "release"),
        ),
    },
    source=OURS,
)
