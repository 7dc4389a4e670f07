"""Weights of detectors: released files with their own names, trunks, and other files."""

import functools
import pickle
import re
from collections import OrderedDict

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from boxrefine_d2.detectors.cad_trainer import CADTrainer
from boxrefine_d2.errors import UserError
from boxrefine_d2.networks.build import SHIPPED
from boxrefine_d2.training.checkpoint import SafeCheckpointer, load_trained
from boxrefine_d2.training.setup import load_config

from . import official_detectors as official

DEMO = "configs/demo/cad.yaml"
TWENTY_CLASSES = (
    *("MODEL.META_ARCHITECTURE", "GeneralizedRCNN", "SOLVER.AMP.ENABLED", "False"),
    *("MODEL.ROI_HEADS.NUM_CLASSES", "20"),
)


@pytest.fixture(scope="module")
def build():
    """Return a function that builds the detector of a configuration with changes, once.

    A test may have changed its state.
    """

    @functools.cache
    def build(config: str, *opts: str) -> nn.Module:
        cfg = load_config(config, ["MODEL.DEVICE", "cpu", "MODEL.WEIGHTS", "", *opts])
        return CADTrainer.build_model(cfg)

    return build


def state_of(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def saved(path, state, **more):
    torch.save({"model": state, **more}, path)
    return str(path)


def as_small_file(path, model: nn.Module):
    """Write a checkpoint of the detector in which each parameter is expanded from one number."""
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    return saved(path, official.random_state(shapes, seed=3))


RELEASED = {
    "configs/cad_lost.yaml": (official.lost_cad, official.LOST_CAD),
    "configs/cutler_mask.yaml": (official.cutler_mask, official.CUTLER_MASK),
    "configs/cutler_cascade.yaml": (official.cutler_cascade, official.CUTLER_CASCADE),
}


@pytest.mark.parametrize("config", RELEASED)
def test_released_names_fill_every_parameter(build, tmp_path, config):
    names, part = RELEASED[config]
    shapes = names()
    assert {name: shapes[name] for name in part} == part
    state = official.random_state(shapes, seed=0)
    # other entries of released files
    state_and_more = state | {
        "proposal_generator.anchor_generator.cell_anchors.0": torch.ones(15, 4)
    }
    path = saved(tmp_path / "released.pth", state_and_more, iteration=9999, optimizer={"state": {}})
    model = build(config)
    checkpointer = SafeCheckpointer(model)
    checkpointer.load(path)
    loaded = model.state_dict()
    assert set(loaded) == set(state) and checkpointer.missing == ()
    assert not [name for name, value in state.items() if not torch.equal(loaded[name], value)]
    assert {name for name, _ in model.named_parameters()} <= set(state)


@pytest.mark.parametrize("end", ["safetensors", "pkl", "pth"])
def test_a_state_dict_without_wrapper_loads_from_each_kind_of_file(build, tmp_path, end):
    model = build(DEMO)
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    state = {k: v.contiguous() for k, v in official.random_state(shapes, seed=4).items()}
    path = tmp_path / f"bare.{end}"
    if end == "safetensors":
        safetensors.torch.save_file(state, path)
    elif end == "pth":
        torch.save(state, path)
    else:
        path.write_bytes(pickle.dumps({name: value.numpy() for name, value in state.items()}))
    SafeCheckpointer(model).load(str(path))
    loaded = model.state_dict()
    assert not [name for name, value in state.items() if not torch.equal(loaded[name], value)]


def test_the_trunk_that_ships_is_found_by_its_name(build):
    trunk = safetensors.torch.load_file(SHIPPED / "resnet_mini.safetensors")
    assert "stem.conv1.weight" in trunk
    for config, prefix in (
        (DEMO, "backbone."),
        ("configs/demo/cutler.yaml", "backbone.bottom_up."),
    ):
        model = build(config)
        heads = {k: v for k, v in state_of(model).items() if not k.startswith(prefix)}
        SafeCheckpointer(model).load("resnet_mini")
        loaded = model.state_dict()
        for name, value in trunk.items():
            if f"{prefix}{name}" in loaded:  # frozen norms have no step counter
                assert torch.equal(loaded[prefix + name], value.to(loaded[prefix + name].dtype))
            else:
                assert name.endswith("num_batches_tracked")
        assert all(torch.equal(loaded[name], value) for name, value in heads.items())


def test_another_number_of_classes_starts_predictors_anew_and_nothing_else(build, tmp_path):
    path = as_small_file(tmp_path / "agnostic.pth", build(DEMO))
    model = build(DEMO, *TWENTY_CLASSES)
    before = state_of(model)
    SafeCheckpointer(model).load(path)
    given, loaded = torch.load(path)["model"], model.state_dict()
    anew = {name for name in loaded if torch.equal(loaded[name], before[name])}
    assert anew == {
        f"roi_heads.box_predictor.{layer}.{kind}"
        for layer in ("cls_score", "bbox_pred")
        for kind in ("weight", "bias")
    }
    assert all(torch.equal(loaded[name], given[name]) for name in set(given) - anew)


@functools.cache
def resnet50_trunk() -> dict[str, torch.Tensor]:
    """Return a trunk as tools/convert_dino_resnet.py writes it."""
    shapes = {
        name.removeprefix("backbone.bottom_up."): shape
        for name, shape in official.cutler_mask().items()
        if "bottom_up" in name and "num_batches" not in name
    }
    return official.random_state(shapes, seed=5)


def misfits():
    cad, mask, cascade = official.lost_cad, official.cutler_mask, official.cutler_cascade
    r50, fpn, fpn3 = (
        "configs/cad_lost.yaml",
        "configs/cutler_mask.yaml",
        "configs/cutler_cascade.yaml",
    )
    deep = ("MODEL.RESNETS.DEPTH", "101")
    return {
        "ResNet-50 trunk, ResNet-18": (
            resnet50_trunk,
            (DEMO,),
            "backbone.res2.0.conv1.weight is (64, 64, 1, 1) in the file and (64, 64, 3, 3) in the",
        ),
        "ResNet-50 detector, ResNet-18": (
            cad,
            (DEMO,),
            "backbone.res2.0.conv1.weight is (64, 64, 1, 1) in the file and (64, 64, 3, 3) in the",
        ),
        "ResNet-50 detector, ResNet-101": (cad, (r50, *deep), "it has no backbone.res4.6."),
        "ResNet-50 trunk, ResNet-101": (
            resnet50_trunk,
            (r50, *deep),
            "it has no backbone.res4.6.",
        ),
        "C4, FPN": (
            cad,
            (fpn,),
            "proposal_generator.rpn_head.conv.weight is (1024, 1024, 3, 3) in",
        ),
        "FPN, C4": (mask, (r50,), "proposal_generator.rpn_head.conv.weight is (256, 256, 3, 3) in"),
        "Mask, Cascade": (mask, (fpn3,), "8 of its 392 parameters are unknown here, such as "),
        "Cascade, Mask": (
            cascade,
            (fpn,),
            "24 of its 408 parameters are unknown here, such as roi_heads.box_head.0.fc1.weight",
        ),
    }


@pytest.mark.parametrize("case", misfits())
def test_a_file_of_another_architecture_is_named_with_what_shows_it(build, tmp_path, case):
    content, (config, *opts), message = misfits()[case]
    content = content()
    if isinstance(next(iter(content.values())), tuple):
        content = official.random_state(content, seed=6)
    path = saved(tmp_path / "other.pth", content)
    remedy = "; give the configuration that it was trained with"
    whole = re.escape(f"weights file {path} is of another architecture: {message}")
    with pytest.raises(UserError, match=f"^{whole}.*{remedy}$") as caught:
        SafeCheckpointer(build(config, *opts)).load(path)
    assert "\n" not in str(caught.value)


def test_the_shipped_trunk_is_not_for_a_resnet50(build):
    with pytest.raises(
        UserError, match=r"resnet_mini.safetensors is of another architecture: .*res2.0.conv1"
    ):
        SafeCheckpointer(build("configs/cad_lost.yaml")).load("resnet_mini")


def test_torchvisions_names_are_sent_to_the_converter(build, tmp_path):
    state = {"conv1.weight": torch.zeros(64, 3, 7, 7), "layer1.0.conv1.weight": torch.zeros(1)}
    path = saved(tmp_path / "dino_resnet50_pretrain.pth", state)
    with pytest.raises(UserError, match="torchvision's; tools/convert_dino_resnet.py --input"):
        SafeCheckpointer(build("configs/cad_lost.yaml")).load(path)


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"model": {}},
        {"model": 3},
        {"model": {1: torch.zeros(1)}},
        {"epoch": 3, "lr": 0.1},
        {"teacher": {"a": torch.zeros(1)}},
    ],
    ids=str,
)
def test_a_file_without_parameters_is_refused(build, tmp_path, content):
    torch.save(content, tmp_path / "odd.pth")
    with pytest.raises(UserError, match=r"odd.pth holds no parameters by name; give a checkpoint"):
        SafeCheckpointer(build(DEMO)).load(str(tmp_path / "odd.pth"))


def test_a_random_file_is_refused(build, tmp_path):
    model = build(DEMO)
    torch.save({"weight": torch.zeros(3), "b": torch.zeros(2)}, tmp_path / "alien.pth")
    with pytest.raises(UserError, match=r"alien.pth is of another architecture: "):
        SafeCheckpointer(model).load(str(tmp_path / "alien.pth"))
    (tmp_path / "noise.pth").write_bytes(np.random.default_rng(0).bytes(1000))
    (tmp_path / "noise.safetensors").write_bytes(np.random.default_rng(0).bytes(1000))
    for name in ("noise.pth", "noise.safetensors"):
        with pytest.raises(UserError, match=rf"weights file .*{name}"):
            SafeCheckpointer(model).load(str(tmp_path / name))


def test_a_missing_file_is_named_and_an_empty_name_loads_nothing(build, tmp_path):
    model = build(DEMO)
    before = state_of(model)
    with pytest.raises(
        UserError, match=r"MODEL.WEIGHTS: no weights file at .*none.pth; .*resnet_m"
    ):
        SafeCheckpointer(model).load(str(tmp_path / "none.pth"))
    assert SafeCheckpointer(model).load("") == {}
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_what_is_saved_comes_back_and_is_the_last(tmp_path):
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.9)
    model(torch.ones(4, 2)).sum().backward()
    optimizer.step()
    checkpointer = SafeCheckpointer(model, str(tmp_path), optimizer=optimizer)
    checkpointer.save("model_0000007", iteration=7)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["last_checkpoint", "model_0000007.pth"]
    assert checkpointer.get_checkpoint_file() == str(tmp_path / "model_0000007.pth")

    other = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    empty = torch.optim.SGD(other.parameters(), lr=0.1, momentum=0.9)
    again = SafeCheckpointer(other, str(tmp_path), optimizer=empty)
    assert again.resume_or_load("elsewhere.pth", resume=True)["iteration"] == 7
    assert all(torch.equal(other.state_dict()[k], v) for k, v in model.state_dict().items())
    assert empty.param_groups[0]["lr"] == 0.5 and len(empty.state) == len(optimizer.state) > 0


def test_what_is_to_be_evaluated_must_be_whole(build, tmp_path):
    model = build(DEMO)
    whole = as_small_file(tmp_path / "whole.pth", model)
    cfg = load_config(DEMO, ["OUTPUT_DIR", str(tmp_path), "MODEL.WEIGHTS", whole])
    load_trained(model, cfg)
    state = torch.load(whole)["model"]
    assert all(torch.equal(model.state_dict()[name], value) for name, value in state.items())

    cfg.MODEL.WEIGHTS = "resnet_mini"
    with pytest.raises(
        UserError, match=r"resnet_mini has no proposal_generator.* parameters are missing\)"
    ):
        load_trained(model, cfg)
    # a head for other classes would start anew
    cfg.MODEL.WEIGHTS = whole
    with pytest.raises(
        UserError, match=r"has no roi_heads.box_predictor.* \(4 parameters are missing\)"
    ):
        load_trained(build(DEMO, *TWENTY_CLASSES), cfg)
    # only the step counters of the frozen norms are missing
    frozen = build(DEMO, "MODEL.RESNETS.NORM", "FrozenBN").state_dict()
    uncounted = OrderedDict((name, state[name]) for name in frozen)
    assert {
        name for name in state if name not in uncounted and not name.endswith("tracked")
    } == set()
    assert len(uncounted) < len(state)
    uncounted._metadata = frozen._metadata  # torch saves the versions of the norms here
    cfg.MODEL.WEIGHTS = saved(tmp_path / "uncounted.pth", uncounted)
    load_trained(model, cfg)


def test_without_weights_there_must_be_a_checkpoint(build, tmp_path):
    model = build(DEMO)
    cfg = load_config(DEMO, ["OUTPUT_DIR", str(tmp_path), "MODEL.WEIGHTS", ""])
    with pytest.raises(UserError, match=r"nothing to evaluate: OUTPUT_DIR .* holds no checkpoint"):
        load_trained(model, cfg)
    with torch.no_grad():
        model.roi_heads.res5.norm.bias.fill_(7)
    SafeCheckpointer(model, str(tmp_path)).save("model_final")
    with torch.no_grad():
        model.roi_heads.res5.norm.bias.fill_(0)
    load_trained(model, cfg)
    assert model.roi_heads.res5.norm.bias.eq(7).all()
