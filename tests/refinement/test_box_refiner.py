import pytest
import torch
from detectron2.utils.events import EventStorage
from torch.testing import assert_close

from boxrefine_d2.discovery import build_rule
from boxrefine_d2.errors import UserError
from boxrefine_d2.networks.recurring import OncePerInput
from boxrefine_d2.networks.vit import DinoTransformer, VisionTransformer
from boxrefine_d2.refinement import BoxRefiner, MapDetector, SetCriterion
from boxrefine_d2.refinement.map_inputs import RULE_INPUTS, TOKEN_INPUTS, build_map_input
from boxrefine_d2.refinement.preservation import PreservationLoss
from boxrefine_d2.refinement.trunks import build_trunk
from boxrefine_d2.structures import PseudoBoxes, normalise
from tests.toy_rules import RuleOf

SIDE = 64


def tiny_refiner(
    preservation=None, discovery=None, map_input="qkv_as_image", shuffle_boxes=False
) -> BoxRefiner:
    torch.manual_seed(0)
    discovery = discovery or build_rule("lost")
    vit = DinoTransformer(patch_size=16, dim=16, depth=2, num_heads=2).eval()
    criterion = SetCriterion(class_weight=2, l1_weight=5, giou_weight=2, no_object_weight=0.1)
    trunk = build_trunk("resnet18", outputs=18, norm="BN", weights="random")
    return BoxRefiner(
        map_network=vit,
        map_detector=MapDetector(trunk=trunk, num_boxes=3, criterion=criterion),
        discovery=discovery,
        discovery_name="lost",
        map_input=build_map_input(map_input, with_cls=False, with_tokens=True, rule=discovery),
        preservation=preservation or PreservationLoss(weight=1.0, on="cls", reduction="sum"),
        square_size=SIDE,
        shuffle_boxes=shuffle_boxes,
    ).train()


def square_batch(count=2, **extra):
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (count, 3, SIDE, SIDE), generator=generator, dtype=torch.uint8)
    return [{"image": image} | extra for image in images]


def step(model, batch, optimizer=None):
    """Compute the gradients of one step, and update; return the losses and the logged values."""
    model.zero_grad()
    with EventStorage() as storage:
        losses = model(batch)
        sum(losses.values()).backward()
        logged = storage.latest()
    if optimizer:
        optimizer.step()
    return losses, logged


def batch_sizes(monkeypatch) -> list[int]:
    """Return a list that records the number of images of each later forward of a transformer."""
    calls = []
    original = VisionTransformer.forward_last_block
    monkeypatch.setattr(
        VisionTransformer,
        "forward_last_block",
        lambda self, x: calls.append(len(x)) or original(self, x),
    )
    return calls


def with_gradient(module):
    return {name for name, p in module.named_parameters() if p.grad is not None and p.grad.any()}


def test_only_h_learns_in_the_detector_phase():
    model = tiny_refiner()
    model.set_phase("detector")
    losses, logged = step(model, square_batch())
    assert set(losses) == {"loss_class", "loss_l1", "loss_giou"}
    assert not with_gradient(model.map_network)
    assert with_gradient(model.map_detector) == {
        n for n, _ in model.map_detector.named_parameters()
    }
    assert 0 <= logged["h_iou_with_pseudo_box"][0] <= 1


@pytest.mark.parametrize("map_input", [*TOKEN_INPUTS, *RULE_INPUTS])
def test_only_f_learns_in_the_refine_phase_from_its_first_block_on(map_input):
    model = tiny_refiner(map_input=map_input)
    model.set_phase("refine")
    losses, _ = step(model, square_batch())
    assert set(losses) == {"loss_class", "loss_l1", "loss_giou", "loss_preservation"}
    assert not with_gradient(model.map_detector)
    learned = with_gradient(model.map_network)
    assert {
        n for n, _ in model.map_network.named_parameters() if n.startswith("blocks.0.")
    } - learned <= {"blocks.0.attn.qkv.bias"}
    assert {"cls_token", "pos_embed", "patch_embed.proj.weight"} <= learned


def test_a_step_of_each_phase_changes_its_part_and_nothing_else():
    model = tiny_refiner()
    groups = [
        {"params": model.map_network.parameters()},
        {"params": model.map_detector.parameters()},
    ]
    optimizer = torch.optim.Adam(groups, lr=1e-3, weight_decay=1e-4)
    parts = {"f": model.map_network, "h": model.map_detector, "reference": model.reference_network}
    for phase, learner in (("detector", "h"), ("refine", "f"), ("detector", "h")):
        model.set_phase(phase)
        before = {
            n: {k: v.clone() for k, v in part.state_dict().items()} for n, part in parts.items()
        }
        step(model, square_batch(), optimizer)
        for name, part in parts.items():
            changed = any(not torch.equal(v, before[name][k]) for k, v in part.state_dict().items())
            assert changed == (name == learner), (phase, name)


def test_a_fixed_h_keeps_its_batch_statistics_and_modes():
    model = tiny_refiner()
    model.set_phase("refine")
    assert model.map_network.training and not model.map_detector.training
    assert not model.reference_network.training
    model.set_phase("detector")
    assert model.map_detector.training and not model.map_network.training
    model.eval()
    assert not any(module.training for module in model.modules())


def test_targets_follow_the_current_network():
    maps = []

    def spy(features):
        maps.append(features.data.clone())
        assert not features.data.requires_grad
        return build_rule("lost")(features)

    model = tiny_refiner(discovery=RuleOf(spy))
    model.set_phase("refine")
    optimizer = torch.optim.SGD(model.map_network.parameters(), lr=0.1)
    step(model, square_batch(), optimizer)
    step(model, square_batch(), optimizer)
    assert not torch.equal(maps[0], maps[1])


def targets_seen(model, monkeypatch) -> list[torch.Tensor]:
    """Return a list that records the targets of each later step, of all images together."""
    recorded = []
    forward = model.map_detector.criterion.forward
    monkeypatch.setattr(
        model.map_detector.criterion,
        "forward",
        lambda outputs, targets: recorded.append(torch.cat(targets)) or forward(outputs, targets),
    )
    return recorded


def test_given_boxes_replace_those_of_the_rule_in_both_phases(monkeypatch):
    model = tiny_refiner(discovery=RuleOf(lambda _: pytest.fail("the rule was asked")))
    given = torch.tensor([[0.5, 0.5, 0.2, 0.4], [0.3, 0.3, 0.2, 0.2]])
    recorded = targets_seen(model, monkeypatch)
    for phase in ("detector", "refine"):
        for name in ("a", None):  # recurring inputs, and others
            model.set_phase(phase)
            batch = square_batch(2, target_boxes=given)
            batch[1]["target_boxes"] = given[:0]
            for index, x in enumerate(batch):
                x["input_key"] = name and (name, index)
            step(model, batch)
            assert_close(recorded.pop(), given)


def test_the_control_teaches_h_the_boxes_of_the_next_image_and_refines_with_its_own(monkeypatch):
    boxes = torch.tensor([[0.0, 0.0, 16.0, 16.0], [16.0, 0.0, 64.0, 64.0], [0.0, 32.0, 32.0, 64.0]])

    def rule(features):
        return [PseudoBoxes(box[None], torch.ones(1), (SIDE, SIDE)) for box in boxes]

    model = tiny_refiner(discovery=RuleOf(rule), shuffle_boxes=True)
    recorded = targets_seen(model, monkeypatch)
    for phase, order in (("detector", [1, 2, 0]), ("refine", [0, 1, 2])):
        model.set_phase(phase)
        step(model, square_batch(3))
        assert_close(recorded.pop(), normalise(boxes[order], (SIDE, SIDE)))


def test_one_forward_of_f_a_step_and_none_of_the_reference_while_h_learns(monkeypatch):
    calls = []
    original = VisionTransformer._embed
    monkeypatch.setattr(
        VisionTransformer, "_embed", lambda self, *x: calls.append(self) or original(self, *x)
    )
    model = tiny_refiner()
    model.set_phase("detector")
    step(model, square_batch())
    assert calls == [model.map_network]
    calls.clear()
    model.set_phase("refine")
    step(model, square_batch())
    assert calls == [model.map_network, model.reference_network]


@pytest.mark.parametrize(("on", "shape"), [("cls", (2, 16)), ("keys", (2, 16, 16))])
@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_preservation_by_hand(on, shape, reduction):
    """Every feature is off by 0.5: 0.25 per channel, 16 channels."""
    model = tiny_refiner()
    reading = model.reference_network.read(torch.randn(2, 3, SIDE, SIDE))
    term = PreservationLoss(weight=3.0, on=on, reduction=reduction)
    held = term.held(reading).clone()
    assert held.shape == shape
    (reading.last.cls if on == "cls" else reading.last.qkv).add_(0.5)
    value = term(reading, held)
    assert_close(value, torch.tensor(3 * 0.25 * (16 if reduction == "sum" else 1)))


def test_the_reference_reads_a_recurring_input_once(monkeypatch):
    model = tiny_refiner()
    model.set_phase("refine")
    with torch.no_grad():
        model.map_network.pos_embed[..., 0] += 1
    plain, _ = step(model, square_batch(2))
    calls = []
    original = VisionTransformer.forward_last_block
    monkeypatch.setattr(
        VisionTransformer,
        "forward_last_block",
        lambda self, x: (calls.append((self, len(x))), original(self, x))[1],
    )
    named = [x | {"input_key": index} for index, x in enumerate(square_batch(2))]
    kept = [step(model, named)[0] for _ in range(3)]
    reference_counts = [count for network, count in calls if network is model.reference_network]
    assert reference_counts == [1, 1]
    assert plain["loss_preservation"] > 0.01
    for losses in kept:
        assert_close(losses["loss_preservation"], plain["loss_preservation"], atol=1e-6, rtol=1e-5)


def test_f_reads_a_recurring_input_once_while_h_learns(monkeypatch):
    model = tiny_refiner(map_input="heatmap_as_image").eval()
    model.set_phase("detector")
    model.map_detector.eval()  # batch statistics would change between the calls
    model.training = True
    calls = batch_sizes(monkeypatch)
    with EventStorage():
        plain = model(square_batch(2))
        assert calls == [2]
        calls.clear()
        named = [x | {"input_key": index} for index, x in enumerate(square_batch(2))]
        kept = [model(named), model(named[::-1]), model(named)]
        assert calls == [1, 1]
        for losses in kept:
            for name, value in losses.items():
                assert_close(value, plain[name], atol=1e-5, rtol=1e-5)
        calls.clear()
        model.set_phase("detector")  # f may have changed, so nothing is stored any more
        model.training = True
        model(named)
    assert calls == [1, 1]


def test_the_oldest_results_are_dropped_at_the_limit():
    computed = []

    def function(inputs):
        computed.append([image.mean().item() for image in inputs])
        return [(image.flatten()[:4].clone(),) for image in inputs]

    recurring = OncePerInput(function, limit_bytes=3 * 16)
    images = torch.arange(4.0)[:, None, None, None].expand(4, 3, 2, 2)
    recurring(images[:3], "abc")
    recurring(images[:3], "abc")
    assert computed == [[0], [1], [2]]
    recurring(images[3:], "d")  # drops a
    rows = recurring(images[[1, 2, 3, 0]], "bcda")
    assert computed == [[0], [1], [2], [3], [0]]
    assert [row[0][0].item() for row in rows] == [1, 2, 3, 0]
    recurring.forget()
    recurring(images[1:2], "b")
    assert computed[-1] == [1]
    recurring(images[1:3], ["b", None])
    assert computed[-1] == [1, 2]  # together, because one has no name


def test_without_preservation_the_term_is_absent():
    model = tiny_refiner(PreservationLoss(weight=0.0, on="cls", reduction="sum"))
    model.set_phase("refine")
    losses, _ = step(model, square_batch())
    assert "loss_preservation" not in losses


def test_inference_frames_and_untouched_network():
    model = tiny_refiner().eval()
    generator = torch.Generator().manual_seed(2)
    image = torch.randint(0, 256, (3, 40, 70), generator=generator, dtype=torch.uint8)
    other = torch.randint(0, 256, (3, 48, 80), generator=generator, dtype=torch.uint8)
    batch = [
        {"image": image, "height": 80, "width": 140},
        {"image": other, "height": 48, "width": 80},
    ]
    first, second = model(batch)
    assert first["instances"].image_size == (80, 140)
    assert set(first["pseudo_boxes"]) == {"lost", "refined"}
    assert torch.equal(first["pseudo_boxes"]["lost"].boxes, first["pseudo_boxes"]["refined"].boxes)
    assert first["feature_shift"] == 0
    assert first["detector_target"].input_size == (80, 140)
    x1, y1, x2, y2 = first["pseudo_boxes"]["lost"].boxes[0].tolist()
    assert x1 % 32 == 0 and y1 % 32 == 0  # a patch has 16 pixels of the input, 32 of the image
    assert (x2 % 32 == 0 or x2 == 140) and (y2 % 32 == 0 or y2 == 80)
    (alone,) = model(batch[1:])
    assert torch.equal(alone["pseudo_boxes"]["lost"].boxes, second["pseudo_boxes"]["lost"].boxes)
    assert_close(
        alone["instances"].pred_boxes.tensor,
        second["instances"].pred_boxes.tensor,
        atol=1e-3,
        rtol=0,
    )


def test_weight_distance_by_hand():
    model = tiny_refiner()
    assert model.weight_distance() == 0
    with torch.no_grad():
        model.map_network.cls_token += 3  # 16 numbers
    assert model.weight_distance() == pytest.approx(12)


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="unknown phase 'box'; known: detector, refine"):
        tiny_refiner().set_phase("box")
    with pytest.raises(UserError, match="REG_ON 'patches' is unknown; known: cls, keys, mask, map"):
        PreservationLoss(weight=1.0, on="patches", reduction="sum")
    with pytest.raises(UserError, match="REG_REDUCTION 'max' is unknown; known: sum, mean"):
        PreservationLoss(weight=1.0, on="cls", reduction="max")
