import pytest
import torch
from detectron2.utils.events import EventStorage

from boxrefine_d2.discovery import build_rule
from boxrefine_d2.errors import UserError
from boxrefine_d2.pretraining.teacher_regions import crop_cells, objects_of

from .test_self_distillation import SMALL, build, config, samples_of

REGIONS = {
    "PRETRAIN.DINO.WEIGHT": "0.0",
    "PRETRAIN.PATCH.WEIGHT": "0.0",
    "PRETRAIN.REGIONS.WEIGHT": "1.0",
    "PRETRAIN.REGIONS.SIZE": "64",
    "PRETRAIN.REGIONS.WHOLE_SIZE": "96",
    "PRETRAIN.REGIONS.START_ITERS": "2",
}


def test_a_crop_shows_the_cells_below_its_cells():
    cells = torch.arange(24).view(1, 4, 6)
    whole = crop_cells(cells, torch.tensor([[0.0, 0.0, 1.0, 1.0]]), (4, 6))
    assert whole.equal(cells)
    right_half = crop_cells(cells, torch.tensor([[0.5, 0.0, 1.0, 1.0]]), (4, 3))
    assert right_half.equal(cells[:, :, 3:])
    mirrored = crop_cells(cells, torch.tensor([[1.0, 0.0, 0.0, 1.0]]), (4, 6))
    assert mirrored.equal(cells.flip(2))
    part = crop_cells(cells, torch.tensor([[1 / 6, 1 / 4, 3 / 6, 3 / 4]]), (4, 4))
    assert part[0].tolist() == [[7, 7, 8, 8], [7, 7, 8, 8], [13, 13, 14, 14], [13, 13, 14, 14]]


def test_each_image_has_its_own_crop():
    cells = torch.arange(8).view(2, 2, 2)
    crops = torch.tensor([[0.0, 0.0, 0.5, 0.5], [0.5, 0.5, 1.0, 1.0]])
    assert crop_cells(cells, crops, (1, 1)).flatten().tolist() == [0, 7]


def test_the_objects_are_those_of_the_rule(tmp_path):
    network = build(config(**REGIONS)).map_network
    images = torch.randn(2, 3, 96, 64, generator=torch.Generator().manual_seed(1))
    rule = build_rule("absorption", max_objects=9, min_area=0.0)
    objects = objects_of(rule, network, images)
    assert objects.shape == (2, 6, 4) and objects.dtype == torch.int64
    for one, found in zip(objects, rule(network(images, "key")), strict=True):
        assert one.bool().equal(found.masks.any(dim=0))
        for number, mask in enumerate(found.masks, start=1):
            assert one.eq(number).equal(mask)


def test_the_teacher_is_asked_from_the_start_iteration_on(tmp_path):
    cfg = config(**REGIONS)
    samples = samples_of(tmp_path, cfg)
    model = build(cfg).train()
    for iteration, names in ((1, {"loss_grouping"}), (2, {"loss_grouping", "loss_regions"})):
        with EventStorage(iteration):
            losses = model(samples)
        assert set(losses) == names
    losses["loss_regions"].backward()
    assert model.student.get_parameter("blocks.0.mlp.fc1.weight").grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in model.map_network.parameters())


def test_the_regions_alone_are_enough_to_learn_from(tmp_path):
    cfg = config(**REGIONS | {"PRETRAIN.GROUPING.WEIGHT": "0.0"})
    samples = samples_of(tmp_path, cfg)
    assert set(samples[0]) == {"file_name", "image_id", "whole", "region_view", "region_crop"}
    with EventStorage(5):
        assert set(build(cfg).train()(samples)) == {"loss_regions"}


@pytest.mark.parametrize("key", ["SIZE", "WHOLE_SIZE"])
def test_sides_that_are_no_multiple_of_the_patch_are_refused(key):
    with pytest.raises(UserError, match=f"PRETRAIN.REGIONS.{key} 100 is no multiple"):
        build(config(**SMALL | {f"PRETRAIN.REGIONS.{key}": "100"}))
