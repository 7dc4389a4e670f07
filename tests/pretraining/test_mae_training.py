"""Training of the inpainter: losses on hidden and on visible patches."""

import pytest
import torch
from torch.testing import assert_close

from boxrefine_d2.errors import UserError
from boxrefine_d2.networks.padding import normalise_and_pad
from boxrefine_d2.pretraining import MaskedAutoencoder
from boxrefine_d2.pretraining.mae import Inpainter
from boxrefine_d2.training.product_trainer import ProductTrainer
from boxrefine_d2.training.setup import load_config

from .test_mae import SMALL


def tiny(mask_ratio=(0.75, 0.75), visible_weight=0.0) -> MaskedAutoencoder:
    torch.manual_seed(0)
    return MaskedAutoencoder(
        inpainter=Inpainter(**SMALL),
        name="mae_mini",
        mask_ratio=mask_ratio,
        visible_weight=visible_weight,
        betas=(0.9, 0.95),
        weight_decay=0.05,
    )


def samples():
    generator = torch.Generator().manual_seed(1)
    return [
        {"image": torch.randint(0, 256, (3, 12, 12), dtype=torch.uint8, generator=generator)}
        for _ in range(3)
    ]


def test_losses_are_mean_square_errors_of_hidden_and_of_visible_patches():
    model, batch = tiny(visible_weight=0.5).train(), samples()
    torch.manual_seed(5)
    losses = model(batch)
    torch.manual_seed(5)
    visible = torch.rand(3, 9).argsort(dim=1)[:, 7:]  # 7 of 9 are hidden: 0.75 * 9, rounded
    images = normalise_and_pad([x["image"].float() for x in batch], 4)
    painted = model.map_network.paint_hidden(images, visible)
    errors = {True: [], False: []}
    for image in range(3):
        for patch in range(9):
            y, x = 4 * (patch // 3), 4 * (patch % 3)
            window = (image, slice(None), slice(y, y + 4), slice(x, x + 4))
            error = (painted[window] - images[window]).square().mean()
            errors[patch in visible[image].tolist()].append(error)
    assert (len(errors[True]), len(errors[False])) == (6, 21)
    assert_close(losses["loss_hidden"], torch.stack(errors[False]).mean())
    assert_close(losses["loss_visible"], 0.5 * torch.stack(errors[True]).mean())
    assert set(tiny().train()(batch)) == {"loss_hidden"}


def test_every_parameter_learns_and_only_matrices_decay():
    model = tiny().train()
    model(samples())["loss_hidden"].backward()
    # a constant on all keys changes no attention, but CLS and tokens have gradients
    assert not [n for n, p in model.named_parameters() if p.grad is None]
    matrices, others = model.parameter_groups()
    assert (matrices["weight_decay"], others["weight_decay"]) == (0.05, 0.0)
    grouped = [*matrices["params"], *others["params"]]
    assert {id(p) for p in grouped} == {id(p) for p in model.parameters()}
    kept = {id(p) for p in others["params"]}
    names = {n for n, p in model.named_parameters() if id(p) in kept}
    assert all(n.endswith((".bias", "_token")) or "norm" in n for n in names)
    assert {"map_network.cls_token", "map_network.mask_token"} <= names


def test_evaluation_and_bad_mask_ratios_are_refused():
    with pytest.raises(UserError, match=r"DATASETS.TEST must be \(\)"):
        tiny().eval()(samples())
    cfg = load_config("configs/pretrain/mae_mini.yaml", ["DATASETS.TEST", "('scenes:val',)"])
    with pytest.raises(UserError, match=r"DATASETS.TEST \('scenes:val',\): a masked autoencoder"):
        ProductTrainer.build_model(cfg)
    for ratio in ((0.5, 1.0), (0.5, 0.2), (-0.5, 0.2)):
        with pytest.raises(
            UserError, match=r"MASK_RATIO \(-?0.5, .* some of the 9 patches visible"
        ):
            tiny(mask_ratio=ratio)


def test_each_batch_hides_another_share_of_at_least_one_patch(monkeypatch):
    model, visible_counts = tiny(mask_ratio=(0.0, 0.75)).train(), set()
    paint = model.map_network.paint_hidden

    def counted(images, visible):
        visible_counts.add(visible.shape[1])
        return paint(images, visible)

    monkeypatch.setattr(model.map_network, "paint_hidden", counted)
    torch.manual_seed(0)
    for _ in range(80):
        assert model(samples())["loss_hidden"].isfinite()
    assert visible_counts == set(range(2, 9))
