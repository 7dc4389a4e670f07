"""Localisation from class labels: the classifier, its inputs, and the sources of boxes."""

from ..limits import BELOW_1, SHARE, SIDE, SOME_SHARE, Limit, entry_of, one_of, text, weights
from ..section import OURS, Key, Section

_WEIGHT_MAP = "weight map (arXiv:2111.14131)"

CLASSIFIER = Section(
    "MODEL.CLASSIFIER",
    "The classifier of images, whose linear head gives class activation maps.",
    {
        "TRUNK": Key(
            "resnet18",
            "Architecture of the trunk. timm:NAME is a convolutional network of timm.",
            entry_of("networks.trunks.TRUNKS"),
        ),
        "TRUNK_WEIGHTS": Key(
            "", "Weights of the trunk at the start.", weights("the shipped or official file")
        ),
        "WEIGHTS": Key(
            "",
            "The classifier of an earlier training, for models that need one.",
            text('a classifier.safetensors, "random[:SEED]" for an untrained one, or ""'),
        ),
        "HOLD_OUT": Key(
            0.0,
            "Share of the training images that ClassifierTraining does not learn from; they tell "
            "its accuracy.",
            BELOW_1,
            source=OURS,
        ),
    },
    source=_WEIGHT_MAP,
)

CLASSIFIED = Section(
    "INPUT.CLASSIFIED",
    "Images with a class, as networks read them.",
    {
        "RESIZE": Key(
            256, "Side of the square to which an image is resized in training.", SIDE, "pixels"
        ),
        "CROP": Key(224, "Side of the square that is cut from it, in tests too.", SIDE, "pixels"),
        "FLIP": Key(True, "Whether half of the training images are mirrored."),
        "TEST_RESIZE": Key(
            256,
            "Side of the square from whose centre a test input is cut. With CROP, the whole image "
            "is seen, as in LCAR.",
            SIDE,
            "pixels",
        ),
    },
    source=_WEIGHT_MAP,
)


def _is_source(value: object) -> bool:
    return (
        isinstance(value, (list, tuple))
        and len(value) > 0
        and all(isinstance(word, str) and word for word in value)
    )


LOCALIZATION = Section(
    "LOCALIZATION",
    "Sources of boxes: the map of a producer, and steps that lead from it to a mask.",
    {
        "SOURCES": Key(
            [["cam"]],
            "Each source is a list: a producer of the model, then any of arm and orientation, and "
            "last above_mean, sgrm, bright=SHARE or grey=SHARE. Where the last is left out it is "
            "bright; a share that is left out is BOX_SHARE. grey reads 256 levels, as the release "
            "of representer points.",
            Limit(
                "a list of lists of names, such as [['cam'], ['cam', 'arm', 'sgrm']]",
                lambda value: len(value) > 0 and all(map(_is_source, value)),
            ),
            source=f"{OURS}; steps: LCAR (Coarse2Fine, AAAI 2023)",
        ),
        "OPTIMIZER": Key(
            "sgd",
            "Optimizer of all models that learn from class labels. adamw needs fewer steps.",
            one_of("sgd", "adamw"),
        ),
        "CAM_CLASS": Key(
            "known",
            "Class whose activation a classifier draws: known is the label of the test image where "
            "it has one, predicted is always the classifier's own.",
            one_of("known", "predicted"),
            source=f"{OURS}; GT-known localisation",
        ),
        "BOX_SHARE": Key(
            0.1, "A pixel is bright from this share of the largest value of the map.", SOME_SHARE
        ),
        "SEED_THRESHOLD": Key(
            0.6,
            "A pixel of the class activation above this value is a seed of the object.",
            SHARE,
            source="LCAR (Coarse2Fine, AAAI 2023)",
        ),
    },
    source=_WEIGHT_MAP,
)
