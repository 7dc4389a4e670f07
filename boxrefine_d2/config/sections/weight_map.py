"""The weight map: its network, its losses and its early stopping."""

from ..limits import (
    BELOW_1,
    COUNT,
    NOT_NEGATIVE,
    WIDTH,
    entry_of,
    maybe_empty,
    one_of,
    several,
    text,
)
from ..section import OURS, Key, Section

_SIBLING = "WWbL's code, by the same authors"

WEIGHT_MAP = Section(
    "WEIGHT_MAP",
    "The network g, which weighs the pixels that a frozen classifier or embedding needs.",
    {
        "ENCODER": Key(
            "resnet18", "Encoder of the U-Net.", entry_of("networks.weight_map.ENCODERS")
        ),
        "ENCODER_WEIGHTS": Key(
            "",
            "Weights of the encoder at the start.",
            text('a file, "random", or "" for the shipped or official file'),
        ),
        "LAST_NORM": Key(
            True,
            "Whether a batch norm precedes the sigmoid. The sibling code has none.",
            source=f"the paper; {_SIBLING}: False",
        ),
        "INNER_ACTIVATION": Key(
            True,
            "Whether a batch norm and a ReLU stand between the two convolutions of a block.",
            source=f"{OURS}; the paper is silent",
        ),
        "DECODER_WIDTHS": Key(
            (256, 128, 64, 32, 16),
            "Channels of the decoder's blocks, the deepest one first. The encoder resnet_mini has "
            "four blocks and takes the last four.",
            several(WIDTH, 5, 5),
            source=f"{OURS}; the paper is silent",
        ),
        "AREA_WEIGHT": Key(1.0, "Weight lambda of the mean of the map.", NOT_NEGATIVE),
        "DISCREPANCY": Key(
            "soft_ce",
            "Method I: what keeps the prediction on the masked image near that on the whole one.",
            one_of("soft_ce", "hard_ce", "kl"),
        ),
        "INNER_WEIGHT": Key(1.0, "Method II: weight of the triplet inside an image.", NOT_NEGATIVE),
        "OUTER_WEIGHT": Key(1.0, "Method II: weight of the triplet of images.", NOT_NEGATIVE),
        "MARGIN": Key(1.0, "Margin of all triplets.", NOT_NEGATIVE),
        "MASKED_VALUE": Key(
            "grey",
            "Colour of the pixels that the map hides; mean is ImageNet's mean colour.",
            one_of("grey", "mean", "black"),
            source=f"{_SIBLING}, whose images have mean 0.5",
        ),
        "EMBEDDING": Key(200, "Numbers of the embedding of the Siamese network.", WIDTH),
        "EMBEDDING_WEIGHTS": Key(
            "",
            "Method II: the Siamese network of an earlier training.",
            text('a siamese.safetensors, "random[:SEED]" for an untrained one, or ""'),
        ),
        "EARLY_STOP": Key(
            "inside_share",
            "Which network the training ends with: that whose maps lie most inside their own "
            "boxes; the same less the share of the image that these boxes cover, averaged over a "
            "check and the one before (ours; the paper's is highest for a map of the whole image); "
            "or the last one.",
            one_of("inside_share", "inside_excess", "none"),
        ),
        "VALIDATION": Key(
            (),
            "Images on which early stopping measures; () holds HOLD_OUT of the training images "
            "out. Their boxes, if they have any, are only reported.",
            maybe_empty(text("a list of dataset specs")),
        ),
        "HOLD_OUT": Key(
            0.1,
            "Share of the training images that is held out for early stopping.",
            BELOW_1,
            source=f"{OURS}; the data sets of the paper have no validation images",
        ),
        "CHECK_PERIOD": Key(
            0, "Iterations between two measurements; 0: one pass over the images.", COUNT
        ),
    },
    source="weight map (arXiv:2111.14131)",
)
