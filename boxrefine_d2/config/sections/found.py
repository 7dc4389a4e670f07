"""Training of FOUND's head. DISCOVERY.BILATERAL has the parameters of the bilateral solver."""

from ..limits import COSINE, COUNT, NOT_NEGATIVE, one_of
from ..section import Key, Section

FOUND = Section(
    "PRETRAIN.FOUND",
    "The losses of FOUND's head.",
    {
        "SEED_BY": Key(
            "attention",
            "The patch that starts the background: the one with the least attention of CLS, or "
            "(similarity, ours) the "
            "one most like all others, for networks whose CLS token learnt nothing.",
            one_of("attention", "similarity"),
        ),
        "BACKGROUND_COSINE": Key(
            0.3, "Patches with a higher cosine to that patch are background, too.", COSINE
        ),
        "SEED_STEPS": Key(
            100,
            "Iterations in which this background is the target. Afterwards the head's own mask is.",
            COUNT,
            "iterations",
        ),
        "SEED_WEIGHT": Key(1.0, "Weight of the loss towards that background.", NOT_NEGATIVE),
        "BILATERAL_WEIGHT": Key(1.5, "Weight of the loss towards the solved mask.", NOT_NEGATIVE),
        "SELF_WEIGHT": Key(4.0, "Weight of the loss towards the head's own mask.", NOT_NEGATIVE),
    },
    source="FOUND (arXiv:2212.07834), code",
)
