"""Training of MOVE's head, and of the masked autoencoder that paints behind objects."""

from ..limits import (
    BELOW_1,
    BETAS,
    COUNT,
    NOT_NEGATIVE,
    SHARE,
    SIDE,
    WIDTH,
    entry_of,
    pair,
    text,
    weights,
)
from ..section import OURS, Key, Section

_MAE = "MAE (arXiv:2111.06377)"

INPAINTER = Section(
    "PRETRAIN.INPAINTER",
    "The masked autoencoder that fills the background behind an object.",
    {
        "NAME": Key("mae_vitl16", "Architecture.", entry_of("pretraining.mae.INPAINTERS")),
        "WEIGHTS": Key(
            "",
            "Weights.",
            weights("the official one, mae_visualize_vit_large_ganloss.pth"),
        ),
        "MASK_RATIO": Key(
            (0.75, 0.75),
            "Range of the share of patches hidden in its own training; one draw for each batch.",
            pair(BELOW_1),
        ),
        "VISIBLE_WEIGHT": Key(
            0.0,
            "Weight of the error on visible patches. MAE has none, and then a small one does not "
            "return the image that "
            "it reads.",
            NOT_NEGATIVE,
            source=OURS,
        ),
        "BETAS": Key((0.9, 0.95), "Betas of AdamW in its own training.", BETAS),
    },
    source=_MAE,
)

MOVE = Section(
    "PRETRAIN.MOVE",
    "The losses of MOVE's head. SOLVER.BASE_LR is the rate of segmenter and discriminator; "
    "SOLVER.WEIGHT_DECAY is not "
    "read.",
    {
        "SHIFT": Key(
            0.125, "Largest shift of an object.", SHARE, "share of the image's shorter side"
        ),
        "COPY_REAL": Key(
            False,
            "True: pixels that are not inpainted are the image's own. False: all images go "
            "through the autoencoder.",
        ),
        "POOL": Key(
            16,
            "Side of a tile. Mask losses are taken on the mask, its means over tiles and its "
            "maxima.",
            SIDE,
            "pixels",
        ),
        "BINARISE_WEIGHT": Key(12.5, "Weight of mean(min(m, 1 - m)).", NOT_NEGATIVE),
        "BINARISE_STEPS": Key(
            2500, "Steps of the segmenter over which that weight grows from 0.", COUNT, "steps"
        ),
        "MIN_AREA": Key(0.05, "Area below which a mask is too small.", SHARE, "share of the image"),
        "MIN_AREA_WEIGHT": Key(100.0, "Weight of masks that are too small.", NOT_NEGATIVE),
        "MAX_AREA": Key(
            0.5,
            "Area above which a mask is too large. Not published, because its weight is 0.",
            SHARE,
            "share of the image",
        ),
        "MAX_AREA_WEIGHT": Key(0.0, "Weight of masks that are too large.", NOT_NEGATIVE),
        "SEGMENTER_BETAS": Key((0.9, 0.95), "Betas of AdamW for the segmenter.", BETAS),
        "SEGMENTER_WEIGHT_DECAY": Key(0.0, "Weight decay of the segmenter.", NOT_NEGATIVE),
    },
    source="MOVE (arXiv:2210.07920), code",
)

DISCRIMINATOR = Section(
    "PRETRAIN.MOVE.DISCRIMINATOR",
    "The discriminator of MOVE, a projected GAN.",
    {
        "FEATURES": Key(
            "tf_efficientnet_lite0",
            "The network whose features it reads. MOVE's has ImageNet's labels behind it.",
            text("a network of timm, or a transformer of networks.build.BACKBONES"),
        ),
        "WEIGHTS": Key("", "Weights.", weights("the file of timm, or of the backbone")),
        "INPUT_SIZE": Key(224, "Side of the images that it reads.", SIDE, "pixels"),
        "MIX_CHANNELS": Key(
            64,
            "Width of the finest scale after the random mixing; each coarser scale is twice as "
            "wide.",
            WIDTH,
            "channels",
        ),
        "HEAD_CHANNELS": Key(
            (64, 512),
            "Width of a head's first convolution. It doubles with each halving of the grid, up to "
            "the second value.",
            pair(WIDTH),
            "channels",
            OURS,
        ),
        "BETAS": Key((0.0, 0.99), "Betas of AdamW.", BETAS),
        "WEIGHT_DECAY": Key(0.01, "Weight decay, AdamW's own default.", NOT_NEGATIVE),
    },
    source="projected GAN (arXiv:2111.01007), MOVE's code",
)
