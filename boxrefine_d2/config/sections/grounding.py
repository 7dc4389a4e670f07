"""Grounding of phrases, and what is where by looking."""

from ..limits import COSINE, NOT_NEGATIVE, ONE_OR_MORE, SHARE, one_of, text, whole
from ..section import Key, Section

GROUNDING = Section(
    "GROUNDING",
    "Training and refinement of g, the heatmap of a phrase. When g learns alone, each "
    "localisation loss has a quarter "
    "of its weight.",
    {
        "PROMPT": Key("image of ", "Text before each phrase.", text(), source="the papers' code"),
        "WORD_DROP": Key(
            0.0,
            "Probability with which each word of a phrase is left out in training.",
            SHARE,
            source="the papers' code: 0.2 for captions of COCO",
        ),
        "START_LAYER": Key(
            -1,
            "First layer of CLIP's image tower that the relevance map counts; -1 is the last one "
            "alone, 0 is all.",
            whole(-1, 1000),
            source="arXiv:2103.15679, code",
        ),
        "RELEVANCE_WEIGHT": Key(64.0, "Weight of the distance to CLIP's relevance.", NOT_NEGATIVE),
        "AREA_WEIGHT": Key(1.0, "Weight of the area of the heatmap.", NOT_NEGATIVE),
        "FOREGROUND_WEIGHT": Key(1.0, "Weight of the similarity to the foreground.", NOT_NEGATIVE),
        "BACKGROUND_WEIGHT": Key(2.0, "Weight of the similarity to the background.", NOT_NEGATIVE),
        "UNION_PROBABILITY": Key(
            0.5,
            "Probability with which the boxes of a heatmap are replaced by their union while g is "
            "refined.",
            SHARE,
        ),
        "UNION_PER": Key(
            "iteration",
            "One draw for the batch, or one for each image (ours).",
            one_of("iteration", "sample"),
        ),
        "MIN_TARGET_SIDE": Key(
            0.05,
            "Boxes with a shorter side teach nothing.",
            SHARE,
            unit="share of the image's side",
        ),
        "SIMILARITY": Key(
            "matched",
            "Which pairs of images and phrases are compared. The equations compare matched pairs, "
            "the release all pairs.",
            one_of("matched", "all_pairs"),
        ),
    },
    source="Box-based Refinement (ICCV 2023), WWbL (arXiv:2206.09358)",
)

LOOKING = Section(
    "LOOKING",
    "What is where by looking: localisation without text.",
    {
        "SEARCH_INPUT": Key(
            "uint8",
            "Number format that selective search reads. The release's is float.",
            one_of("uint8", "float"),
        ),
        "MIN_AREA": Key(0.1, "A region covers more than this share of the image.", SHARE),
        "PROMPT": Key("", "Text before each caption when g reads it.", text()),
        "MIN_SIMILARITY": Key(
            0.85, "Smallest cosine of CLIP between captions of a community.", COSINE
        ),
        "MIN_SIZE": Key(2, "Smallest number of captions in a community.", ONE_OR_MORE),
        "OVERLAP": Key(
            "discard",
            "What happens to communities that share captions: discard as sentence-transformers "
            "2.2.0, trim as 2.2.2.",
            one_of("discard", "trim"),
        ),
        "MISSING": Key(
            "miss",
            "How phrases of an image count in which nothing was found: as a miss, or not at all "
            "(skip, the release).",
            one_of("miss", "skip"),
        ),
    },
    source="What is Where by Looking (arXiv:2206.09358) and its repository",
)
