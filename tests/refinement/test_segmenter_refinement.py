"""Refinement of the head of a segmenter (MOVE), in both profiles."""

import pytest
import torch
from detectron2.utils.events import EventStorage
from torch import nn

from boxrefine_d2.discovery import build_rule
from boxrefine_d2.discovery.rule import DiscoveryRule
from boxrefine_d2.errors import UserError
from boxrefine_d2.networks.cnn import VGG16
from boxrefine_d2.networks.move_segmenter import MoveSegmenter
from boxrefine_d2.networks.vit import DinoTransformer, VisionTransformer
from boxrefine_d2.refinement import BoxRefiner, MapDetector, SetCriterion
from boxrefine_d2.refinement.map_inputs import build_map_input
from boxrefine_d2.refinement.preservation import PreservationLoss
from boxrefine_d2.refinement.trunks import build_trunk
from boxrefine_d2.structures import PseudoBoxes

SIDE = 32


def tiny_segmenter() -> MoveSegmenter:
    torch.manual_seed(0)
    vit = DinoTransformer(patch_size=8, dim=16, depth=2, num_heads=2)
    segmenter = MoveSegmenter(vit, head="conv_minc8", block=-2)
    with torch.no_grad():
        segmenter.head[-1].weight *= 20  # masks with contrast
    return segmenter.eval()


def refiner(network=None, on="mask", rule="move", weight=1.0, **choices) -> BoxRefiner:
    network = network or tiny_segmenter()
    criterion = SetCriterion(class_weight=2, l1_weight=5, giou_weight=2, no_object_weight=0.1)
    trunk = build_trunk("small_cnn", outputs=18, norm="BN", weights="random")
    move = build_rule("move")
    return BoxRefiner(
        map_network=network,
        map_detector=MapDetector(trunk=trunk, num_boxes=3, criterion=criterion),
        discovery=build_rule(rule) if isinstance(rule, str) else rule,
        discovery_name="move",
        map_input=build_map_input("heatmap_as_image", with_cls=False, with_tokens=False, rule=move),
        preservation=PreservationLoss(weight=weight, on=on, reduction="sum"),
        square_size=SIDE,
        **choices,
    ).train()


class AsWideAsItsMean(DiscoveryRule):
    """A rule whose box changes with every change of a mask."""

    facets = ("mask",)

    def __call__(self, features):
        widths = 1 + features.data.flatten(1).mean(dim=1)
        return [
            PseudoBoxes(torch.tensor([[0.0, 0.0, width, 9.0]]), torch.ones(1), (SIDE, SIDE))
            for width in widths.tolist()
        ]


def batch(count=3, named=False):
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (count, 3, SIDE, SIDE), generator=generator, dtype=torch.uint8)
    names = range(count) if named else [None] * count
    return [{"image": image, "input_key": name} for image, name in zip(images, names, strict=True)]


def step(model, inputs, optimizer=None):
    model.zero_grad()
    with EventStorage():
        losses = model(inputs)
        sum(losses.values()).backward()
    if optimizer:
        optimizer.step()
    return losses


def learnt(model) -> set[str]:
    return {
        name.split(".")[0]
        for name, parameter in model.map_network.named_parameters()
        if parameter.grad is not None and parameter.grad.any()
    }


@pytest.mark.parametrize(("head_alone", "parts"), [(False, {"norm", "head"}), (True, {"head"})])
def test_the_head_learns_and_the_extractor_never(head_alone, parts):
    model = refiner(head_alone=head_alone)
    model.set_phase("refine")
    losses = step(model, batch())
    assert set(losses) == {"loss_class", "loss_l1", "loss_giou", "loss_preservation"}
    assert learnt(model) == parts
    assert all(p.grad is not None for p in model.map_network.first_learner.parameters())
    model.set_phase("detector")
    step(model, batch())
    assert learnt(model) == set()


@pytest.mark.parametrize("named", [False, True])
def test_without_preservation_the_frozen_copy_gives_only_targets(named):
    # a segmenter has no CLS, the default of REG_ON
    model = refiner(on="cls", weight=0.0, reference_targets=True)
    model.set_phase("refine")
    assert set(step(model, batch(named=named))) == {"loss_class", "loss_l1", "loss_giou"}
    assert learnt(model)


def test_one_forward_of_the_extractor_serves_f_and_its_frozen_copy(monkeypatch):
    calls = []
    tokens_after = VisionTransformer.tokens_after
    monkeypatch.setattr(
        VisionTransformer,
        "tokens_after",
        lambda self, *given: calls.append(1) or tokens_after(self, *given),
    )
    model = refiner()
    assert model.reference_network.extractor is model.map_network.extractor
    assert model.reference_network.head is not model.map_network.head
    model.set_phase("refine")
    step(model, batch())
    assert len(calls) == 1
    model.eval()(
        [x | {"height": SIDE, "width": SIDE} for x in batch(1)]
    )  # the whole image, and the squeezed image for h
    assert len(calls) == 3


def test_preservation_of_masks_is_the_mean_over_pixels():
    model = refiner()
    model.set_phase("refine")
    model.map_network.eval()  # uses its running averages, like the copy
    assert step(model, batch())["loss_preservation"] == 0
    with torch.no_grad():
        model.map_network.head[-1].bias += 1
    images = model._prepared(batch())
    with torch.no_grad():
        current, reference = model.map_network(images).data, model.reference_network(images).data
    expected = (current - reference).square().mean()
    torch.testing.assert_close(step(model, batch())["loss_preservation"], expected)
    named = step(model, batch(named=True))["loss_preservation"]
    torch.testing.assert_close(named, expected)


@pytest.mark.parametrize("named", [False, True])
def test_targets_of_the_reference_stay_and_those_of_f_change(monkeypatch, named):
    recorded = {}
    for reference_targets in (False, True):
        model = refiner(rule=AsWideAsItsMean(), reference_targets=reference_targets)
        targets = recorded[reference_targets] = []
        forward = model.map_detector.criterion.forward
        monkeypatch.setattr(
            model.map_detector.criterion,
            "forward",
            lambda outputs, boxes, targets=targets, forward=forward: (
                targets.append(torch.cat(boxes)) or forward(outputs, boxes)
            ),
        )
        for phase in ("detector", "refine"):
            model.map_network.load_state_dict(model.reference_network.state_dict())
            model.set_phase(phase)
            step(model, batch(named=named))
            with torch.no_grad():
                model.map_network.head[-1].weight.neg_()
                model.map_network.head[-1].bias.neg_()
            model.set_phase(phase)
            step(model, batch(named=named))
    for before, after in (recorded[True][:2], recorded[True][2:]):
        torch.testing.assert_close(before, after)
    for first, second in (recorded[False][:2], recorded[False][2:]):
        assert (first - second).abs().max() > 0.001


def test_the_release_reads_the_batch_and_our_copy_keeps_its_averages():
    """In the release, the frozen head runs in train mode while f learns."""
    plain, release = refiner(), refiner(reference_batch_statistics=True)
    before = {k: v.clone() for k, v in release.reference_network.state_dict().items()}
    for model in (plain, release):
        model.set_phase("detector")
        assert not model.reference_network.training
        model.set_phase("refine")
        step(model, batch(named=True))
    assert release.reference_network.training and not plain.reference_network.training
    assert not release.reference_network.extractor.training
    shared = release.map_network.share(release._prepared(batch()))
    with torch.no_grad():
        masks = [m.reference_network.map_of(shared).data for m in (plain, release)]
    assert (masks[0] - masks[1]).abs().max() > 0.01
    after = release.reference_network.state_dict()
    for name, value in before.items():
        if not name.endswith("num_batches_tracked"):
            assert torch.equal(after[name], value), name
    release.eval()
    assert not any(module.training for module in release.modules())


def test_boxes_before_and_after_come_from_masks_of_the_whole_image():
    model = refiner().eval()
    [sample] = batch(1)
    inputs = [sample | {"image": sample["image"][:, :27, :30], "height": 54, "width": 60}]
    [output] = model(inputs)
    assert output["feature_shift"] == 0
    assert torch.equal(
        output["pseudo_boxes"]["move"].boxes, output["pseudo_boxes"]["refined"].boxes
    )
    assert output["detector_target"].input_size == (54, 60)
    with torch.no_grad():
        for module in model.map_network.head.modules():
            if isinstance(module, nn.Conv2d):
                module.weight.neg_()
    [output] = model(inputs)
    assert output["feature_shift"] > 0.1


def test_a_restarted_head_equals_that_of_a_new_segmenter():
    segmenter, again = tiny_segmenter(), tiny_segmenter()
    state = torch.random.get_rng_state()
    segmenter.restart_head(3)
    assert torch.equal(torch.random.get_rng_state(), state)
    again.restart_head(3)
    trained = tiny_segmenter()
    for name, value in segmenter.state_dict().items():
        assert torch.equal(value, again.state_dict()[name])
        if name.endswith("weight") and name.startswith("head.") and value.dim() == 4:
            assert not torch.equal(value, trained.state_dict()[name]), name
        if not name.startswith("head."):
            assert torch.equal(value, trained.state_dict()[name]), name
    assert segmenter.head[-1].weight.abs().max() <= 8**-0.5  # PyTorch's own bound for 8 channels
    again.restart_head(4)
    assert not torch.equal(again.head[-1].weight, segmenter.head[-1].weight)


def test_parts_that_do_not_fit_are_named():
    vit = DinoTransformer(patch_size=8, dim=16, depth=2, num_heads=2)
    with pytest.raises(UserError, match="REG_ON 'keys' does not fit f, a MoveSegmenter: use mask"):
        refiner(on="keys")
    with pytest.raises(
        UserError, match="REG_ON 'mask' does not fit f, a DinoTransformer: use cls or"
    ):
        refiner(vit, rule="lost")
    with pytest.raises(UserError, match="reads the facet key or output, and the network gives"):
        refiner(rule="lost")
    with pytest.raises(UserError, match="reads the facet mask, and the network gives key only"):
        refiner(vit)
    with pytest.raises(UserError, match="FRESH_HEAD: f has no head"):
        refiner(vit, on="cls", rule="lost", head_alone=True)
    with pytest.raises(UserError, match=r"Representer reads a whole data set first.*\+pseudo=FILE"):
        refiner(vit, on="cls", rule="representer")
    with pytest.raises(UserError, match="REG_ON 'mask' does not fit f, a VGG16: use map"):
        refiner(VGG16(), rule="lost")
