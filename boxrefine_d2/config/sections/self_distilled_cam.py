"""SD-CAM: a teacher that classifies and a student that localises."""

from ..limits import POSITIVE, SHARE
from ..section import Key, Section

SELF_DISTILLED_CAM = Section(
    "SELF_DISTILLED_CAM",
    "Two heads on the frozen transformer of MODEL.MAP_NETWORK.",
    {
        "ALPHA": Key(
            0.3,
            "Weight of the class labels in the student's loss; the teacher's probabilities have "
            "the rest.",
            SHARE,
        ),
        "TEMPERATURE": Key(3.0, "Divisor of the logits that are distilled.", POSITIVE),
        "MLP_BLOCK": Key(
            True, "Whether an MLP precedes the teacher's linear layer; False on ILSVRC."
        ),
        "WITH_CLS": Key(True, "Whether the teacher reads CLS beside the mean of the patches."),
    },
    source="LCAR (Coarse2Fine, AAAI 2023)",
)
