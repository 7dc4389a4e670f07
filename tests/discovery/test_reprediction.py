"""SGRM against printed numbers, and against a training that is written with PyTorch's modules."""

from zlib import crc32

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from boxrefine_d2.discovery.reprediction import Repredictor, reliable_labels
from boxrefine_d2.discovery.reprediction_network import NetworkPerImage
from boxrefine_d2.discovery.superpixels import superpixel_means, superpixel_votes

# the specification's example
MAP = torch.tensor([[[0.05, 0.08, 0.7, 0.9], [0.05, 0.3, 0.5, 0.8], [0.02, 0.04, 0.2, 0.65]]])
SUPERPIXELS = torch.tensor([[[0, 0, 1, 1], [0, 2, 1, 1], [0, 0, 2, 3]]])
OBJECT_SHARES = torch.tensor(
    [[[0.2, 0.3, 0.6, 0.7], [0.4, 0.6, 0.4, 0.8], [0.1, 0.3, 0.3, 0.55]]]
).double()
PIXELS = torch.tensor([[[0, 0, 1, 1], [0, 255, 255, 1], [0, 0, 255, 1]]], dtype=torch.uint8)
VOTES = torch.tensor([[[0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 0, 1]]]).bool()


def test_the_printed_labels():
    means = superpixel_means(MAP, SUPERPIXELS)
    for number, mean in enumerate((0.048, 0.725, 0.25, 0.65)):
        inside = means[number == SUPERPIXELS]
        torch.testing.assert_close(inside, torch.full_like(inside, mean))
    assert torch.equal(reliable_labels(MAP, 0.1, 0.6), PIXELS)
    sure = torch.tensor([[[0, 0, 1, 1], [0, 255, 1, 1], [0, 0, 255, 1]]], dtype=torch.uint8)
    assert torch.equal(reliable_labels(means, 0.1, 0.4), sure)


def test_the_printed_vote():
    predicted = OBJECT_SHARES > 0.5
    assert predicted.int().tolist() == [[[0, 0, 1, 1], [0, 1, 0, 1], [0, 0, 0, 1]]]
    assert torch.equal(superpixel_votes(predicted, SUPERPIXELS), VOTES)


def test_the_printed_losses():
    odds = (OBJECT_SHARES / (1 - OBJECT_SHARES)).log()
    printed = {"superpixel": 0.452535, "object": 0.422120, "background": 0.310536}
    for name, expected in printed.items():
        alone = Repredictor(**{f"{other}_weight": float(other == name) for other in printed})
        assert alone.loss(odds, PIXELS, VOTES).item() == pytest.approx(expected, abs=1e-6)
    classes = Repredictor(superpixel_weight=0).loss(odds, PIXELS, VOTES).item()
    assert classes == pytest.approx(0.875294, abs=1e-6)
    joint = Repredictor().loss(odds, PIXELS, VOTES).item()
    assert joint == pytest.approx(0.920548, abs=1e-6)


def test_a_missing_class_has_no_term():
    odds = torch.tensor([[[0.5, -1.0]], [[0.5, -1.0]]])
    votes = torch.tensor([[[True, False]], [[True, False]]])
    pixels = torch.tensor([[[1, 1]], [[0, 255]]], dtype=torch.uint8)
    losses = Repredictor(superpixel_weight=0).loss(odds, pixels, votes)
    entropy = F.softplus(-odds[0]).mean(), F.softplus(odds[1, 0, 0])
    torch.testing.assert_close(losses, torch.stack([2 * entropy[0], 0.1 * entropy[1]]))


def plain_network() -> nn.Sequential:
    return nn.Sequential(
        *(nn.Conv2d(3, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU()),
        *(nn.Conv2d(64, 32, 1), nn.BatchNorm2d(32), nn.ReLU()),
        *(nn.Conv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU()),
        *(nn.Conv2d(64, 2, 1), nn.BatchNorm2d(2)),
    )


def plain_networks(networks: NetworkPerImage, count: int) -> list[nn.Sequential]:
    """Return modules with the parameters of the networks."""
    modules = [plain_network() for _ in range(count)]
    for i, module in enumerate(modules):
        for own, stacked in zip(module.parameters(), networks.parameters, strict=True):
            own.data.copy_(stacked.detach().unflatten(0, (count, -1))[i])
    return modules


def test_a_network_has_the_parameters_of_the_specification():
    networks = NetworkPerImage([3, 4], lr=0.05, momentum=0.9, device="cpu")
    assert sum(parameter.numel() for parameter in networks.parameters) == 2 * 22_822
    assert sum(parameter.numel() for parameter in plain_network().parameters()) == 22_822
    weight = networks.parameters[8].detach()
    assert weight.abs().max() <= (32 * 9) ** -0.5
    assert weight.std() == pytest.approx((32 * 9) ** -0.5 / 3**0.5, rel=0.02)  # uniform
    assert not torch.equal(weight[:64], weight[64:])
    [*_, second] = NetworkPerImage([4], lr=0.05, momentum=0.9, device="cpu").parameters[:9]
    assert torch.equal(second, weight[64:])


def test_networks_side_by_side_are_trained_as_modules_one_by_one():
    """Check a batch from which one network is dropped on the way."""
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(3, 3, 12, 10, generator=generator)
    targets = torch.rand(3, 12, 10, generator=generator).round().long()
    networks = NetworkPerImage([5, 6, 7], lr=0.05, momentum=0.9, device="cpu")
    modules = plain_networks(networks, 3)
    optimizers = [torch.optim.SGD(m.parameters(), lr=0.05, momentum=0.9) for m in modules]
    left = [0, 1, 2]
    for step in range(6):
        if step == 2:
            networks.keep(torch.tensor([True, False, True]))
            left = [0, 2]
        logits = networks(images[left])
        losses = F.cross_entropy(logits, targets[left], reduction="none").mean(dim=(1, 2))
        for i, ours in zip(left, logits.detach(), strict=True):
            expected = modules[i](images[i : i + 1])
            torch.testing.assert_close(ours[None], expected.detach(), rtol=0, atol=2e-3)
            optimizers[i].zero_grad()
            F.cross_entropy(expected, targets[i : i + 1]).backward()
            optimizers[i].step()
        networks.descend(losses)


def planted(count=3, side=32):
    """Return maps, images and superpixels with an object of another colour in each image.

    The map is a bump whose brightest part is smaller than the object.
    """
    generator = torch.Generator().manual_seed(1)
    images = 0.2 + 0.1 * torch.rand(count, 3, side, side, generator=generator)
    objects = torch.zeros(count, side, side, dtype=torch.bool)
    maps = torch.zeros(count, side, side)
    grid = torch.arange(side).float()
    for i in range(count):
        top, left = 6 + 3 * i, 9 + 2 * i
        objects[i, top : top + 12, left : left + 10] = True
        images[i, i % 3][objects[i]] += 0.6
        rows, columns = (grid - top - 5.5)[:, None], (grid - left - 4.5)[None]
        maps[i] = torch.exp(-(rows**2 + columns**2) / 30)
    superpixels = (torch.arange(side) >= side // 2).long().expand(count, side, side)
    return maps, images, torch.where(objects, 2, superpixels), objects


def test_the_mask_covers_the_planted_object_better_than_the_map():
    maps, images, superpixels, objects = planted(count=1)
    masks = Repredictor(stop_error=0, steps=100)(maps, images, superpixels).masks

    def iou(found):
        return ((found & objects).sum((1, 2)) / (found | objects).sum((1, 2))).tolist()

    assert min(iou(masks)) > 0.95
    assert max(iou(maps > 0.5)) < 0.8


@pytest.mark.parametrize("vote", [True, False])
def test_the_result_is_that_of_a_plain_training(vote):
    maps, images, superpixels, _ = planted()
    options = {"stop_error": 0.02, "steps": 12, "lr": 0.02}
    found = Repredictor(vote=vote, **options)(maps, images, superpixels)
    seeds = [crc32((255 * image).round().byte().numpy().tobytes()) for image in images]
    networks = NetworkPerImage(seeds, lr=0.02, momentum=0.9, device="cpu")
    for i, module in enumerate(plain_networks(networks, 3)):
        mask, steps, error = plain_training(module, maps[i], images[i], superpixels[i], vote)
        assert found.steps[i] == steps
        assert found.errors[i].item() == pytest.approx(error, abs=0.005)
        assert (found.masks[i] != mask).float().mean() < 0.005
    assert len(set(found.steps.tolist())) > 1  # each image stops on its own


def plain_training(module, values, image, superpixels, vote):
    """Return the mask, the steps and the error of one image by PyTorch's own parts."""
    optimizer = torch.optim.SGD(module.parameters(), lr=0.02, momentum=0.9)
    sure, unsure = (values > 0.6) | (values < 0.1), (values >= 0.1) & (values <= 0.6)
    for step in range(13):
        logits = module(image[None])
        mask = logits[0].argmax(dim=0) == 1
        error = ((mask != (values > 0.6)) & sure).sum().item() / sure.sum().item()
        if error < 0.02 or step == 12:
            return mask, step, error
        target = mask.clone()
        for number in superpixels.unique():
            inside = superpixels == number
            mean = values[inside].mean()
            if mean < 0.1 or mean > 0.4:
                target[inside] = bool(mean > 0.4)
            elif vote:
                target[inside] = bool(mask[inside].float().mean() > 0.5)
        pixels = torch.where(unsure, -100, (values > 0.6).long())
        each = {
            wanted: F.cross_entropy(logits, torch.where(pixels == wanted, wanted, -100)[None])
            for wanted in (0, 1)
        }
        shares = logits.softmax(dim=1)[0, 1]
        loss = 0.1 * F.binary_cross_entropy(shares, target.float()) + 2 * each[1] + 0.1 * each[0]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    raise AssertionError


def test_an_image_has_the_same_mask_alone_and_in_any_batch():
    maps, images, superpixels, _ = planted()
    options = {"stop_error": 0.02, "steps": 8}
    together = Repredictor(**options)(maps, images, superpixels)
    order = torch.tensor([2, 0])
    others = Repredictor(**options)(maps[order], images[order], superpixels[order])
    assert torch.equal(others.masks, together.masks[order])
    assert torch.equal(others.errors, together.errors[order])
    again = Repredictor(seed=1, **options)(maps, images, superpixels)
    assert not torch.equal(again.errors, together.errors)


def test_an_image_without_a_reliable_pixel_keeps_the_bright_part_of_its_map():
    maps, images, superpixels, _ = planted()
    maps[1] = 0.2
    maps[1, :4] = 0.55
    found = Repredictor(steps=2)(maps, images, superpixels)
    assert torch.equal(found.masks[1], maps[1] > 0.5)
    assert (found.steps[1], found.errors[1]) == (0, 0)
    assert found.steps[0] > 0 or found.errors[0] < 0.1


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_one_class_and_one_superpixel_are_no_obstacle(value):
    _, images, superpixels, _ = planted(count=1)
    maps = torch.full((1, 32, 32), value)
    found = Repredictor()(maps, images, superpixels * 0)
    assert found.errors[0] < 0.1
    assert found.masks.float().mean() == pytest.approx(value, abs=0.1)


def test_no_image_and_no_step():
    maps, images, superpixels, _ = planted()
    none = Repredictor()(maps[:0], images[:0], superpixels[:0])
    assert none.masks.shape == (0, 32, 32)
    untrained = Repredictor(steps=0, stop_error=0)(maps, images, superpixels)
    assert untrained.steps.tolist() == [0, 0, 0]


def test_the_mask_of_the_superpixels_holds_the_sure_ones_and_votes():
    maps, images, superpixels, objects = planted()
    options = {"stop_error": 0.02, "steps": 3}
    masks = Repredictor(by_superpixels=True, **options)(maps, images, superpixels).masks
    predicted = Repredictor(**options)(maps, images, superpixels).masks
    assert masks[objects].all()  # the mean of the map over the object is above 0.4
    voted = superpixel_votes(predicted, superpixels)
    assert torch.equal(masks | objects, voted | objects)
