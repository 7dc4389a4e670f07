"""A trunk learns a teacher's keys: losses by hand, learning parts, start of a detector."""

import json
from types import SimpleNamespace

import pytest
import safetensors
import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling.backbone import Backbone
from torch import nn
from torch.testing import assert_close

from boxrefine_d2.detectors.cad_trainer import CADTrainer
from boxrefine_d2.errors import UserError
from boxrefine_d2.networks import IMAGENET_MEAN, IMAGENET_STD
from boxrefine_d2.pretraining import TrunkDistillation
from boxrefine_d2.training.checkpoint import SafeCheckpointer
from boxrefine_d2.training.product_trainer import ProductTrainer
from boxrefine_d2.training.setup import load_config

CONFIG = "configs/pretrain/resnet_mini.yaml"
CELLS = [[1.0, 1.0, 1.0], [2.0, -1.0, 0.0]]


class Trunk(Backbone):
    """Trunk of a norm and a mean over cells of 2 x 2 pixels: (B, 3, H / 2, W / 2)."""

    def __init__(self, stride=2, outputs=("res4",)):
        super().__init__()
        self.norm = nn.BatchNorm2d(3)
        self.shapes = {name: ShapeSpec(channels=3, stride=stride) for name in outputs}

    def output_shape(self):
        return self.shapes

    def forward(self, images):
        return {"res4": nn.functional.avg_pool2d(self.norm(images), 2)}


class Teacher(nn.Module):
    """Teacher with given keys, two numbers per patch of 2 x 2 pixels."""

    stride = 2

    def __init__(self):
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, 2))
        self.keys = torch.zeros(1, 2, 1, 2)
        self.dropout = nn.Dropout(0.5)

    def forward(self, images):
        self.images = images
        return SimpleNamespace(data=self.keys + 0 * self.cls_token.sum())


def tiny(autocast=False) -> TrunkDistillation:
    torch.manual_seed(0)
    return TrunkDistillation(
        trunk=Trunk(), name="tiny", teacher=Teacher(), weight_decay=0.05, autocast=autocast
    )


def photograph():
    """Return an image of two cells of 2 x 2 pixels, whose normalised values are `CELLS`."""
    pixels = torch.tensor(CELLS).T[:, None, :].repeat_interleave(2, dim=2).expand(3, 2, 4)
    mean, deviation = (torch.tensor(x).view(3, 1, 1) for x in (IMAGENET_MEAN, IMAGENET_STD))
    return [{"image": (pixels * deviation + mean) * 255}]


def by_hand() -> TrunkDistillation:
    """Return a model whose trunk returns the cells, and whose projection takes two channels."""
    model = tiny().train()
    norm = model.map_network.norm.eval()
    nn.init.zeros_(norm.running_mean)
    nn.init.constant_(norm.running_var, 1 - norm.eps)
    with torch.no_grad():
        model.projection.weight.copy_(torch.tensor([[1.0, 0, 0], [0, 1, 0]]).view(2, 3, 1, 1))
        model.projection.bias.zero_()
    return model


def test_losses_are_cosine_distances_of_keys_and_of_centred_keys():
    model = by_hand()
    # trunk: (1, 1) and (2, -1); minus their mean (-1/2, 1) and (1/2, -1)
    model.teacher.keys = torch.tensor([[1.0, 0.0], [2.0, 4.0]]).T.view(1, 2, 1, 2)
    # keys minus their mean (-1/2, -2) and (1/2, 2)
    losses = model(photograph())
    first, second = 1 / 2**0.5, (4 - 4) / 10  # cosines: (1, 1) with (1, 0), (2, -1) with (2, 4)
    centred = (1 / 4 - 2) / (1.25**0.5 * 4.25**0.5)  # the same for both cells
    assert set(losses) == {"loss_keys", "loss_centred_keys"}
    assert_close(losses["loss_keys"], torch.tensor(1 - (first + second) / 2))
    assert_close(losses["loss_centred_keys"], torch.tensor(1 - centred))
    assert_close(model.teacher.images[0, :, 0, ::2].T, torch.tensor(CELLS))  # the trunk's input


def test_equal_features_have_no_loss():
    model = by_hand()
    model.teacher.keys = 3 * torch.tensor([[1.0, 1.0], [2.0, -1.0]]).T.view(1, 2, 1, 2)
    losses = model(photograph())
    assert_close(losses["loss_keys"], torch.tensor(0.0), atol=1e-6, rtol=0)
    assert_close(losses["loss_centred_keys"], torch.tensor(0.0), atol=1e-6, rtol=0)


def test_each_image_has_its_own_mean():
    model = by_hand()
    [one] = photograph()
    other = {"image": one["image"].flip(0)}
    model.teacher.keys = torch.randn(2, 2, 1, 2, generator=torch.Generator().manual_seed(1))
    both = model([one, other])["loss_centred_keys"]
    keys, alone = model.teacher.keys, []
    for number, sample in enumerate((one, other)):
        model.teacher.keys = keys[number : number + 1]
        alone.append(model([sample])["loss_centred_keys"])
    assert_close(both, torch.stack(alone).mean())


def test_trunk_and_projection_learn_and_the_teacher_is_fixed():
    model = tiny().train()
    assert model.training and model.map_network.training and model.projection.training
    assert not any(part.training for part in model.teacher.modules())
    model.teacher.keys = torch.tensor([[1.0, 0.0], [2.0, 4.0]]).T.view(1, 2, 1, 2)
    sum(model(photograph()).values()).backward()
    learning = {name for name, p in model.named_parameters() if p.grad is not None}
    assert learning == {
        *("map_network.norm.weight", "map_network.norm.bias"),
        *("projection.weight", "projection.bias"),
    }
    assert not any(p.requires_grad for p in model.teacher.parameters())

    matrices, others = model.parameter_groups()
    assert (matrices["weight_decay"], others["weight_decay"]) == (0.05, 0.0)
    names = {id(p): name for name, p in model.named_parameters()}
    assert [names[id(p)] for p in matrices["params"]] == ["projection.weight"]
    assert {names[id(p)] for p in others["params"]} == learning - {"projection.weight"}


def test_bfloat16_rounds_products_and_not_the_loss():
    exact, rounded = (tiny(autocast).train() for autocast in (False, True))
    for model in (exact, rounded):
        model.teacher.keys = torch.tensor([[1.0, 0.0], [2.0, 4.0]]).T.view(1, 2, 1, 2)
    first, other = (model(photograph())["loss_keys"] for model in (exact, rounded))
    assert first.dtype == other.dtype == torch.float32
    assert first != other
    assert_close(first, other, atol=0.02, rtol=0)


def test_parts_that_do_not_fit_are_named():
    parts = {"name": "tiny", "teacher": Teacher(), "weight_decay": 0.0}
    with pytest.raises(UserError, match="OUT_FEATURES res4: its stride is 4, and a patch .* 2 pix"):
        TrunkDistillation(trunk=Trunk(stride=4), **parts)
    with pytest.raises(UserError, match="OUT_FEATURES res3, res4: name the one map"):
        TrunkDistillation(trunk=Trunk(outputs=("res3", "res4")), **parts)


@pytest.mark.parametrize(
    ("opts", "message"),
    [
        (
            ["DATASETS.TEST", "('scenes:val',)"],
            r"DATASETS.TEST \('scenes:val',\): a trunk draws no boxes, .* must be \(\)",
        ),
        (
            ["MODEL.RESNETS.OUT_FEATURES", "['res3']"],
            "OUT_FEATURES res3: its stride is 8, and a patch of the teacher 16 pixels",
        ),
        (["MODEL.RESNETS.OUT_FEATURES", "['res3', 'res4']"], "OUT_FEATURES res3, res4: name"),
        (
            ["MODEL.MAP_NETWORK.NAME", "dino_resnet50", "MODEL.MAP_NETWORK.WEIGHTS", "random"],
            "MODEL.MAP_NETWORK.NAME dino_resnet50 is no transformer",
        ),
    ],
)
def test_mistaken_configurations_are_refused_in_one_line(opts, message):
    with pytest.raises(UserError, match=message) as caught:
        ProductTrainer.build_model(load_config(CONFIG, ["MODEL.DEVICE", "cpu", *opts]))
    assert "\n" not in str(caught.value)


def test_it_draws_no_boxes():
    with pytest.raises(UserError, match=r"a trunk draws no boxes, .*DATASETS.TEST must be \(\)"):
        tiny().eval()(photograph())


def test_a_run_writes_a_trunk_that_a_detector_starts_from(tmp_path):
    settings = {
        "DATASETS.TRAIN": "('scenes:train+first=4',)",
        "MODEL.DEVICE": "cpu",
        "INPUT.SQUARE_SIZE": 64,
        "INPUT.CACHE_GIB": 0.0,
        "SOLVER.IMS_PER_BATCH": 2,
        "SOLVER.WARMUP_ITERS": 0,
        "SOLVER.MAX_ITER": 2,
        "DATALOADER.NUM_WORKERS": 0,
        "LOG_PERIOD": 1,
        "OUTPUT_DIR": tmp_path,
    }
    values = [str(part) for pair in settings.items() for part in pair]
    cfg = load_config(CONFIG, values)
    cfg.freeze()
    trainer = ProductTrainer(cfg)
    trainer.resume_or_load(resume=False)
    before = {name: value.clone() for name, value in trainer.network.state_dict().items()}
    trainer.train()
    assert trainer.record()["images_seen"] == 4
    rows = map(json.loads, (tmp_path / "metrics.json").read_text().splitlines())
    assert {"loss_keys", "loss_centred_keys"} <= set(next(iter(rows)))

    path = tmp_path / "trunk.safetensors"
    with safetensors.safe_open(path, "pt") as file:
        assert file.metadata()["backbone"] == "resnet18"
        trunk = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    assert {name.partition(".")[0] for name in trunk} == {"stem", "res2", "res3", "res4"}
    assert {
        *("stem.conv1.weight", "stem.conv1.norm.running_var", "res2.1.conv2.norm.bias"),
        *("res3.0.shortcut.weight", "res4.0.shortcut.norm.weight", "res4.1.conv1.weight"),
    } <= set(trunk)
    learnt = torch.load(tmp_path / "model_final.pth", weights_only=True)["model"]
    moved = {name.partition(".")[0] for name in before if not before[name].equal(learnt[name])}
    assert moved == {"map_network", "projection"}

    cfg = load_config("configs/demo/cad.yaml", ["MODEL.DEVICE", "cpu", "MODEL.WEIGHTS", ""])
    detector = CADTrainer.build_model(cfg)
    SafeCheckpointer(detector).load(str(path))
    loaded = detector.backbone.state_dict()
    for name, value in loaded.items():
        assert_close(value, learnt[f"map_network.{name}"], atol=1e-3, rtol=1e-3)
