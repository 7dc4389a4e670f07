"""Detector of CAD and CutLER, narrow and untrained, on small images."""

import pytest
import torch
from detectron2.layers import FrozenBatchNorm2d
from detectron2.modeling import build_model
from detectron2.structures import BitMasks, Boxes, Instances
from detectron2.utils.events import EventStorage
from torch import nn
from torch.testing import assert_close

from boxrefine_d2.detectors import ClassAgnosticRCNN, Res5ROIHeadsExtraNorm
from boxrefine_d2.errors import UserError
from boxrefine_d2.training.setup import load_config

CAD, CUTLER = "configs/demo/cad.yaml", "configs/demo/cutler.yaml"
BOTH = pytest.mark.parametrize("file", [CAD, CUTLER], ids=["cad", "cutler"])
SIZE = (64, 80)
# a ResNet-50 with a quarter of the channels: res5 has 512
NARROW = {
    "MODEL.RESNETS.DEPTH": "50",
    "MODEL.RESNETS.STEM_OUT_CHANNELS": "16",
    "MODEL.RESNETS.RES2_OUT_CHANNELS": "64",
    "MODEL.RESNETS.WIDTH_PER_GROUP": "16",
    "MODEL.RPN.POST_NMS_TOPK_TRAIN": "40",
    "MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE": "16",
    "MODEL.DEVICE": "cpu",
    "SOLVER.AMP.ENABLED": "False",
}


def config(file, **changes):
    settings = NARROW | {key.replace("__", "."): str(value) for key, value in changes.items()}
    return load_config(file, [part for pair in settings.items() for part in pair])


def built(file, seed=0, **changes) -> nn.Module:
    torch.manual_seed(seed)
    return build_model(config(file, **changes))


def batch():
    """Return two images, each with one bright object and its mask."""
    generator = torch.Generator().manual_seed(0)
    samples = []
    for x, y in ((8, 6), (30, 20)):
        image = torch.randint(0, 90, (3, *SIZE), generator=generator).byte()
        mask = torch.zeros(1, *SIZE, dtype=torch.bool)
        mask[0, y : y + 32, x : x + 40] = True
        image[:, mask[0]] = 220
        objects = Instances(SIZE)
        objects.gt_boxes = Boxes(torch.tensor([[x, y, x + 40, y + 32]]).float())
        objects.gt_classes = torch.zeros(1, dtype=torch.long)
        objects.gt_masks = BitMasks(mask)
        samples.append({"image": image, "instances": objects, "height": 128, "width": 160})
    return samples


def losses(model, seed=1) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    with EventStorage():
        return model.train()(batch())


def with_proposals(model) -> nn.Module:
    """Replace the output of the model's RPN by the same 30 proposals for each image."""
    generator = torch.Generator().manual_seed(2)
    corners = torch.rand(30, 2, generator=generator) * torch.tensor([40.0, 30.0])
    proposals = Instances(SIZE)
    proposals.proposal_boxes = Boxes(torch.cat([corners, corners + 34], dim=1))
    proposals.objectness_logits = torch.zeros(30)
    model.proposal_generator.predict_proposals = lambda *_: [proposals] * 2
    return model


@pytest.mark.parametrize(
    ("norm", "kind"), [("BN", nn.BatchNorm2d), ("FrozenBN", FrozenBatchNorm2d)]
)
def test_the_extra_norm_has_its_published_name(norm, kind):
    model = built(CAD, MODEL__RESNETS__NORM=norm)
    assert isinstance(model, ClassAgnosticRCNN)
    assert isinstance(model.roi_heads, Res5ROIHeadsExtraNorm)
    extra = model.roi_heads.res5.norm
    assert isinstance(extra, kind) and extra.num_features == 512
    names = {name for name in model.state_dict() if name.startswith("roi_heads.res5.norm.")}
    parts = ("weight", "bias", "running_mean", "running_var")
    assert names >= {f"roi_heads.res5.norm.{part}" for part in parts}
    stock = built(CAD, MODEL__RESNETS__NORM=norm, MODEL__ROI_HEADS__NAME="Res5ROIHeads")
    assert set(model.state_dict()) - set(stock.state_dict()) == names


def test_the_extra_norm_comes_after_the_last_block():
    model = built(CAD).eval()
    res5 = model.roi_heads.res5
    with torch.no_grad():
        res5.norm.running_mean.fill_(2.0)
        res5.norm.running_var.fill_(16.0)
        res5.norm.bias.fill_(-1.0)
        features = torch.randn(3, 256, 7, 7)
        blocks = features
        for block in list(res5)[:-1]:
            blocks = block(blocks)
        assert_close(res5(features), (blocks - 2) / (16 + res5.norm.eps) ** 0.5 - 1)


def test_an_empty_norm_is_refused():
    with pytest.raises(UserError, match="MODEL.RESNETS.NORM is empty: .* Res5ROIHeads$"):
        built(CAD, MODEL__RESNETS__NORM="")


@BOTH
def test_it_has_one_class(file):
    with pytest.raises(UserError, match="NUM_CLASSES 2: a ClassAgnosticRCNN has 1, .* General"):
        built(file, MODEL__ROI_HEADS__NUM_CLASSES=2)
    model = built(file)
    predictor = model.roi_heads.box_predictor
    assert predictor.cls_score.out_features == 2 and predictor.bbox_pred.out_features == 4


def test_pasting_needs_masks():
    with pytest.raises(UserError, match="COPY_PASTE.ENABLED: it pastes masks; set MODEL.MASK_ON"):
        built(CAD, INPUT__COPY_PASTE__ENABLED=True)
    assert built(CAD).copy_paste is None
    assert built(CUTLER).copy_paste is not None


@BOTH
def test_without_its_options_it_equals_the_stock_model_bit_for_bit(file):
    plain = {"INPUT__COPY_PASTE__ENABLED": False}
    model_losses = losses(built(file, **plain))
    stock = built(file, MODEL__META_ARCHITECTURE="GeneralizedRCNN", **plain)
    stock_losses = losses(stock.to(memory_format=torch.channels_last))  # as in our model
    assert set(model_losses) == set(stock_losses) and ("loss_mask" in model_losses) == (
        file == CUTLER
    )
    for name, value in stock_losses.items():
        assert model_losses[name].equal(value), name


@BOTH
def test_products_in_bfloat16_give_nearly_the_same_losses(file):
    """The proposals are fixed, because rounding decides which of equal proposals are kept."""
    exact, rounded = (
        losses(with_proposals(built(file, SOLVER__AMP__ENABLED=enabled)))
        for enabled in (False, True)
    )
    assert set(exact) == set(rounded)
    for name, value in exact.items():
        assert rounded[name].isfinite()
        assert_close(rounded[name].float(), value, rtol=0.05, atol=0.02)
    assert any(not rounded[name].float().equal(exact[name]) for name in exact)
    model = built(file, SOLVER__AMP__ENABLED=True)
    sum(losses(model).values()).backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    assert gradients and all(g.dtype == torch.float32 and g.isfinite().all() for g in gradients)


def test_objects_are_pasted_only_in_training():
    model = built(CUTLER)
    batch_sizes = []

    def pasted(samples):
        batch_sizes.append(len(samples))
        return [samples[0]] * 2

    model.copy_paste = pasted
    results = losses(model)
    assert batch_sizes == [2]
    model.copy_paste = None
    torch.manual_seed(1)
    with EventStorage():
        expected = model([batch()[0]] * 2)
    assert all(results[name].equal(expected[name]) for name in expected)
    model.copy_paste = pasted
    with torch.no_grad():
        model.eval()(batch())
    assert batch_sizes == [2]


@BOTH
@pytest.mark.parametrize("autocast", [False, True], ids=["fp32", "bf16"])
def test_the_outputs_are_in_pixels_of_the_original_image(file, autocast):
    cuts = {"MODEL__ROI_HEADS__SCORE_THRESH_TEST": 0.0, "TEST__DETECTIONS_PER_IMAGE": 7}
    model = built(file, SOLVER__AMP__ENABLED=autocast, **cuts).eval()
    with torch.no_grad():
        outputs = model([{k: v for k, v in s.items() if k != "instances"} for s in batch()])
    assert [list(output) for output in outputs] == [["instances"]] * 2
    for output in outputs:
        results = output["instances"]
        assert results.image_size == (128, 160) and 0 < len(results) <= 7
        boxes = results.pred_boxes.tensor
        assert boxes.shape == (len(results), 4) and boxes.dtype == torch.float32
        assert (boxes[:, 2:] > boxes[:, :2]).all() and (boxes >= 0).all()
        assert (boxes <= torch.tensor([160.0, 128.0, 160.0, 128.0])).all()
        assert boxes.max() > 80  # beyond the input's 64 x 80
        scores = results.scores.float()
        assert ((scores >= 0) & (scores <= 1)).all()
        assert scores.tolist() == sorted(scores.tolist(), reverse=True)
        assert results.pred_classes.tolist() == [0] * len(results)
        assert results.has("pred_masks") == (file == CUTLER)
        if file == CUTLER:
            assert results.pred_masks.shape == (len(results), 128, 160)
            assert results.pred_masks.dtype == torch.bool
