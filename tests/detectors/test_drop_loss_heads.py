"""Detectron2's ROI heads with DropLoss, compared with the stock heads and with the formula."""

from functools import partial

import numpy as np
import pytest
import torch
from detectron2.config import CfgNode, get_cfg
from detectron2.layers import ShapeSpec
from detectron2.modeling.roi_heads import FastRCNNOutputLayers, build_roi_heads
from detectron2.structures import BitMasks, Boxes, Instances
from detectron2.utils.events import EventStorage
from torch.testing import assert_close

import boxrefine_d2.detectors.drop_loss_heads  # noqa: F401  registration
from boxrefine_d2.errors import UserError

SIZE = 64  # side of the images, pixels
STOCK = {"standard": "StandardROIHeads", "cascade": "CascadeROIHeads"}
OURS = {"standard": "DropLossROIHeads", "cascade": "DropLossCascadeROIHeads"}
KINDS = pytest.mark.parametrize("kind", STOCK)


def config(name, *, levels=("p2", "p3"), masks=False, **drop_loss) -> CfgNode:
    cfg = get_cfg()
    cfg.MODEL.MASK_ON = masks
    heads = cfg.MODEL.ROI_HEADS
    heads.NAME, heads.NUM_CLASSES, heads.IN_FEATURES = name, 1, list(levels)
    heads.BATCH_SIZE_PER_IMAGE, heads.POSITIVE_FRACTION = 12, 0.5
    settings = {"ENABLED": True, "IOU_THRESH": 0.01, "TARGETS": "paper"}
    heads.DROP_LOSS = CfgNode(settings | drop_loss)
    box, mask = cfg.MODEL.ROI_BOX_HEAD, cfg.MODEL.ROI_MASK_HEAD
    box.NAME, box.NUM_FC, box.FC_DIM, box.POOLER_RESOLUTION = "FastRCNNConvFCHead", 1, 16, 3
    box.CLS_AGNOSTIC_BBOX_REG, box.POOLER_TYPE = True, "ROIAlignV2"
    mask.NAME, mask.NUM_CONV, mask.CONV_DIM = "MaskRCNNConvUpsampleHead", 1, 8
    mask.POOLER_RESOLUTION = 4
    return cfg


def built(name, seed=0, **settings):
    torch.manual_seed(seed)
    cfg = config(name, **settings)
    strides = {"p2": 4, "p3": 8}
    shapes = {
        level: ShapeSpec(channels=8, stride=strides[level])
        for level in cfg.MODEL.ROI_HEADS.IN_FEATURES
    }
    heads = build_roi_heads(cfg, shapes).train()
    generator = torch.Generator().manual_seed(7)
    for parameter_name, parameter in heads.named_parameters():
        if "bbox_pred" in parameter_name:  # predicted boxes must differ from proposals
            parameter.data.copy_(torch.randn(parameter.shape, generator=generator))
    return heads


def truth(*boxes) -> Instances:
    image = Instances((SIZE, SIZE))
    image.gt_boxes = Boxes(torch.tensor(boxes).reshape(-1, 4))
    image.gt_classes = torch.zeros(len(boxes), dtype=torch.long)
    masks = torch.zeros(len(boxes), SIZE, SIZE, dtype=torch.bool)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes, strict=True):
        mask[int(y1) : int(y2), int(x1) : int(x2)] = True
    image.gt_masks = BitMasks(masks)
    return image


TWO = truth([4.0, 4, 24, 30], [40.0, 36, 60, 60])
ONE = truth([10.0, 20, 50, 40])
EMPTY = truth()


def inputs(targets):
    """Return features, and 20 proposals per image, half of them around the targets."""
    generator = torch.Generator().manual_seed(3)
    features = {
        level: torch.randn(len(targets), 8, SIZE // stride, SIZE // stride, generator=generator)
        for level, stride in (("p2", 4), ("p3", 8))
    }
    proposals = []
    for target in targets:
        corner = torch.rand(20, 2, generator=generator) * 44
        boxes = torch.cat([corner, corner + 6 + 14 * torch.rand(20, 2, generator=generator)], dim=1)
        if len(target):
            near = target.gt_boxes.tensor[torch.arange(10) % len(target)]
            boxes[:10] = near + 2 * torch.randn(10, 4, generator=generator)
        image = Instances((SIZE, SIZE))
        image.proposal_boxes, image.objectness_logits = Boxes(boxes), torch.zeros(20)
        proposals.append(image)
    return features, proposals


def losses(heads, targets, seed=5):
    """Return the losses, the arguments of each box predictor in turn, and the event storage.

    The arguments of a predictor begin with the predictor itself.
    """
    features, proposals = inputs(targets)
    calls = []

    def recorded(predictor, predictions, proposals):
        calls.append((predictor, predictions, proposals))
        return type(predictor).losses(predictor, predictions, proposals)

    for predictor in heads.box_predictor.modules():
        if isinstance(predictor, FastRCNNOutputLayers):
            predictor.losses = partial(recorded, predictor)
    torch.manual_seed(seed)
    with EventStorage() as storage:
        results = heads(None, features, proposals, targets)[1]
    return results, calls, storage


def formula(predictor, predictions, proposals, targets) -> float:
    """Return the loss, computed region by region in float64."""
    logits, deltas = (x.detach().double().numpy() for x in predictions)
    region, total = 0, 0.0
    for image, boxes in zip(proposals, targets, strict=True):
        for box, label in zip(image.proposal_boxes.tensor, image.gt_classes, strict=True):
            x1, y1, x2, y2 = decoded(box.double().numpy(), deltas[region], predictor)
            best = 0.0
            for a1, b1, a2, b2 in boxes.tolist():
                inner = max(0, min(x2, a2) - max(x1, a1)) * max(0, min(y2, b2) - max(y1, b1))
                outer = (x2 - x1) * (y2 - y1) + (a2 - a1) * (b2 - b1) - inner
                best = max(best, inner / outer)
            if best > 0.01:
                row = logits[region]
                total += np.log(np.exp(row).sum()) - row[int(label)]
            region += 1
    return total / region


def decoded(box, delta, predictor):
    width, height = box[2] - box[0], box[3] - box[1]
    dx, dy, dw, dh = delta / np.array(predictor.box2box_transform.weights)
    limit = np.log(1000 / 16)
    x, y = box[0] + width / 2 + dx * width, box[1] + height / 2 + dy * height
    half_w, half_h = width * np.exp(min(dw, limit)) / 2, height * np.exp(min(dh, limit)) / 2
    return x - half_w, y - half_h, x + half_w, y + half_h


@KINDS
@pytest.mark.parametrize("masks", [False, True])
def test_disabled_heads_equal_the_stock_heads_bit_for_bit(kind, masks):
    stock, drop_loss_heads = (
        built(STOCK[kind], masks=masks),
        built(OURS[kind], masks=masks, ENABLED=False),
    )
    expected, results = (losses(heads, [TWO, ONE, EMPTY])[0] for heads in (stock, drop_loss_heads))
    assert set(results) == set(expected) and ("loss_mask" in results) == masks
    for name, value in expected.items():
        assert results[name].equal(value), name


@KINDS
def test_drop_loss_changes_only_the_classification_loss(kind):
    stock, drop_loss_heads = built(STOCK[kind], masks=True), built(OURS[kind], masks=True)
    for (name, expected), (drop_loss_name, results) in zip(
        stock.state_dict().items(), drop_loss_heads.state_dict().items(), strict=True
    ):
        assert name == drop_loss_name and results.equal(expected)  # equal initial weights
    expected, results = (losses(heads, [TWO, ONE])[0] for heads in (stock, drop_loss_heads))
    changed = {name for name, value in expected.items() if not results[name].equal(value)}
    assert changed == {name for name in expected if name.startswith("loss_cls")}
    assert all(results[name] < expected[name] for name in changed)


@KINDS
def test_every_stage_is_the_formula_with_its_own_boxes(kind):
    targets = [TWO, EMPTY, ONE]
    results, calls, _ = losses(built(OURS[kind]), targets)
    assert len(calls) == {"standard": 1, "cascade": 3}[kind]
    assert len({tuple(stage[0].box2box_transform.weights) for stage in calls}) == len(calls)
    boxes = [image.gt_boxes.tensor for image in targets]
    for stage, arguments in enumerate(calls):
        name = "loss_cls" + (f"_stage{stage}" if kind == "cascade" else "")
        assert_close(results[name].item(), formula(*arguments, boxes), atol=1e-5, rtol=0)


@KINDS
def test_the_release_is_the_formula_with_the_first_rows_of_matched_boxes(kind):
    heads, seed = built(OURS[kind], TARGETS="release"), 4
    results, calls, _ = losses(heads, [TWO, ONE], seed)
    for stage, arguments in enumerate(calls):
        matched = [image.gt_boxes.tensor for image in arguments[2]]
        boxes = [m[: len({tuple(row) for row in m[:100].tolist()})] for m in matched]
        if stage == 0:  # with this seed, the first rows of TWO's shuffled boxes are one box
            assert [len(m.unique(dim=0)) for m in matched] == [2, 1]
            assert [len(b.unique(dim=0)) for b in boxes] == [1, 1]
        name = "loss_cls" + (f"_stage{stage}" if kind == "cascade" else "")
        assert_close(results[name].item(), formula(*arguments, boxes), atol=1e-5, rtol=0)
    first = "loss_cls_stage0" if kind == "cascade" else "loss_cls"
    paper, _, _ = losses(built(OURS[kind]), [TWO, ONE], seed)
    assert results[first] < paper[first]


@KINDS
def test_the_release_has_the_plain_loss_if_an_image_is_empty(kind):
    stock = losses(built(STOCK[kind]), [TWO, EMPTY])[0]
    results, calls, _ = losses(built(OURS[kind], TARGETS="release"), [TWO, EMPTY])
    first = "loss_cls_stage0" if kind == "cascade" else "loss_cls"
    assert results[first].equal(stock[first])
    # later stages match regions of the empty image with a box of zeros, which no region overlaps
    if kind == "cascade":
        assert results["loss_cls_stage1"] < stock["loss_cls_stage1"]


@KINDS
def test_no_gradient_of_classification_reaches_the_box_deltas(kind):
    heads = built(OURS[kind])
    results, _, _ = losses(heads, [TWO, ONE])
    sum(value for name, value in results.items() if name.startswith("loss_cls")).backward()
    for name, parameter in heads.named_parameters():
        if "bbox_pred" in name:
            assert parameter.grad is None or not parameter.grad.any()
        if "cls_score" in name:
            assert parameter.grad.any()


def test_one_level_of_features_is_enough():
    results, calls, _ = losses(built(OURS["standard"], levels=("p3",)), [TWO])
    boxes = [TWO.gt_boxes.tensor]
    assert_close(results["loss_cls"].item(), formula(*calls[0], boxes), atol=1e-5, rtol=0)


def test_the_loss_has_the_factor_of_the_parent_and_logs_the_kept_share():
    heads = built(OURS["standard"])
    plain, calls, storage = losses(heads, [TWO, EMPTY])
    heads.box_predictor.loss_weight = {"loss_cls": 3.0}
    assert_close(losses(heads, [TWO, EMPTY])[0]["loss_cls"], 3 * plain["loss_cls"])
    share = storage.latest()["drop_loss/kept_share"][0]
    assert 0 < share <= 0.5  # the empty image keeps no region


@KINDS
def test_targets_are_dropped_after_the_step_and_not_needed_in_eval(kind):
    heads = built(OURS[kind])
    _, calls, _ = losses(heads, [TWO])
    layers, predictions, proposals = calls[0]
    with EventStorage(), pytest.raises(RuntimeError, match="given_targets"):
        type(layers).losses(layers, predictions, proposals)
    features, proposals = inputs([TWO])
    with torch.no_grad():
        (detections,), results = heads.eval()(None, features, proposals)
    assert results == {} and detections.has("pred_boxes")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"TARGETS": "code"}, "DROP_LOSS.TARGETS 'code' is unknown; known: paper, release"),
        ({"IOU_THRESH": 1.0}, "DROP_LOSS.IOU_THRESH 1.0 is not in"),
    ],
)
def test_a_wrong_setting_is_named(settings, message):
    with pytest.raises(UserError, match=message):
        built(OURS["standard"], **settings)


def test_boxes_of_each_class_are_refused():
    cfg = config(OURS["standard"], levels=("p3",))
    cfg.MODEL.ROI_HEADS.NUM_CLASSES, cfg.MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG = 2, False
    with pytest.raises(UserError, match="CLS_AGNOSTIC_BBOX_REG True"):
        build_roi_heads(cfg, {"p3": ShapeSpec(channels=8, stride=8)})
    cfg.MODEL.ROI_HEADS.NUM_CLASSES = 1  # one class has one box
    build_roi_heads(cfg, {"p3": ShapeSpec(channels=8, stride=8)})
