import math
import sys

import numpy as np
import pytest
import torch
from detectron2.utils.events import EventStorage
from PIL import Image

from boxrefine_d2.data.mappers.views import ViewsMapper
from boxrefine_d2.errors import UserError
from boxrefine_d2.pretraining import SelfDistillation
from boxrefine_d2.pretraining.distillation import TeacherOutputs
from boxrefine_d2.pretraining.pretrain_trainer import PretrainTrainer
from boxrefine_d2.training.setup import load_config

SMALL = {
    "MODEL.DEVICE": "cpu",
    "MODEL.MAP_NETWORK.WEIGHTS": "random:3",
    "PRETRAIN.DINO.WEIGHT": "1.0",
    "PRETRAIN.PATCH.WEIGHT": "1.0",
    "PRETRAIN.PATCH.MASKED_IMAGES": "1.0",
    "PRETRAIN.DINO.OUT_DIM": "32",
    "PRETRAIN.DINO.HIDDEN_DIM": "16",
    "PRETRAIN.DINO.BOTTLENECK_DIM": "8",
    "PRETRAIN.DINO.GLOBAL_SIZE": "64",
    "PRETRAIN.DINO.LOCAL_SIZE": "32",
    "PRETRAIN.DINO.LOCAL_CROPS": "2",
    "PRETRAIN.GROUPING.SIZE": "64",
    "INPUT.CACHE_GIB": "0.0",
}


def config(**changes: str):
    settings = SMALL | {key.replace("__", "."): value for key, value in changes.items()}
    opts = [part for pair in settings.items() for part in pair]
    return load_config("configs/pretrain/dino_mini.yaml", opts)


def build(cfg) -> SelfDistillation:
    torch.manual_seed(0)
    return PretrainTrainer.build_model(cfg)


@pytest.fixture
def samples(tmp_path):
    return samples_of(tmp_path, config())


def samples_of(tmp_path, cfg):
    """Return the training samples of four random images of 90 x 80 pixels (W x H)."""
    rng = np.random.default_rng(0)
    records = []
    for index in range(4):
        path = tmp_path / f"{index}.png"
        Image.fromarray(rng.integers(0, 256, (80, 90, 3), dtype=np.uint8)).save(path)
        records.append({"file_name": str(path), "image_id": index})
    mapper = ViewsMapper.from_config(cfg)
    return [mapper(record, position) for position, record in enumerate(records)]


def test_all_terms_reach_the_student_and_none_the_teacher(samples):
    model = build(config()).train()
    with EventStorage() as storage:
        losses = model(samples)
        sum(losses.values()).backward()
        logged = {name: value for name, (value, _) in storage.latest().items()}
    assert set(losses) == {"loss_dino", "loss_patch", "loss_grouping"}
    assert all(loss.isfinite() and loss > 0 for loss in losses.values())
    for name in ("blocks.0.mlp.fc1.weight", "patch_embed.proj.weight", "pos_embed"):
        assert model.student.get_parameter(name).grad.abs().sum() > 0, name
    assert model.distillation.mask_token.grad.abs().sum() > 0
    frozen = [*model.map_network.parameters(), *model.distillation.teacher_head.parameters()]
    assert not any(parameter.requires_grad for parameter in frozen)
    assert 0 < logged["teacher_entropy"] <= math.log(32) + 1e-5
    assert 0 <= logged["grouping_right_signs"] <= 1


def test_terms_of_weight_0_are_not_computed(samples):
    model = build(config(PRETRAIN__DINO__WEIGHT="0.0", PRETRAIN__PATCH__WEIGHT="0.0")).train()
    assert model.distillation is None
    with EventStorage():
        assert set(model(samples)) == {"loss_grouping"}
    model = build(config(PRETRAIN__GROUPING__WEIGHT="0.0", PRETRAIN__PATCH__WEIGHT="0.0")).train()
    with EventStorage():
        assert set(model(samples)) == {"loss_dino"}
    with pytest.raises(UserError, match="nothing to learn from"):
        build(
            config(
                PRETRAIN__DINO__WEIGHT="0.0",
                PRETRAIN__PATCH__WEIGHT="0.0",
                PRETRAIN__GROUPING__WEIGHT="0.0",
            )
        )


def test_student_and_teacher_start_alike_and_the_teacher_follows():
    model = build(config())
    pairs = [(model.map_network, model.student)]
    pairs.append((model.distillation.teacher_head, model.distillation.student_head))
    for teacher, student in pairs:
        expected = student.state_dict()
        for name, value in teacher.state_dict().items():
            assert value.equal(expected[name]), name
    before = model.map_network.cls_token.clone()
    with torch.no_grad():
        for parameter in model.student.parameters():
            parameter.add_(1.0)
    model.update_teacher(momentum=0.75)
    torch.testing.assert_close(model.map_network.cls_token, before + 0.25)


def test_statistics_of_the_teacher_by_hand():
    """Two crops identified for certain: no entropy, log 2 nats of information. Two equal: none."""
    centre = torch.zeros(2)
    sure = TeacherOutputs.of(torch.tensor([[100.0, 0.0], [0.0, 100.0]]), centre, 1.0)
    assert sure.entropy == pytest.approx(0, abs=1e-6)
    assert sure.information == pytest.approx(math.log(2))
    uniform = TeacherOutputs.of(torch.zeros(2, 2), centre, 1.0)
    assert uniform.entropy == pytest.approx(math.log(2))
    assert uniform.information == pytest.approx(0, abs=1e-6)
    one_hot = TeacherOutputs.of(torch.tensor([[100.0, 0.0]] * 2), centre, 1.0)
    assert (one_hot.entropy, one_hot.information) == pytest.approx((0, 0), abs=1e-6)


def test_the_last_layer_can_be_frozen():
    model = build(config())
    layer = model.distillation.student_head.last_layer
    for parameter in layer.parameters():
        parameter.grad = torch.ones_like(parameter)
    model.distillation.freeze_last_layer()
    assert all(parameter.grad is None for parameter in layer.parameters())


def test_hidden_patches_are_replaced_by_the_mask_token():
    model = build(config()).eval()
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    masked = torch.zeros(2, 4, dtype=torch.bool)
    masked[:, 0] = True
    other = images.clone()
    other[:, :, :16, :16] += 1.0  # changes only the hidden patch
    token = torch.randn(192, generator=torch.Generator().manual_seed(1))
    first, second = (model.student.forward_tokens(x, masked, token) for x in (images, other))
    torch.testing.assert_close(first, second)
    assert not model.student.forward_tokens(images).allclose(first)


def test_no_weight_decay_on_vectors():
    cfg = config()
    decayed, plain = PretrainTrainer.build_optimizer(cfg, build(cfg)).param_groups
    assert decayed["weight_decay"] == cfg.SOLVER.WEIGHT_DECAY and plain["weight_decay"] == 0
    assert all(p.dim() > 1 for p in decayed["params"])
    assert all(p.dim() == 1 for p in plain["params"])


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("MODEL__MAP_NETWORK__NAME", "dino_resnet50", "needs a transformer"),
        ("PRETRAIN__GROUPING__SIZE", "100", "PRETRAIN.GROUPING.SIZE 100 is no multiple"),
        ("SOLVER__IMS_PER_BATCH", "2", "composites need 3 images"),
    ],
)
def test_settings_that_cannot_work_are_named(key, value, message):
    with pytest.raises(UserError, match=message):
        build(config(**{key: value}))


def test_a_missing_lightly_names_the_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "lightly.loss", None)
    with pytest.raises(UserError, match=r"pip install 'boxrefine_d2\[pretrain\]'"):
        build(config())
