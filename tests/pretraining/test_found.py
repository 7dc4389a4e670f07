"""Targets of FOUND by scalar formulas, and the losses of its training."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from detectron2.utils.events import EventStorage
from torch.testing import assert_close

from boxrefine_d2.config import paper_profile
from boxrefine_d2.discovery import build_rule
from boxrefine_d2.errors import UserError
from boxrefine_d2.masks.bilateral import BilateralSolver
from boxrefine_d2.networks.found_head import FoundSegmenter
from boxrefine_d2.networks.padding import normalise_and_pad
from boxrefine_d2.networks.vit import DinoTransformer, VisionTransformer
from boxrefine_d2.pretraining import FoundTraining
from boxrefine_d2.pretraining.found_targets import (
    SolvedMasks,
    background,
    cls_attention,
    common_background,
    head_weights,
)
from boxrefine_d2.training.product_trainer import ProductTrainer
from boxrefine_d2.training.setup import load_config

SOLVER = {
    "sigma_spatial": 16.0,
    "sigma_luma": 16.0,
    "sigma_chroma": 8.0,
    "confidence": 0.999,
    "smoothness": 256.0,
    "balance_rounds": 10,
    "cg_tolerance": 1e-5,
    "cg_iterations": 25,
}


def tiny_extractor() -> VisionTransformer:
    torch.manual_seed(0)
    vit = DinoTransformer(patch_size=8, dim=24, depth=2, num_heads=3).eval()
    for parameter in vit.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return vit


def background_written_out(keys, attention, cosine):
    """Return the background of one image: keys (N, C) and attention (nh, N) are lists of floats."""
    heads, patches = len(attention), len(keys)
    mean = sum(map(sum, attention)) / (heads * patches)
    shares = [sum(a > mean for a in row) / patches for row in attention]
    total = sum(share + 1e-10 for share in shares)
    beta = [math.log(total / (share + 1e-10)) for share in shares]
    width = len(keys[0]) // heads
    scaled = [[x * beta[c // width] for c, x in enumerate(key)] for key in keys]
    attention_of_patches = [
        sum(b * row[p] for b, row in zip(beta, attention, strict=True)) for p in range(patches)
    ]
    seed = scaled[attention_of_patches.index(min(attention_of_patches))]

    def cosine_with_seed(key):
        dot = sum(a * b for a, b in zip(key, seed, strict=True))
        return dot / math.sqrt(sum(a * a for a in key) * sum(b * b for b in seed))

    return [cosine_with_seed(key) > cosine for key in scaled]


def test_background_against_the_formula():
    generator = torch.Generator().manual_seed(1)
    keys = torch.randn(4, 30, 6, generator=generator, dtype=torch.float64)
    attention = (2 * torch.randn(4, 3, 30, generator=generator, dtype=torch.float64)).softmax(dim=2)
    result = background(keys, attention, 0.3)
    expected = [
        background_written_out(k, a, 0.3)
        for k, a in zip(keys.tolist(), attention.tolist(), strict=True)
    ]
    assert result.tolist() == expected
    assert 0 < result.float().mean() < 1


def test_a_head_with_attention_on_few_patches_weighs_more():
    attention = torch.tensor([[[0.9, 0.1, 0.0, 0.0], [0.3, 0.3, 0.3, 0.1]]])
    # mean 0.25: shares 1/4 and 3/4
    assert_close(head_weights(attention), torch.tensor([[4.0, 4 / 3]]).log())


def test_the_common_background_is_similar_to_the_most_typical_patch():
    angles = torch.tensor([[0, 10, 20, 80, 100, 170.0], [0, 90, 95, 100, 105, 300]]).deg2rad()
    keys = torch.stack([angles.cos(), angles.sin()], dim=2) * torch.rand(2, 6, 1).add(0.5)
    # the seeds are at 80 and 90 degrees; within 72.5 degrees of them the cosine exceeds 0.3
    sums = (angles[:, :, None] - angles[:, None]).cos().sum(dim=2)
    assert sums.argmax(dim=1).tolist() == [3, 1]
    result = common_background(keys, 0.3)
    assert result.tolist() == [
        [False, True, True, True, True, False],
        [False, True, True, True, True, False],
    ]


def test_attention_equals_the_facet():
    extractor = tiny_extractor()
    images = torch.randn(2, 3, 24, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        attention = cls_attention(extractor.forward_last_block(images), 3)
        assert_close(attention, extractor(images, "attention").data.flatten(2))


def test_a_solved_mask_follows_the_edges_of_the_image():
    """A mask that lacks a column grows to the edge of a bright square; a speck disappears."""
    image = torch.zeros(1, 3, 64, 64, dtype=torch.uint8) + 20
    image[..., 16:48, 16:48] = 230
    mask = torch.zeros(1, 8, 8, dtype=torch.bool)
    mask[0, 2:6, 2:5], mask[0, 0, 7] = True, True
    expected = torch.zeros(8, 8, dtype=torch.bool)
    expected[2:6, 2:6] = True
    assert SolvedMasks(SOLVER)(image, mask)[0].equal(expected)
    mask_pixels = mask[0].numpy().repeat(8, 0).repeat(8, 1)
    solved = BilateralSolver(image[0].permute(1, 2, 0).contiguous().numpy(), **SOLVER)(mask_pixels)
    by_patch = [
        [(solved[8 * r : 8 * r + 8, 8 * c : 8 * c + 8] > 0.5).mean() > 0.5 for c in range(8)]
        for r in range(8)
    ]
    assert np.array_equal(np.array(by_patch), expected.numpy())


def tiny(seed_by="attention") -> FoundTraining:
    weights = {"seed_weight": 1.0, "bilateral_weight": 1.5, "self_weight": 4.0}
    return FoundTraining(
        map_network=FoundSegmenter(tiny_extractor()),
        name="found_mini",
        solved=SolvedMasks(SOLVER),
        seed_by=seed_by,
        background_cosine=0.3,
        seed_steps=2,
        **weights,
        weight_decay=0.01,
        discovery=build_rule("found"),
        discovery_name="found",
    ).train()


def samples():
    generator = torch.Generator().manual_seed(1)
    return [
        {"image": torch.randint(0, 256, (3, 32, 32), dtype=torch.uint8, generator=generator)}
        for _ in range(6)
    ]


@pytest.mark.parametrize(
    ("iteration", "second"), [(0, "background"), (1, "background"), (2, "self"), (9, "self")]
)
def test_the_heads_own_mask_replaces_the_background(iteration, second):
    model = tiny()
    model.begin_step(iteration)
    with EventStorage():
        losses = model(samples())
    assert set(losses) == {"loss_bilateral", f"loss_{second}"}
    sum(losses.values()).backward()
    with_gradient = {n for n, p in model.named_parameters() if p.grad is not None}
    assert with_gradient == {"map_network.head.weight", "map_network.head.bias"}


def test_losses_are_weighted_cross_entropies():
    model, batch = tiny(), samples()
    with EventStorage(), torch.no_grad():
        patches = normalise_and_pad([x["image"].float() for x in batch], 8)
        keys = model.map_network.extractor(patches, "key").data
        middle = model.map_network.head(keys).median()
        model.map_network.head.bias -= middle  # half of the patches are foreground
        model.begin_step(0)
        first = model(batch)
        model.begin_step(2)
        second = model(batch)
        pixels = torch.stack([x["image"] for x in batch])
        mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
        images = (pixels / 255 - mean[:, None, None]) / std[:, None, None]
        share = model.map_network(images).data[:, 0]
        keys = model.map_network.extractor(images, "key").tokens()
        attention = model.map_network.extractor(images, "attention").data.flatten(2)
    mask = share > 0.5
    assert mask.any() and not mask.all()

    def entropy(target):
        return F.binary_cross_entropy(share, target.float()).item()

    solved = SolvedMasks(SOLVER)(pixels, mask)
    foreground = ~background(keys, attention, 0.3).view(6, 4, 4)
    assert first["loss_bilateral"].item() == pytest.approx(1.5 * entropy(solved), rel=1e-4)
    assert first["loss_background"].item() == pytest.approx(entropy(foreground), rel=1e-4)
    assert second["loss_bilateral"].item() == pytest.approx(1.5 * entropy(solved), rel=1e-4)
    assert second["loss_self"].item() == pytest.approx(4 * entropy(mask), rel=1e-4)


@pytest.mark.parametrize("seed_by", ["attention", "similarity"])
def test_the_seed_selects_the_background(seed_by):
    model, batch = tiny(seed_by), samples()
    model.background_cosine = 0.9
    images = normalise_and_pad([x["image"].float() for x in batch], 8)
    with EventStorage(), torch.no_grad():
        loss = model(batch)["loss_background"].item()
        logits = model.map_network.head(model.map_network.extractor(images, "key").data)
        keys = model.map_network.extractor(images, "key").tokens()
        attention = model.map_network.extractor(images, "attention").data.flatten(2)
    targets = {
        "attention": background(keys, attention, 0.9),
        "similarity": common_background(keys, 0.9),
    }
    assert not targets["attention"].equal(targets["similarity"])
    target = (~targets[seed_by]).float().view(6, 4, 4)
    expected = F.binary_cross_entropy_with_logits(logits[:, 0], target)
    assert loss == pytest.approx(expected.item(), rel=1e-4)


def config(*changes: str):
    opts = ["MODEL.DEVICE", "cpu", "SOLVER.WARMUP_ITERS", "0", *changes]
    return load_config("configs/pretrain/found_mini.yaml", opts)


def test_published_schedule():
    cfg = config()
    node = cfg.PRETRAIN.FOUND
    assert node.BACKGROUND_COSINE == 0.3
    assert (paper_profile().PRETRAIN.FOUND.SEED_STEPS, node.SEED_STEPS) == (100, 500)
    assert (node.SEED_WEIGHT, node.BILATERAL_WEIGHT, node.SELF_WEIGHT) == (1, 1.5, 4)
    assert (cfg.SOLVER.IMS_PER_BATCH, cfg.SOLVER.MAX_ITER, cfg.INPUT.SQUARE_SIZE) == (50, 500, 224)
    model = ProductTrainer.build_model(cfg)
    optimizer = ProductTrainer.build_optimizer(cfg, model)
    scheduler = ProductTrainer.build_lr_scheduler(cfg, optimizer)
    rates = []
    for _ in range(500):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert rates == pytest.approx([0.05 * 0.95 ** (i // 50) for i in range(500)])


def test_a_shortened_run_may_end_at_a_step_of_the_rate():
    cfg = config("SOLVER.MAX_ITER", "200")
    optimizer = ProductTrainer.build_optimizer(cfg, ProductTrainer.build_model(cfg))
    assert ProductTrainer.build_lr_scheduler(cfg, optimizer)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            ("PRETRAIN.FOUND.SEED_BY", "cls"),
            "SEED_BY 'cls': must be one of 'attention', 'similarity'",
        ),
        (("INPUT.SQUARE_SIZE", "100"), "SQUARE_SIZE 100 is no multiple of the patch, 16 pixels"),
        (("MODEL.MAP_NETWORK.NAME", "move_mini"), "move_mini is not a segmenter of FOUND's"),
    ],
)
def test_mistakes(changes, message):
    with pytest.raises(UserError, match=message):
        ProductTrainer.build_model(config(*changes))
