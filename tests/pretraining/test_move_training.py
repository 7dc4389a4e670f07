"""Training of MOVE: the part that learns in each step, and its settings."""

import copy

import pytest
import torch
from detectron2.utils.events import EventStorage

from boxrefine_d2.discovery import build_rule
from boxrefine_d2.errors import UserError
from boxrefine_d2.networks import build_segmenter
from boxrefine_d2.networks.build import DINO_MINI_1
from boxrefine_d2.networks.move_segmenter import MoveSegmenter
from boxrefine_d2.networks.vit import DinoTransformer
from boxrefine_d2.networks.weights import read_state_dict
from boxrefine_d2.pretraining import MoveTraining
from boxrefine_d2.pretraining.mae import Inpainter
from boxrefine_d2.pretraining.move_discriminator import ProjectedDiscriminator
from boxrefine_d2.pretraining.move_features import build_features
from boxrefine_d2.pretraining.move_losses import MaskLosses
from boxrefine_d2.training.product_trainer import ProductTrainer
from boxrefine_d2.training.setup import load_config

SEGMENTER = ("map_network.norm.", "map_network.head.")
HEADS = ("discriminator.heads.",)


def tiny() -> MoveTraining:
    torch.manual_seed(0)
    extractor = DinoTransformer(patch_size=16, dim=24, depth=3, num_heads=4)
    decoder = {"decoder_dim": 8, "decoder_depth": 1, "decoder_heads": 2}
    inpainter = Inpainter(image_size=64, patch_size=16, dim=8, depth=1, num_heads=2, **decoder)
    areas = {"min_area": 0.05, "min_area_weight": 100.0, "max_area": 0.5, "max_area_weight": 0.0}
    return MoveTraining(
        map_network=MoveSegmenter(extractor, head="conv_minc4", block=-2),
        name="move_mini",
        inpainter=inpainter,
        discriminator=ProjectedDiscriminator(
            build_features("dino_mini", "random:0"),
            input_size=64,
            mix_channels=4,
            head_channels=(4, 8),
        ),
        mask_losses=MaskLosses(pool=16, binarise_weight=12.5, binarise_steps=4, **areas),
        max_shift=0.125,
        copy_real=False,
        segmenter_optimizer={"betas": (0.9, 0.95), "weight_decay": 0.0},
        discriminator_optimizer={"betas": (0.0, 0.99), "weight_decay": 0.01},
        discovery=build_rule("move"),
        discovery_name="move",
    ).train()


def samples(count=4):
    generator = torch.Generator().manual_seed(1)
    return [
        {"image": torch.randint(0, 256, (3, 64, 64), dtype=torch.uint8, generator=generator)}
        for _ in range(count)
    ]


@pytest.fixture
def storage():
    with EventStorage() as events:
        yield events


@pytest.mark.parametrize(
    ("iteration", "learning", "losses"),
    [
        (0, HEADS, {"loss_discriminator"}),
        (1, SEGMENTER, {"loss_adversarial", "loss_binarise", "loss_min_area"}),
        (6, HEADS, {"loss_discriminator"}),
        (7, SEGMENTER, {"loss_adversarial", "loss_binarise", "loss_min_area"}),
    ],
)
def test_only_the_learning_part_has_gradients(storage, iteration, learning, losses):
    model = tiny()
    model.begin_step(iteration)
    results = model(samples())
    assert set(results) == losses
    sum(results.values()).backward()
    with_gradient = {n for n, p in model.named_parameters() if p.grad is not None}
    assert with_gradient == {n for n, _ in model.named_parameters() if n.startswith(learning)}


def test_each_step_changes_only_its_part(storage):
    model, batch = tiny(), samples()
    optimizer = torch.optim.AdamW(model.parameter_groups(), lr=1e-2)
    for iteration in range(4):
        before = copy.deepcopy(dict(model.named_parameters()))
        model.begin_step(iteration)
        optimizer.zero_grad()
        sum(model(batch).values()).backward()
        optimizer.step()
        changed = {n for n, p in model.named_parameters() if not p.equal(before[n])}
        part = SEGMENTER if iteration % 2 else HEADS
        assert changed and all(n.startswith(part) for n in changed), iteration
    segmenter, heads = optimizer.param_groups
    assert (segmenter["betas"], segmenter["weight_decay"]) == ((0.9, 0.95), 0.0)
    assert (heads["betas"], heads["weight_decay"]) == ((0.0, 0.99), 0.01)
    steps = {int(s["step"]) for s in optimizer.state.values()}
    assert steps == {2}  # of four iterations, two each


def test_binarisation_counts_the_segmenters_own_steps(storage):
    model, batch = tiny(), samples()
    results = []
    for iteration in (1, 3, 5, 9, 11):
        model.begin_step(iteration)
        torch.manual_seed(0)
        results.append(model(batch)["loss_binarise"].item())
    assert results[0] == 0
    assert results[2] == pytest.approx(2 * results[1], rel=0.05)  # batch norms change a little
    assert results[4] == pytest.approx(results[3], rel=0.05) and results[3] > 1.8 * results[2]


def test_frozen_parts_stay_in_eval_mode():
    model = tiny()
    for frozen in (model.inpainter, model.discriminator.features, model.map_network.extractor):
        assert not any(module.training for module in frozen.modules())
    assert model.map_network.head.training and model.discriminator.heads.training
    model.eval()
    assert not model.map_network.head.training


def test_a_checkpoint_omits_parts_that_come_from_files():
    model = tiny()
    state = model.state_dict()
    parts = {name.partition(".")[0] for name in state}
    assert parts == {"map_network", "discriminator"}
    assert not [name for name in state if name.startswith("discriminator.features.")]
    assert "discriminator.mixing.within.0.weight" in state
    inside = torch.nn.ModuleDict({"module": model}).state_dict()
    assert {name.removeprefix("module.") for name in inside} == set(state)
    assert model.load_state_dict(state).missing_keys == []
    del state["map_network.norm.bias"]
    missing = tiny().load_state_dict(state, strict=False).missing_keys
    assert missing == ["map_network.norm.bias"]


def test_boxes_are_the_rules_in_the_frame_of_the_original_image():
    model = tiny().eval()
    torch.nn.init.zeros_(model.map_network.head[-1].weight)
    torch.nn.init.constant_(model.map_network.head[-1].bias, 1.0)  # the whole image is foreground
    image = torch.zeros(3, 60, 50, dtype=torch.uint8)
    (results,) = model([{"image": image, "height": 120, "width": 100}])
    assert results["pseudo_boxes"]["move"].boxes.tolist() == [[0, 0, 100, 120]]


def test_a_fresh_head_is_built_on_trained_weights():
    first, again = (build_segmenter("move_mini", "", seed=3) for _ in range(2))
    other = build_segmenter("move_mini", "", seed=4)
    shipped = read_state_dict(DINO_MINI_1)
    for name, value in first.extractor.state_dict().items():
        assert value.equal(shipped[name].float()), name
    weight = "head.0.1.weight"
    assert first.state_dict()[weight].equal(again.state_dict()[weight])
    assert not first.state_dict()[weight].equal(other.state_dict()[weight])
    learning = {n.partition(".")[0] for n, p in first.named_parameters() if p.requires_grad}
    assert learning == {"norm", "head"}
    assert "random:3" in first.weights_info.source
    with pytest.raises(UserError, match="dino_mini is not a segmenter.*move_vits8, move_mini"):
        build_segmenter("dino_mini", "", seed=0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["INPUT.SQUARE_SIZE", "160"], "SQUARE_SIZE 160: the inpainter mae_mini reads 128 pixels"),
        (["MODEL.MAP_NETWORK.NAME", "found_mini"], "found_mini is not a segmenter of MOVE's"),
        (["MODEL.MAP_NETWORK.NAME", "dino_mini"], "dino_mini is not a segmenter"),
        (["PRETRAIN.INPAINTER.WEIGHTS", ""], "the inpainter mae_mini has no weights"),
        (["PRETRAIN.INPAINTER.WEIGHTS", "nowhere.safetensors"], "no weights file at nowhere"),
    ],
)
def test_mistakes(changes, message):
    opts = ["MODEL.DEVICE", "cpu", "PRETRAIN.INPAINTER.WEIGHTS", "random:0", *changes]
    with pytest.raises(UserError, match=message):
        ProductTrainer.build_model(load_config("configs/pretrain/move_mini.yaml", opts))
