"""The networks: f behind the map, g, CLIP, the captioner, h and its losses."""

from ..limits import NOT_NEGATIVE, entry_of, one_of, text, weights, whole
from ..section import OURS, PAPER, Key, Section

MAP_NETWORK = Section(
    "MODEL.MAP_NETWORK",
    "The network f behind the map.",
    {
        "NAME": Key("dino_vits16", "Architecture.", entry_of("networks.build.BACKBONES")),
        "WEIGHTS": Key("", "Weights.", weights("the shipped or official file")),
    },
    source=PAPER,
)

HEATMAP = Section(
    "MODEL.HEATMAP",
    "The network g, which makes a heatmap of an image and a phrase.",
    {
        "NAME": Key("heatmap_vgg16", "Architecture.", entry_of("networks.text_heatmap.HEATMAPS")),
        "WEIGHTS": Key("", "Weights.", weights("the shipped file")),
        "ENCODER": Key(
            "",
            "Weights of the image encoder when g is trained from the start.",
            text('a file, "random", or "" for ImageNet\'s VGG16 or the shipped trunk'),
        ),
    },
    source="WWbL (arXiv:2206.09358)",
)

CLIP = Section(
    "MODEL.CLIP",
    "The common space of images and phrases.",
    {
        "NAME": Key("clip_vitb32", "Architecture.", entry_of("language.build.CLIPS")),
        "WEIGHTS": Key(
            "",
            "Weights.",
            text(
                'a folder as transformers writes it, "random[:SEED]", '
                'or "" for the shipped or official one'
            ),
        ),
    },
    source="CLIP (arXiv:2103.00020)",
)

CAPTIONER = Section(
    "MODEL.CAPTIONER",
    "The network that describes regions when no text is given.",
    {
        "NAME": Key("blip", "Architecture.", entry_of("language.captioners.CAPTIONERS")),
        "WEIGHTS": Key(
            "",
            "Weights of blip, or the list of phrases.",
            text(
                "for blip a folder as transformers writes it, for phrases a text file; "
                '"" for the official or shipped one'
            ),
        ),
        "PRECISION": Key(
            "fp32",
            "Number format of the matrix products. With bf16 a region may get the other one of "
            "two captions that fit "
            "equally well.",
            one_of("fp32", "bf16"),
            source=OURS,
        ),
    },
    source="BLIP (arXiv:2201.12086)",
)

MAP_DETECTOR = Section(
    "MODEL.MAP_DETECTOR",
    "The detector h, which reads the map.",
    {
        "TRUNK": Key(
            "resnet50", "Architecture of the trunk.", entry_of("refinement.trunks.TRUNKS")
        ),
        "WEIGHTS": Key(
            "dino_resnet50",
            "Weights of the trunk.",
            text('a file with torchvision\'s names, "dino_resnet50", "imagenet_vgg16" or "random"'),
        ),
        "NORM": Key("BN", "Normalisation of the trunk.", one_of("BN", "SyncBN", "FrozenBN")),
        "NUM_BOXES": Key(10, "Number k of boxes that h predicts for an image.", whole(1, 10_000)),
        "INPUT": Key(
            "qkv_as_image",
            "How the map becomes the image that h reads. The release uses qkv_as_image; "
            "keys_as_image is the paper's "
            "literal F.",
            entry_of("refinement.map_inputs.TOKEN_INPUTS", "refinement.map_inputs.RULE_INPUTS"),
        ),
        "INPUT_CLS": Key(
            False,
            "Whether the rows of tokens include the CLS token. The release includes it for "
            "TokenCut, not for LOST.",
            source="release",
        ),
        "INPUT_POOL": Key(
            1,
            "Side of the squares over which the image that h reads is averaged. A small h reads a "
            "mask equally well "
            "at a quarter of its size.",
            whole(1, 1024),
            unit="pixels",
            source=OURS,
        ),
    },
    source=PAPER,
)

CRITERION = Section(
    "MODEL.CRITERION",
    "The loss L_h. Its weights are the matching costs, too.",
    {
        "CLASS_WEIGHT": Key(
            2.0,
            "Weight of the classification loss.",
            NOT_NEGATIVE,
            source=f"{PAPER}; release: 0.1",
        ),
        "L1_WEIGHT": Key(5.0, "Weight of the L1 distance of boxes.", NOT_NEGATIVE),
        "GIOU_WEIGHT": Key(2.0, "Weight of the GIoU loss.", NOT_NEGATIVE),
        "NO_OBJECT_WEIGHT": Key(
            0.1,
            "Weight of the class 'no object' in the classification loss.",
            NOT_NEGATIVE,
            source="DETR (arXiv:2005.12872); the paper is silent",
        ),
    },
    source=PAPER,
)
