"""The rules that cut the graph of patches: TokenCut, its refinement by the image, and MaskCut."""

from ..limits import COSINE, ONE_OR_MORE, SHARE, SOME_SHARE, whole
from ..section import OURS, Key, Section
from .discovery import max_objects, min_area


def tie_tolerance() -> Key:
    """Return the key TIE_TOLERANCE of a rule that reads an eigenvector."""
    return Key(
        1e-6,
        "Cells whose |eigenvector| is within this share of the largest one tie, and the first is "
        "the seed; 0 is argmax.",
        SHARE,
        source=OURS,
    )


TOKENCUT = Section(
    "DISCOVERY.TOKENCUT",
    "TokenCut: a normalised cut of the graph of patches.",
    {
        "TAU": Key(
            0.2, "An edge exists where the cosine similarity of two patches is greater.", COSINE
        ),
        "EPS": Key(1e-5, "Weight of a pair of patches without an edge.", SOME_SHARE),
        "TIE_TOLERANCE": tie_tolerance(),
        "BILATERAL": Key(
            False,
            "Whether the image refines the masks, with the parameters of DISCOVERY.BILATERAL, as "
            "TokenCut's saliency "
            "does.",
        ),
        "MAX_OBJECTS": max_objects("the foreground"),
        "MIN_AREA": min_area(),
    },
    source="TokenCut (arXiv:2202.11539)",
)

TOKENCUT_REFINED = Section(
    "DISCOVERY.TOKENCUT_REFINED",
    "TokenCut's eigenvector, refined by the image.",
    {
        "TAU": Key(
            0.05,
            "An edge exists where the cosine similarity of two patches is greater.",
            COSINE,
            source="TokenCut's code for weakly supervised localisation",
        ),
        "EPS": Key(1e-5, "Weight of a pair of patches without an edge.", SOME_SHARE),
        "TIE_TOLERANCE": tie_tolerance(),
        "INPUT_SIDE": Key(
            224,
            "Side of the square to which images are squeezed; 0 keeps their shape.",
            whole(0, 16_384),
            unit="pixels",
        ),
        "ARM": Key(True, "Whether ARM refines the map, with the parameters of DISCOVERY.ARM."),
        "SGRM": Key(
            True,
            "Whether SGRM predicts the mask, with the parameters of DISCOVERY.SGRM. False: the "
            "mask is the part of the map above its mean.",
        ),
    },
    source="LCAR (Coarse2Fine, AAAI 2023)",
)

MASKCUT = Section(
    "DISCOVERY.MASKCUT",
    "MaskCut: repeated normalised cuts, on the backbone dino_vitb8.",
    {
        "N_MASKS": Key(3, "Number of rounds, and so of masks at most.", ONE_OR_MORE),
        "TAU": Key(
            0.15, "An edge exists where the cosine similarity of two patches is greater.", COSINE
        ),
        "EPS": Key(1e-5, "Weight of a pair of patches without an edge.", SOME_SHARE),
        "TIE_TOLERANCE": tie_tolerance(),
        "INPUT_SIDE": Key(
            480,
            "Side of the square to which images are squeezed; 0 keeps their shape.",
            whole(0, 16_384),
            unit="pixels",
        ),
        "MAX_CORNERS": Key(
            2, "A side with more corners of the grid is the background.", whole(0, 4)
        ),
        "FLIP_ON_TWO_CORNERS": Key(
            False,
            "Whether two corners are enough for the background, as a thesis on MaskCut has it. "
            "False is the code.",
        ),
        "MAX_IOU": Key(0.5, "Largest IoU with the mask of the round before.", SHARE),
        "MIN_AREA": Key(0.01, "Smallest share of the grid that a mask covers.", SHARE),
        "REPEAT_REJECTED": Key(
            True,
            "Whether a rejected mask is cut again and then emitted, as in the code. False: it "
            "ends the rounds.",
        ),
        "MASK_AFFINITY": Key(
            False,
            "Whether affinities of found objects are 0, so that they leave the graph, as the same "
            "thesis has it. "
            "False is the code: their features are 0, and their affinities eps.",
        ),
        "CRF": Key(
            True,
            "Whether the image refines the masks, with the parameters of DISCOVERY.CRF. Needs the "
            "extra `crf`.",
        ),
    },
    source="CutLER (arXiv:2301.11320) and its code",
)
