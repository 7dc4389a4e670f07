"""Every key, default and threshold of boxrefine_d2, with its unit and source: the reference page.

The defaults are the paper profile: what "Box-based Refinement for Weakly Supervised and Unsupervised
Localization Tasks" (ICCV 2023) and the methods it builds on state, completed from their code where they are silent.
Keys that Detectron2 has already (SOLVER, DATASETS, ...) are set in configs/base/.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any

from detectron2.config import CfgNode as CN
from detectron2.config import get_cfg

_added: dict[str, dict[str, Any]] = {}


def add_boxrefine_config(cfg: CN) -> None:
    """Adds our keys to Detectron2's."""
    _add_model(cfg)
    _add_discovery(cfg)
    _add_grounding(cfg)
    _add_refinement(cfg)
    _add_pretraining(cfg)
    _add_move_training(cfg)
    _add_found_training(cfg)
    _add_clip_training(cfg)
    _add_detectors(cfg)
    _add_input_and_data(cfg)
    for name, defaults in _added.items():
        *above, last = name.split(".")
        node = cfg
        for part in above:
            node = node[part]
        node[last] = CN(dict(defaults))


def add_section(name: str, defaults: Mapping[str, Any]) -> None:
    """Give every configuration from now on a section that is not of this package: that of your rule, or of your task.

    Args: name: in full, such as "DISCOVERY.BRIGHTEST".  defaults: the keys; a value must be of its default's type.
    """
    _added[name] = dict(defaults)
    paper_profile.cache_clear()


def boxrefine_cfg() -> CN:
    """Detectron2's configuration with ours, to be changed: the paper profile, complete."""
    cfg = get_cfg()
    add_boxrefine_config(cfg)
    return cfg


@cache
def paper_profile() -> CN:
    """The defaults, frozen: what is not given on a command line comes from here."""
    cfg = boxrefine_cfg()
    cfg.freeze()
    return cfg


def _add_model(cfg: CN) -> None:
    # f, the network behind the map
    cfg.MODEL.MAP_NETWORK = CN()
    cfg.MODEL.MAP_NETWORK.NAME = "dino_vits16"  # a name of networks.BACKBONES
    # a file, "random[:SEED]", or "" for the shipped or official file
    cfg.MODEL.MAP_NETWORK.WEIGHTS = ""

    # g, the heatmap of a phrase
    cfg.MODEL.HEATMAP = CN()
    cfg.MODEL.HEATMAP.NAME = "heatmap_vgg16"  # a name of networks.text_heatmap.HEATMAPS
    cfg.MODEL.HEATMAP.WEIGHTS = ""  # a file, "random[:SEED]", or "" for the shipped one
    # of a g that is trained from the start: a file, "" for ImageNet's VGG16 or the trunk that ships, or "random"
    cfg.MODEL.HEATMAP.ENCODER = ""

    # the space of pictures and phrases, of grounding
    cfg.MODEL.CLIP = CN()
    cfg.MODEL.CLIP.NAME = "clip_vitb32"  # a name of language.CLIPS
    # a folder as transformers writes it, "random[:SEED]", or "" for the shipped or official one
    cfg.MODEL.CLIP.WEIGHTS = ""

    # what describes regions where no text is given
    cfg.MODEL.CAPTIONER = CN()
    cfg.MODEL.CAPTIONER.NAME = "blip"  # a name of language.captioners.CAPTIONERS
    # of blip a folder as transformers writes it, of phrases a text file; "" for the official or shipped one
    cfg.MODEL.CAPTIONER.WEIGHTS = ""
    # of its products, fp32 or bf16; in bf16 a region may get another of two captions that fit it alike
    cfg.MODEL.CAPTIONER.PRECISION = "fp32"

    # h, the detector that reads the map
    cfg.MODEL.MAP_DETECTOR = CN()
    cfg.MODEL.MAP_DETECTOR.TRUNK = "resnet50"  # resnet50, resnet18, vgg16 or small_cnn
    # a file with torchvision's names, dino_resnet50 or imagenet_vgg16 for the official one, or "random"
    cfg.MODEL.MAP_DETECTOR.WEIGHTS = "dino_resnet50"
    cfg.MODEL.MAP_DETECTOR.NORM = "BN"  # BN, SyncBN or FrozenBN
    cfg.MODEL.MAP_DETECTOR.NUM_BOXES = 10  # k
    # qkv_as_image (release), keys_as_image (the paper's literal F), affinity_as_image, heatmap_as_image,
    # heatmap_and_degree_as_image
    cfg.MODEL.MAP_DETECTOR.INPUT = "qkv_as_image"
    # False: token rows are patches only. The release keeps the CLS row for TokenCut and drops it for LOST.
    cfg.MODEL.MAP_DETECTOR.INPUT_CLS = False
    # side of the squares that the picture is averaged over, pixels: a small h reads a mask as well at a quarter; ours
    cfg.MODEL.MAP_DETECTOR.INPUT_POOL = 1

    # L_h: weights are used as matching costs too
    cfg.MODEL.CRITERION = CN()
    cfg.MODEL.CRITERION.CLASS_WEIGHT = 2.0  # release: 0.1
    cfg.MODEL.CRITERION.L1_WEIGHT = 5.0
    cfg.MODEL.CRITERION.GIOU_WEIGHT = 2.0
    cfg.MODEL.CRITERION.NO_OBJECT_WEIGHT = 0.1  # DETR's (arXiv:2005.12872); the paper is silent


def _add_discovery(cfg: CN) -> None:
    cfg.DISCOVERY = CN()
    cfg.DISCOVERY.NAME = "lost"  # a name of discovery.DISCOVERY_REGISTRY

    cfg.DISCOVERY.LOST = CN()  # arXiv:2109.14279
    cfg.DISCOVERY.LOST.K_PATCHES = 100  # candidates for seed expansion, in patches
    # True subtracts the image's mean key first. Ours, not published: it helps untrained networks, DINO's little.
    cfg.DISCOVERY.LOST.CENTRE = False
    cfg.DISCOVERY.LOST.MAX_OBJECTS = 1  # more: further components of the foreground; ours
    cfg.DISCOVERY.LOST.MIN_AREA = 0.01  # share of the grid that each of them covers at least

    cfg.DISCOVERY.TOKENCUT = CN()  # arXiv:2202.11539
    cfg.DISCOVERY.TOKENCUT.TAU = 0.2  # cosine similarity; an edge exists where it is greater
    cfg.DISCOVERY.TOKENCUT.EPS = 1e-5  # weight of a pair without an edge
    # cells within this share of the largest |eigenvector| tie, and the first is the seed; 0: argmax. Ours
    cfg.DISCOVERY.TOKENCUT.TIE_TOLERANCE = 1e-6
    # discover.py refines the masks by the picture, with the numbers of DISCOVERY.BILATERAL; TokenCut's saliency does
    cfg.DISCOVERY.TOKENCUT.BILATERAL = False
    cfg.DISCOVERY.TOKENCUT.MAX_OBJECTS = 1  # more: further components of the foreground; ours
    cfg.DISCOVERY.TOKENCUT.MIN_AREA = 0.01  # share of the grid that each of them covers at least

    cfg.DISCOVERY.DINO_SEG = CN()  # arXiv:2104.14294; as LOST's baseline, arXiv:2109.14279
    cfg.DISCOVERY.DINO_SEG.HEAD = 4  # from 0
    cfg.DISCOVERY.DINO_SEG.MASS = 0.6  # share of the attention that is foreground
    cfg.DISCOVERY.DINO_SEG.COMPONENT = "largest"  # or "release", which overlooks the last component
    cfg.DISCOVERY.DINO_SEG.MAX_OBJECTS = 1
    cfg.DISCOVERY.DINO_SEG.MIN_AREA = 0.01

    cfg.DISCOVERY.REPRESENTER = CN()  # representer point selection, supplement
    cfg.DISCOVERY.REPRESENTER.THRESHOLD = 0.5  # of the map in [0, 1]; the supplement leaves it open
    cfg.DISCOVERY.REPRESENTER.UPSAMPLE = True  # to pixels, before the threshold
    cfg.DISCOVERY.REPRESENTER.MAX_OBJECTS = 1
    cfg.DISCOVERY.REPRESENTER.MIN_AREA = 0.01

    cfg.DISCOVERY.ENSEMBLE = CN()  # ours
    cfg.DISCOVERY.ENSEMBLE.RULES = "lost,tokencut"  # comma-separated; all read the same facet
    cfg.DISCOVERY.ENSEMBLE.MIN_AGREEMENT = 0.5  # mean IoU with the other rules' nearest boxes
    cfg.DISCOVERY.ENSEMBLE.MAX_OBJECTS = 1
    cfg.DISCOVERY.ENSEMBLE.MAX_IOU = 0.5  # of two boxes that overlap by more the better one is kept

    cfg.DISCOVERY.MASKCUT = CN()  # arXiv:2301.11320; backbone dino_vitb8
    cfg.DISCOVERY.MASKCUT.N_MASKS = 3
    cfg.DISCOVERY.MASKCUT.TAU = 0.15
    cfg.DISCOVERY.MASKCUT.EPS = 1e-5
    cfg.DISCOVERY.MASKCUT.TIE_TOLERANCE = 1e-6
    cfg.DISCOVERY.MASKCUT.INPUT_SIDE = (
        480  # pixels, images are squeezed to a square; 0 keeps their shape
    )
    cfg.DISCOVERY.MASKCUT.MAX_CORNERS = 2  # a side with more corners of the grid is the background
    # a thesis on MaskCut: two corners are enough, as by MAX_CORNERS 1; False is the code
    cfg.DISCOVERY.MASKCUT.FLIP_ON_TWO_CORNERS = False
    cfg.DISCOVERY.MASKCUT.MAX_IOU = 0.5  # with the mask of the round before
    cfg.DISCOVERY.MASKCUT.MIN_AREA = 0.01  # share of the grid
    # a rejected mask is cut again and then emitted, as in the code; False: it ends the rounds
    cfg.DISCOVERY.MASKCUT.REPEAT_REJECTED = True
    # the same thesis: affinities of what was found are 0, so it leaves the graph; False is the code, whose features
    # of 0 leave eps, as affinities set to eps would
    cfg.DISCOVERY.MASKCUT.MASK_AFFINITY = False
    # discover.py refines the masks by the picture, with the numbers of DISCOVERY.CRF; it needs the extra `crf`
    cfg.DISCOVERY.MASKCUT.CRF = True

    cfg.DISCOVERY.BILATERAL = CN()  # solver, arXiv:1511.03296, as TokenCut's code runs it
    cfg.DISCOVERY.BILATERAL.SIGMA_SPATIAL = 16.0  # pixels
    cfg.DISCOVERY.BILATERAL.SIGMA_LUMA = 16.0  # of 256 levels
    cfg.DISCOVERY.BILATERAL.SIGMA_CHROMA = 8.0
    cfg.DISCOVERY.BILATERAL.CONFIDENCE = 0.999
    cfg.DISCOVERY.BILATERAL.SMOOTHNESS = 256.0  # lambda
    cfg.DISCOVERY.BILATERAL.BALANCE_ROUNDS = 10
    cfg.DISCOVERY.BILATERAL.CG_TOLERANCE = 1e-5  # relative
    cfg.DISCOVERY.BILATERAL.CG_ITERATIONS = 25
    cfg.DISCOVERY.BILATERAL.REGION = (
        "second_largest"  # counts the background, as the code; largest_object: ours
    )
    cfg.DISCOVERY.BILATERAL.MIN_IOU = 0.5  # with the unrefined mask; rejected below it

    cfg.DISCOVERY.CRF = CN()  # MaskCut's, arXiv:2301.11320, code
    cfg.DISCOVERY.CRF.SMOOTH_XY = 3.0  # pixels
    cfg.DISCOVERY.CRF.SMOOTH_WEIGHT = 7.0
    cfg.DISCOVERY.CRF.COLOUR_XY = 50.0  # pixels
    cfg.DISCOVERY.CRF.COLOUR_RGB = 5.0  # of 256 levels
    cfg.DISCOVERY.CRF.COLOUR_WEIGHT = 10.0
    cfg.DISCOVERY.CRF.ITERATIONS = 10
    cfg.DISCOVERY.CRF.MIN_IOU = 0.5  # with the unrefined mask; rejected below it

    # from the mask of a segmenter, backbone move_*; what the paper (ICCV 2023) leaves open is its release's
    cfg.DISCOVERY.MOVE = CN()
    cfg.DISCOVERY.MOVE.MASK_THRESH = 0.5  # foreground is above it
    # share of the image's height; components whose rectangle is no larger than the square of this side are left out
    cfg.DISCOVERY.MOVE.MIN_SIDE = 0.05
    cfg.DISCOVERY.MOVE.RANK_BY = "pixels"  # which component is the largest; release: rectangle
    cfg.DISCOVERY.MOVE.MAXIMA = "exclusive"  # x2 and y2; release: inclusive, one pixel short
    # the box where there is no component; release: square, [0, 0, H - 1, H - 1]
    cfg.DISCOVERY.MOVE.FALLBACK = "image"
    cfg.DISCOVERY.MOVE.MAX_OBJECTS = 1  # more: further components of the mask; ours
    cfg.DISCOVERY.MOVE.MIN_AREA = 0.01  # share of the image that each of them covers at least

    # from a heatmap; release: NORMALISE and QUANTISE True, SCORE thresholded, NMS_FORMAT xywh, FALLBACK pixels
    cfg.DISCOVERY.CONTOURS = CN()
    cfg.DISCOVERY.CONTOURS.NORMALISE = False  # to [0, 1]
    cfg.DISCOVERY.CONTOURS.QUANTISE = False  # to grey levels of a coloured map
    cfg.DISCOVERY.CONTOURS.THRESHOLD = 0.5  # share of the maximum from which a pixel is bright
    # share of the image that a box covers more than; the paper's numbers use it, its text has none. WWbL's code: 0
    cfg.DISCOVERY.CONTOURS.MIN_AREA = 0.05
    cfg.DISCOVERY.CONTOURS.SCORE = (
        "heatmap"  # mean in the box; thresholded: of bright pixels only, the others are 0
    )
    cfg.DISCOVERY.CONTOURS.NMS_IOU = 0.05
    cfg.DISCOVERY.CONTOURS.NMS_FORMAT = "xyxy"  # xywh: sizes are read as corners
    cfg.DISCOVERY.CONTOURS.DROP_RATIO = 0.5  # of the best score; boxes below it are dropped
    cfg.DISCOVERY.CONTOURS.FALLBACK = "none"  # pixels: two boxes of one pixel
    cfg.DISCOVERY.CONTOURS.MAX_OBJECTS = 10  # k, as many as h has slots

    # from the mask of FOUND's head, backbone found_*; arXiv:2212.07834
    cfg.DISCOVERY.FOUND = CN()
    cfg.DISCOVERY.FOUND.MASK_THRESH = 0.5  # foreground is above it
    cfg.DISCOVERY.FOUND.MAX_OBJECTS = 1  # more: further components of the mask; ours
    cfg.DISCOVERY.FOUND.MIN_AREA = 0.01  # share of the grid that each of them covers at least


def _add_grounding(cfg: CN) -> None:
    cfg.GROUNDING = CN()
    cfg.GROUNDING.PROMPT = "image of "  # before each phrase, as in the papers' code
    # the chance of each word of a phrase to be left out in training; for captions of COCO 0.2
    cfg.GROUNDING.WORD_DROP = 0.0
    # first layer of CLIP's image tower that the relevance map counts; -1 is the last alone, 0 all
    cfg.GROUNDING.START_LAYER = -1
    # the localisation losses, as in refinement; when g learns alone a quarter of each
    cfg.GROUNDING.RELEVANCE_WEIGHT = 64.0
    cfg.GROUNDING.AREA_WEIGHT = 1.0
    cfg.GROUNDING.FOREGROUND_WEIGHT = 1.0
    cfg.GROUNDING.BACKGROUND_WEIGHT = 2.0
    # while g is refined, boxes of a heatmap are replaced by their union
    cfg.GROUNDING.UNION_PROBABILITY = 0.5
    cfg.GROUNDING.UNION_PER = (
        "iteration"  # one draw for the batch; sample: one for each image, ours
    )
    cfg.GROUNDING.MIN_TARGET_SIDE = (
        0.05  # share of the image; boxes with a shorter side teach nothing
    )
    cfg.GROUNDING.SIMILARITY = "matched"  # the equations; release: all_pairs

    # "What is Where by Looking", NeurIPS 2022, and its repository
    cfg.LOOKING = CN()
    cfg.LOOKING.SEARCH_INPUT = "uint8"  # what selective search reads; release: float
    cfg.LOOKING.MIN_AREA = 0.1  # share of the picture that a region covers more than
    # before each caption when g reads it; the papers' code: nothing
    cfg.LOOKING.PROMPT = ""
    # communities of captions, by CLIP's cosine
    cfg.LOOKING.MIN_SIMILARITY = 0.85
    cfg.LOOKING.MIN_SIZE = 2
    cfg.LOOKING.OVERLAP = "discard"  # sentence-transformers 2.2.0; 2.2.2: trim
    # phrases of images in which nothing was found: miss, or skip (release), which leaves them out
    cfg.LOOKING.MISSING = "miss"


def _add_refinement(cfg: CN) -> None:
    # phases, in iterations: h alone for WARMUP_ITERS, then REFINE_ITERS of f and DETECTOR_ITERS of h in turn
    cfg.REFINE = CN()
    cfg.REFINE.WARMUP_ITERS = 3000
    cfg.REFINE.REFINE_ITERS = 10000
    cfg.REFINE.DETECTOR_ITERS = 0  # the paper never returns to h; release: 620
    # feature preservation, ||f(I) - f^h(I)||^2
    cfg.REFINE.PRESERVATION_WEIGHT = 1.0
    # of a transformer cls (after the final norm) or keys; of a segmenter mask; of any other network map
    cfg.REFINE.REG_ON = "cls"
    cfg.REFINE.REG_REDUCTION = "sum"  # over channels: sum (the formula) or mean (release)
    # how many training images the record at the end of a run is measured on; 0 is all of them
    cfg.REFINE.RECORD_IMAGES = 0

    # what h and f learn from: "rule" (its boxes on the current map of the square input, as the release), "reference"
    # (on the map of f before refinement, as the release of MOVE) or "annotations" (those of DATASETS.TRAIN, as from
    # +pseudo=FILE: the paper's boxes "extracted from I by f")
    cfg.REFINE.TARGETS = "rule"
    # the release refines no segmenter of MOVE's: when f begins to learn its head starts anew, and learns alone
    cfg.REFINE.FRESH_HEAD = False
    # while f learns, batch norms of its frozen copy read the batch, as the release of MOVE leaves them by oversight
    cfg.REFINE.REFERENCE_BATCH_STATISTICS = False
    # a control: h learns from the boxes of another image of the batch; ours
    cfg.REFINE.SHUFFLE_BOXES = False
    # signs without labels that f drifts off, logged while it learns; ours
    cfg.REFINE.STOP_ON_DRIFT = False  # True: f goes back to the check before, and training ends
    cfg.REFINE.DRIFT = CN()
    cfg.REFINE.DRIFT.PERIOD = 500  # iterations of f between checks; 0 is never
    cfg.REFINE.DRIFT.IMAGES = 64  # the first so many training images
    cfg.REFINE.DRIFT.AGREEMENT_LOSS = 0.05  # fall of the mean IoU with the boxes of mirrored images
    cfg.REFINE.DRIFT.AREA_FACTOR = 1.5  # by which the mean box area may grow or shrink
    cfg.REFINE.DRIFT.FEATURE_SHIFT = 0.5  # distance of the maps, share of their length

    cfg.SOLVER.MAP_NETWORK_LR = 5e-7  # of f; SOLVER.BASE_LR is h's. Release: 1e-5
    cfg.SOLVER.MAP_NETWORK_BETAS = (0.9, 0.999)  # of Adam; release of MOVE: (0.9, 0.95)
    # True: AdamW's weight decay (release of MOVE); False: Adam's, a part of the gradient
    cfg.SOLVER.MAP_NETWORK_DECOUPLED_DECAY = False
    cfg.SOLVER.MAP_NETWORK_DECAY = (
        CN()
    )  # f's rate falls as (1 - t / ITERS) ** POWER (release of MOVE)
    cfg.SOLVER.MAP_NETWORK_DECAY.POWER = 0.0  # 0: it does not
    cfg.SOLVER.MAP_NETWORK_DECAY.ITERS = 10000  # t is counted from the end of REFINE.WARMUP_ITERS
    cfg.SOLVER.MAP_NETWORK_DECAY.EVERY_ITERS = 1  # the rate is set anew after so many
    cfg.SEED = 0  # -1, Detectron2's own default: a run draws one, and its config.yaml and results.json state it
    cfg.LOG_PERIOD = 20  # iterations between two lines of metrics.json


def _add_pretraining(cfg: CN) -> None:
    """Self-distillation: DINO (arXiv:2104.14294) as its code trains ViT-S/16; 1251 iterations are an epoch of ImageNet."""
    cfg.PRETRAIN = CN()
    cfg.PRETRAIN.TEACHER_MOMENTUM = 0.996  # at the start; 1 at the end, along a cosine
    # along a cosine, from SOLVER.WEIGHT_DECAY; none on biases and norms
    cfg.PRETRAIN.WEIGHT_DECAY_END = 0.4
    cfg.PRETRAIN.DROP_PATH = 0.1  # of the student's last block, from 0 at the first

    cfg.PRETRAIN.DINO = CN()  # CLS tokens of crops
    cfg.PRETRAIN.DINO.WEIGHT = 1.0
    cfg.PRETRAIN.DINO.GLOBAL_SIZE = 224  # pixels
    cfg.PRETRAIN.DINO.GLOBAL_AREA = (0.25, 1.0)  # shares of the photograph
    cfg.PRETRAIN.DINO.LOCAL_SIZE = 96
    cfg.PRETRAIN.DINO.LOCAL_AREA = (0.05, 0.25)
    cfg.PRETRAIN.DINO.LOCAL_CROPS = 10
    cfg.PRETRAIN.DINO.STUDENT_TEMPERATURE = 0.1
    cfg.PRETRAIN.DINO.TEACHER_TEMPERATURE = (0.04, 0.07)  # linear from the first to the second
    cfg.PRETRAIN.DINO.TEMPERATURE_ITERS = 37530  # 30 epochs
    cfg.PRETRAIN.DINO.CENTRE_MOMENTUM = 0.9
    cfg.PRETRAIN.DINO.OUT_DIM = 65536
    cfg.PRETRAIN.DINO.HIDDEN_DIM = 2048
    cfg.PRETRAIN.DINO.BOTTLENECK_DIM = 256
    cfg.PRETRAIN.DINO.NORM_LAST_LAYER = False
    cfg.PRETRAIN.DINO.FREEZE_LAST_LAYER_ITERS = 1251  # 1 epoch
    # collapse: the outputs of the teacher tell the crops of a batch apart by less than so many nats, for so long
    cfg.PRETRAIN.DINO.COLLAPSE_NATS = 0.01
    cfg.PRETRAIN.DINO.COLLAPSE_ITERS = 500

    # iBOT's masked patches (arXiv:2111.07832), through the head of the CLS tokens
    cfg.PRETRAIN.PATCH = CN()
    cfg.PRETRAIN.PATCH.WEIGHT = 0.0  # iBOT: 1
    cfg.PRETRAIN.PATCH.MASKED_IMAGES = 0.5  # share of global crops that are masked at all
    cfg.PRETRAIN.PATCH.MASK_RATIO = (0.1, 0.5)  # share of their patches

    cfg.PRETRAIN.GROUPING = CN()  # sources of the patches of composites; ours
    cfg.PRETRAIN.GROUPING.WEIGHT = 0.0
    cfg.PRETRAIN.GROUPING.SIZE = 224  # side of a composite, pixels
    cfg.PRETRAIN.GROUPING.VIEW_AREA = (0.35, 1.0)  # share of the photograph that a view shows
    cfg.PRETRAIN.GROUPING.REGION_AREA = (0.02, 0.5)  # share of the view that a pasted region covers
    cfg.PRETRAIN.GROUPING.SCALE = 5.0  # logit per unit of cosine similarity
    cfg.PRETRAIN.GROUPING.BACKGROUND_WEIGHT = 0.3  # of pairs within the picture that was pasted on
    cfg.PRETRAIN.GROUPING.CENTRED_WEIGHT = 0.5  # of the same on keys less the image's mean


def _add_move_training(cfg: CN) -> None:
    """MOVE's head (arXiv:2210.07920) as its code trains it, and the masked autoencoder that paints behind objects."""
    cfg.PRETRAIN.INPAINTER = CN()  # arXiv:2111.06377
    cfg.PRETRAIN.INPAINTER.NAME = "mae_vitl16"  # or mae_mini, ours
    # a file, "random[:SEED]", or "" for the official one, mae_visualize_vit_large_ganloss.pth
    cfg.PRETRAIN.INPAINTER.WEIGHTS = ""
    # range of the share of patches hidden in its own training, drawn for each batch; MAE hides three quarters
    cfg.PRETRAIN.INPAINTER.MASK_RATIO = (0.75, 0.75)
    # of the error on visible patches; MAE has none, but a small one's round trip is then no picture. Ours
    cfg.PRETRAIN.INPAINTER.VISIBLE_WEIGHT = 0.0
    cfg.PRETRAIN.INPAINTER.BETAS = (0.9, 0.95)  # of AdamW, in its own training

    # rates are SOLVER.BASE_LR for both parts; SOLVER.WEIGHT_DECAY is not read
    cfg.PRETRAIN.MOVE = CN()
    cfg.PRETRAIN.MOVE.SHIFT = 0.125  # largest shift of an object, share of the image's shorter side
    # True: what is not inpainted is the photograph itself; False: all images go through the autoencoder
    cfg.PRETRAIN.MOVE.COPY_REAL = False
    # side of a tile, pixels; mask losses are taken on the mask, its means over tiles and its maxima
    cfg.PRETRAIN.MOVE.POOL = 16
    cfg.PRETRAIN.MOVE.BINARISE_WEIGHT = 12.5  # of mean(min(m, 1 - m))
    cfg.PRETRAIN.MOVE.BINARISE_STEPS = 2500  # of the segmenter, over which that weight grows from 0
    cfg.PRETRAIN.MOVE.MIN_AREA = 0.05  # share of the image
    cfg.PRETRAIN.MOVE.MIN_AREA_WEIGHT = 100.0
    cfg.PRETRAIN.MOVE.MAX_AREA = 0.5  # share of the image; not published, as its weight is 0
    cfg.PRETRAIN.MOVE.MAX_AREA_WEIGHT = 0.0
    cfg.PRETRAIN.MOVE.SEGMENTER_BETAS = (0.9, 0.95)  # of AdamW
    cfg.PRETRAIN.MOVE.SEGMENTER_WEIGHT_DECAY = 0.0

    cfg.PRETRAIN.MOVE.DISCRIMINATOR = CN()  # projected GAN, arXiv:2111.01007
    # a network of timm (MOVE's has ImageNet's labels behind it), or a transformer of networks.BACKBONES
    cfg.PRETRAIN.MOVE.DISCRIMINATOR.FEATURES = "tf_efficientnet_lite0"
    # a file, "random[:SEED]", or "": what timm fetches, or a backbone's own
    cfg.PRETRAIN.MOVE.DISCRIMINATOR.WEIGHTS = ""
    cfg.PRETRAIN.MOVE.DISCRIMINATOR.INPUT_SIZE = 224  # pixels
    # of the finest scale after the random mixing, twice as many at each coarser one
    cfg.PRETRAIN.MOVE.DISCRIMINATOR.MIX_CHANNELS = 64
    # of a head's first convolution, doubled with each halving of its grid up to the second; ours
    cfg.PRETRAIN.MOVE.DISCRIMINATOR.HEAD_CHANNELS = (64, 512)
    cfg.PRETRAIN.MOVE.DISCRIMINATOR.BETAS = (0.0, 0.99)  # of AdamW
    cfg.PRETRAIN.MOVE.DISCRIMINATOR.WEIGHT_DECAY = 0.01  # AdamW's own


def _add_found_training(cfg: CN) -> None:
    """FOUND's head (arXiv:2212.07834) as its code trains it; the solver's numbers are those of DISCOVERY.BILATERAL."""
    cfg.PRETRAIN.FOUND = CN()
    # "attention": the patch that CLS looks at least is background; "similarity", ours, for networks whose CLS learnt
    # nothing: the patch that is most like all others
    cfg.PRETRAIN.FOUND.SEED_BY = "attention"
    # with that patch; those above it are background too
    cfg.PRETRAIN.FOUND.BACKGROUND_COSINE = 0.3
    # iterations that this background teaches; afterwards the head's own mask does
    cfg.PRETRAIN.FOUND.SEED_STEPS = 100
    cfg.PRETRAIN.FOUND.SEED_WEIGHT = 1.0
    cfg.PRETRAIN.FOUND.BILATERAL_WEIGHT = 1.5
    cfg.PRETRAIN.FOUND.SELF_WEIGHT = 4.0


def _add_clip_training(cfg: CN) -> None:
    cfg.PRETRAIN.CLIP = CN()
    cfg.PRETRAIN.CLIP.VOCABULARY = 1024  # tokens of its text, 514 of them bytes and marks


def _add_detectors(cfg: CN) -> None:
    """CAD and CutLER; the rest of what they need are Detectron2's own keys, in configs/base/."""
    # images that SOLVER.BASE_LR is meant for; another SOLVER.IMS_PER_BATCH scales it linearly, and says so. 0: never
    cfg.SOLVER.REFERENCE_BATCH = 0
    # of the layers that tell classes apart, which start anew on a detector without classes
    cfg.SOLVER.PREDICTOR_LR_FACTOR = 1.0

    # CutLER, arXiv:2301.11320: regions whose predicted box meets no pseudo-box have no classification loss
    cfg.MODEL.ROI_HEADS.DROP_LOSS = CN()
    cfg.MODEL.ROI_HEADS.DROP_LOSS.ENABLED = False  # True needs ROI_HEADS.NAME DropLoss*
    cfg.MODEL.ROI_HEADS.DROP_LOSS.IOU_THRESH = 0.01  # kept above it
    # which boxes count: all of the image (paper), or those its code finds (release)
    cfg.MODEL.ROI_HEADS.DROP_LOSS.TARGETS = "paper"

    # tools/self_train.py, as CutLER's repository describes it
    cfg.SELF_TRAINING = CN()
    # of a prediction that becomes a label, one a round; the last one serves further rounds
    cfg.SELF_TRAINING.MIN_SCORES = (0.7, 0.65)
    cfg.SELF_TRAINING.MAX_IOU = 0.5  # with a prediction; a label of the round before stays below it
    cfg.SELF_TRAINING.DETECTIONS = 30  # predictions an image

    # CutLER's copy-paste augmentation
    cfg.INPUT.COPY_PASTE = CN()
    cfg.INPUT.COPY_PASTE.ENABLED = False
    cfg.INPUT.COPY_PASTE.RATE = 1.0  # share of the images that receive objects
    cfg.INPUT.COPY_PASTE.RATIO = (0.3, 1.0)  # size of what is pasted, share of the target image
    # an object that covers this share of another one, or more, is not pasted
    cfg.INPUT.COPY_PASTE.DISCARD_SHARE = 0.5
    cfg.INPUT.COPY_PASTE.BEHAVIOUR = "fixed"  # release: with the defects of its code


def _add_input_and_data(cfg: CN) -> None:
    cfg.INPUT.SQUARE_SIZE = 304  # side of the square that h's map is made from, pixels
    # random resized crop while training (release; the paper is silent); an empty area range switches it off
    cfg.INPUT.CROP_AREA = (0.9, 1.0)
    cfg.INPUT.CROP_ASPECT = (3 / 4, 4 / 3)
    cfg.INPUT.CACHE_GIB = 0.0  # training pictures that each worker keeps, GiB; ours
    cfg.INPUT.MAX_SIDE = 800  # longest side above which a test image is reduced, pixels; 0 is never
    cfg.TEST.IMS_PER_BATCH = 8  # per rank; images of one padded size only are ever batched
    # True: heatmaps of phrases of other images are scored, too
    cfg.TEST.GROUNDING_CONTROLS = False
    # CorLoc's ground truth: lost, no_hard or release (which truncates to int16 and keeps crowds)
    cfg.TEST.CORLOC_PROTOCOL = "lost"
