"""Names and shapes of the parameters in the released detectors of LOST (CAD) and CutLER.

They are those that Detectron2 0.6 writes. Norms that learn have step counters; frozen norms have
none.
"""

from collections.abc import Iterator

import torch

Shapes = dict[str, tuple[int, ...]]

# some parameters, with their exact names
LOST_CAD = {
    "backbone.stem.conv1.weight": (64, 3, 7, 7),
    "backbone.stem.conv1.norm.running_mean": (64,),
    "backbone.res2.0.shortcut.weight": (256, 64, 1, 1),
    "backbone.res3.3.conv2.norm.bias": (128,),
    "backbone.res4.0.shortcut.norm.running_var": (1024,),
    "backbone.res4.5.conv3.weight": (1024, 256, 1, 1),
    "proposal_generator.rpn_head.conv.weight": (1024, 1024, 3, 3),
    "proposal_generator.rpn_head.objectness_logits.weight": (15, 1024, 1, 1),
    "proposal_generator.rpn_head.anchor_deltas.bias": (60,),
    "roi_heads.res5.0.conv1.weight": (512, 1024, 1, 1),
    "roi_heads.res5.0.shortcut.norm.weight": (2048,),
    "roi_heads.res5.2.conv3.norm.running_var": (2048,),
    "roi_heads.res5.norm.weight": (2048,),
    "roi_heads.res5.norm.bias": (2048,),
    "roi_heads.res5.norm.running_mean": (2048,),
    "roi_heads.res5.norm.running_var": (2048,),
    "roi_heads.res5.norm.num_batches_tracked": (),
    "roi_heads.box_predictor.cls_score.weight": (2, 2048),
    "roi_heads.box_predictor.bbox_pred.bias": (4,),
}
CUTLER = {
    "backbone.fpn_lateral2.weight": (256, 256, 1, 1),
    "backbone.fpn_lateral2.norm.weight": (256,),
    "backbone.fpn_lateral5.weight": (256, 2048, 1, 1),
    "backbone.fpn_output2.weight": (256, 256, 3, 3),
    "backbone.fpn_output5.norm.running_var": (256,),
    "backbone.bottom_up.stem.conv1.weight": (64, 3, 7, 7),
    "backbone.bottom_up.stem.conv1.norm.num_batches_tracked": (),
    "backbone.bottom_up.res2.0.conv2.norm.weight": (64,),
    "backbone.bottom_up.res5.2.conv3.weight": (2048, 512, 1, 1),
    "proposal_generator.rpn_head.objectness_logits.weight": (3, 256, 1, 1),
    "proposal_generator.rpn_head.anchor_deltas.weight": (12, 256, 1, 1),
    "roi_heads.mask_head.mask_fcn1.weight": (256, 256, 3, 3),
    "roi_heads.mask_head.mask_fcn4.bias": (256,),
    "roi_heads.mask_head.deconv.weight": (256, 256, 2, 2),
    "roi_heads.mask_head.predictor.weight": (1, 256, 1, 1),
}
CUTLER_MASK = CUTLER | {
    "roi_heads.box_head.fc1.weight": (1024, 12544),
    "roi_heads.box_head.fc2.bias": (1024,),
    "roi_heads.box_predictor.cls_score.weight": (2, 1024),
    "roi_heads.box_predictor.bbox_pred.weight": (4, 1024),
}
CUTLER_CASCADE = CUTLER | {
    "roi_heads.box_head.0.fc1.weight": (1024, 12544),
    "roi_heads.box_head.1.fc2.weight": (1024, 1024),
    "roi_heads.box_head.2.fc2.bias": (1024,),
    "roi_heads.box_predictor.0.bbox_pred.weight": (4, 1024),
    "roi_heads.box_predictor.2.cls_score.weight": (2, 1024),
    "roi_heads.box_predictor.2.cls_score.bias": (2,),
}


def lost_cad() -> Shapes:
    """Return LOST's class-agnostic Faster R-CNN R50-C4, whose stem and res2 are frozen."""
    names = _resnet50("backbone.", ("stem", "res2", "res3", "res4"), frozen=("stem", "res2"))
    names |= _resnet50("roi_heads.", ("res5",), frozen=())
    names |= _norm("roi_heads.res5.norm", 2048)
    return names | _rpn(1024, 15) | _predictor("roi_heads.box_predictor", 2048)


def cutler_mask() -> Shapes:
    """Return CutLER's Mask R-CNN R50-FPN."""
    return _fpn_with_masks() | _box_head("") | _predictor("roi_heads.box_predictor", 1024)


def cutler_cascade() -> Shapes:
    """Return CutLER's Cascade Mask R-CNN R50-FPN."""
    names = _fpn_with_masks()
    for stage in "012":
        names |= _box_head(f".{stage}") | _predictor(f"roi_heads.box_predictor.{stage}", 1024)
    return names


def random_state(shapes: Shapes, seed: int) -> dict[str, torch.Tensor]:
    """Return random numbers that differ between parameters, and along their first axis only.

    The file of such parameters is small.
    """
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, shape in shapes.items():
        if not shape:
            state[name] = torch.randint(1, 1000, (), generator=generator)
            continue
        values = torch.rand(shape[0], generator=generator) + 0.1
        state[name] = values.view(-1, *[1] * (len(shape) - 1)).expand(shape)
    return state


def _fpn_with_masks() -> Shapes:
    stages = ("stem", "res2", "res3", "res4", "res5")
    names = _resnet50("backbone.bottom_up.", stages, frozen=())
    for level, channels in ((2, 256), (3, 512), (4, 1024), (5, 2048)):
        names |= _conv(f"backbone.fpn_lateral{level}", 256, channels, 1)
        names |= _conv(f"backbone.fpn_output{level}", 256, 256, 3)
    for number in (1, 2, 3, 4):
        names |= _biased(f"roi_heads.mask_head.mask_fcn{number}", (256, 256, 3, 3))
    names |= _biased("roi_heads.mask_head.deconv", (256, 256, 2, 2))
    names |= _biased("roi_heads.mask_head.predictor", (1, 256, 1, 1))
    return names | _rpn(256, 3)


def _resnet50(prefix: str, parts: tuple[str, ...], frozen: tuple[str, ...]) -> Shapes:
    names: Shapes = {}
    if "stem" in parts:
        names |= _conv(f"{prefix}stem.conv1", 64, 3, 7, counts="stem" not in frozen)
    for stage, blocks, width, inputs in _stages():
        if stage not in parts:
            continue
        for block in range(blocks):
            place, counts = f"{prefix}{stage}.{block}", stage not in frozen
            before = inputs if block == 0 else 4 * width
            if block == 0:
                names |= _conv(f"{place}.shortcut", 4 * width, inputs, 1, counts=counts)
            names |= _conv(f"{place}.conv1", width, before, 1, counts=counts)
            names |= _conv(f"{place}.conv2", width, width, 3, counts=counts)
            names |= _conv(f"{place}.conv3", 4 * width, width, 1, counts=counts)
    return names


def _stages() -> Iterator[tuple[str, int, int, int]]:
    yield "res2", 3, 64, 64
    yield "res3", 4, 128, 256
    yield "res4", 6, 256, 512
    yield "res5", 3, 512, 1024


def _conv(name: str, out: int, inputs: int, size: int, counts: bool = True) -> Shapes:
    return {f"{name}.weight": (out, inputs, size, size)} | _norm(f"{name}.norm", out, counts)


def _norm(name: str, channels: int, counts: bool = True) -> Shapes:
    parts = ("weight", "bias", "running_mean", "running_var")
    names: Shapes = {f"{name}.{part}": (channels,) for part in parts}
    return names | ({f"{name}.num_batches_tracked": ()} if counts else {})


def _biased(name: str, shape: tuple[int, ...]) -> Shapes:
    return {f"{name}.weight": shape, f"{name}.bias": shape[:1]}


def _rpn(channels: int, anchors: int) -> Shapes:
    head = "proposal_generator.rpn_head"
    return {
        **_biased(f"{head}.conv", (channels, channels, 3, 3)),
        **_biased(f"{head}.objectness_logits", (anchors, channels, 1, 1)),
        **_biased(f"{head}.anchor_deltas", (4 * anchors, channels, 1, 1)),
    }


def _box_head(stage: str) -> Shapes:
    head = f"roi_heads.box_head{stage}"
    return _biased(f"{head}.fc1", (1024, 12544)) | _biased(f"{head}.fc2", (1024, 1024))


def _predictor(name: str, channels: int) -> Shapes:
    """Return a predictor of object or background, and of one box for all classes."""
    return _biased(f"{name}.cls_score", (2, channels)) | _biased(f"{name}.bbox_pred", (4, channels))
