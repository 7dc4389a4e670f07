"""The part that learns in each phase, and its targets."""

import copy

import pytest
import torch

from boxrefine_d2.config import boxrefine_cfg
from boxrefine_d2.errors import UserError
from boxrefine_d2.grounding.grounding_refiner import GroundingRefiner
from boxrefine_d2.refinement import MapDetector
from boxrefine_d2.refinement.phased_refiner import DETECTOR, REFINE


@pytest.fixture
def build(parts):
    def make(**changes):
        cfg = boxrefine_cfg()
        cfg.MODEL.MAP_DETECTOR.TRUNK, cfg.MODEL.MAP_DETECTOR.WEIGHTS = "small_cnn", "random"
        settings = {
            "union_probability": 0.5,
            "union_per": "iteration",
            "min_target_side": 0.05,
            "reference_targets": False,
            "shuffle_boxes": False,
        }
        torch.manual_seed(0)
        return GroundingRefiner(map_detector=MapDetector(cfg), **parts | settings | changes)

    return make


def two_blobs(count=1):
    """Return heatmaps (count, 1, 32, 32) with blocks of 1.0 and 0.9."""
    heatmaps = torch.zeros(count, 1, 32, 32)
    heatmaps[:, :, 0:8, 0:16] = 1.0
    heatmaps[:, :, 24:32, 16:32] = 0.9
    return heatmaps


TWO = [[0.25, 0.125, 0.5, 0.25], [0.75, 0.875, 0.5, 0.25]]
UNION = [[0.5, 0.5, 1.0, 1.0]]


def gradients(module):
    return [p for p in module.parameters() if p.grad is not None and p.grad.abs().sum() > 0]


@pytest.mark.parametrize("phase", [DETECTOR, REFINE])
def test_one_part_learns_at_a_time(build, training_batch, phase, monkeypatch):
    model = build()
    model.train()
    model.set_phase(phase)
    # heatmaps of an untrained g have no contour, so the targets are replaced
    monkeypatch.setattr(
        model, "_targets_of", lambda maps, unite=False: [torch.tensor(TWO)] * len(maps)
    )
    frozen = copy.deepcopy(model.reference_network.state_dict())
    losses = model(training_batch)
    sum(losses.values()).backward()
    assert bool(gradients(model.map_network)) == (phase == REFINE)
    assert bool(gradients(model.map_detector)) == (phase == DETECTOR)
    assert not gradients(model.reference_network) and not gradients(model.clip)
    assert ("loss_relevance" in losses) == (phase == REFINE)
    assert model.map_network.training == (phase == REFINE)
    assert model.map_detector.training == (phase == DETECTOR)
    assert not model.reference_network.training and not model.clip.training
    assert all(v.equal(frozen[k]) for k, v in model.reference_network.state_dict().items())


@pytest.mark.parametrize("phase", [DETECTOR, REFINE])
def test_bfloat16_draws_nearly_the_same_for_h(build, training_batch, phase, monkeypatch):
    """h reads the heatmaps in either phase, in float32."""
    drawn = []
    for autocast in (False, True):
        model = build(autocast=autocast).train()
        model.set_phase(phase)
        whole = model._predict
        monkeypatch.setattr(
            model, "_predict", lambda maps, whole=whole: drawn.append(maps) or whole(maps)
        )
        model(training_batch)
    exact, rounded = drawn
    assert rounded.dtype == torch.float32 and not rounded.equal(exact)
    torch.testing.assert_close(rounded, exact, rtol=0, atol=0.02)


def test_targets_are_the_boxes_normalised_and_a_union_while_g_learns(build):
    model = build(union_probability=1.0)
    assert model._targets_of(two_blobs())[0].tolist() == TWO
    assert model._targets_of(two_blobs(), unite=True)[0].tolist() == UNION
    never = build(union_probability=0.0)
    assert never._targets_of(two_blobs(), unite=True)[0].tolist() == TWO


@pytest.mark.parametrize(("per", "mixed"), [("iteration", False), ("sample", True)])
def test_the_union_is_drawn_for_the_batch_or_for_each(build, per, mixed):
    model = build(union_per=per)
    torch.manual_seed(0)
    all_counts, together = set(), True
    for _ in range(20):
        counts = {len(boxes) for boxes in model._targets_of(two_blobs(4), unite=True)}
        together &= len(counts) == 1
        all_counts |= counts
    assert all_counts == {1, 2} and together != mixed


def test_a_thin_box_and_a_constant_heatmap_teach_nothing(build):
    thin = torch.zeros(1, 1, 32, 32)
    thin[:, :, 0, :] = 1.0
    thin[:, :, 5, :] = 1.0
    model = build(min_target_side=0.05, discovery=build_thin_rule())
    assert model._targets_of(thin)[0].shape == (0, 4)
    assert build()._targets_of(torch.full((1, 1, 32, 32), 0.5))[0].shape == (0, 4)


def build_thin_rule():
    from boxrefine_d2.discovery import build_rule

    return build_rule("contours", min_area=0.0)


def test_recurring_heatmaps_are_drawn_once_while_g_is_fixed(build, training_batch):
    model = build()
    model.train()
    model.set_phase(DETECTOR)
    drawn = []
    draw = model.map_network.forward
    model.map_network.forward = lambda *a: drawn.append(1) or draw(*a)
    first, again = model(training_batch), model(training_batch)
    assert len(drawn) == 3 and set(first) == set(again)
    model.set_phase(DETECTOR)
    model(training_batch)
    assert len(drawn) == 6


def test_answers_of_g_before_and_after_and_of_h(build, test_batch):
    model = build()
    model.eval()
    [by_source, *_] = model(test_batch)
    by_source = by_source["grounding"]
    assert list(by_source) == ["clip", "before", "refined", "shuffled", "h"]
    assert by_source["before"] == by_source["refined"]  # g has not learnt yet
    assert by_source["h"][7].point is None
    with torch.no_grad():
        for parameter in model.map_network.up1.parameters():
            parameter.add_(0.5)
    [changed, *_] = model(test_batch)
    assert changed["grounding"]["before"] == by_source["before"]
    assert model.weight_distance() > 0


def test_each_network_reads_an_image_once_for_all_queries(build, test_batch, monkeypatch):
    model = build()
    model.eval()
    read = []
    for name, network in model.networks.items():
        whole = network.read
        monkeypatch.setattr(
            network,
            "read",
            lambda images, name=name, whole=whole: read.append(name) or whole(images),
        )
    model(test_batch)
    assert read == ["before", "refined"]


def test_boxes_of_h_are_its_objects(build, monkeypatch):
    model = build()
    raw = torch.full((1, model.map_detector.num_boxes, 6), 0.0)
    raw[..., 4], raw[..., 5] = -3.0, 3.0
    raw[0, 0] = torch.tensor([0.0, 0.0, 0.0, 0.0, 3.0, -3.0])  # the middle half
    monkeypatch.setattr(model.map_detector.trunk, "forward", lambda map_images: raw.flatten(1))
    [answer] = model._answers_of_h(two_blobs()[:, 0], (40, 80))
    assert answer.box == pytest.approx((20, 10, 60, 30)) and len(answer.boxes) == 1
    raw[0, 0, 4] = -3.0
    raw[0, 0, 5] = 3.0
    [nothing] = model._answers_of_h(two_blobs()[:, 0], (40, 80))
    assert nothing.box is None


def test_without_localisation_losses_g_learns_from_h_alone(build, training_batch):
    model = build()
    losses = model.losses
    losses.relevance_weight = losses.area_weight = 0.0
    losses.foreground_weight = losses.background_weight = 0.0
    model.train()
    model.set_phase(REFINE)
    assert set(model(training_batch)) == {"loss_class", "loss_l1", "loss_giou"}


def test_mistakes_are_named(build):
    with pytest.raises(UserError, match="GROUNDING.UNION_PER 'image' is unknown"):
        build(union_per="image")
    with pytest.raises(ValueError, match="unknown phase"):
        build().set_phase("both")
