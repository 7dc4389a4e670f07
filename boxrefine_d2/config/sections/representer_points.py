"""Representer points as a localiser: images from which the statistics come."""

from ..limits import COUNT, SIDE
from ..section import Key, Section

REPRESENTER_POINTS = Section(
    "REPRESENTER_POINTS",
    "Localisation by representer points, with the trunk of MODEL.CLASSIFIER and the options of "
    "DISCOVERY.REPRESENTER. The statistics come from DATASETS.TRAIN.",
    {
        "SIDE": Key(
            224,
            "Side of the square to which an image is resized for the statistics; nothing is cut "
            "from it.",
            SIDE,
            "pixels",
        ),
        "CLASSWISE": Key(
            False,
            "Whether each class has statistics of its own. A test image is read with those of its "
            "class (LOCALIZATION.CAM_CLASS).",
        ),
        "IMAGES_PER_CLASS": Key(
            10,
            "Most images of a class for its own statistics, evenly spread; 0 takes all.",
            COUNT,
        ),
    },
    source="representer point selection, release",
)
