"""Refinement by regions: names of losses, passes, directions on a planted toy, controls, errors."""

import pytest
import torch
import torch.nn.functional as F
from detectron2.utils.events import EventStorage
from torch.testing import assert_close

from boxrefine_d2.config import boxrefine_cfg
from boxrefine_d2.discovery import build_rule
from boxrefine_d2.errors import UserError
from boxrefine_d2.networks.vit import VisionTransformer
from boxrefine_d2.refinement import BoxRefiner
from boxrefine_d2.refinement.map_detector import MapDetector
from boxrefine_d2.refinement.phased_trainer import PhasedTrainer
from boxrefine_d2.refinement.refine_trainer import RefineTrainer
from boxrefine_d2.refinement.training_targets import mask_cells, prepared_records
from boxrefine_d2.structures import PseudoBoxes
from tests.toy_rules import RuleOf

SIDE, CELLS = 64, 4
OF_H = {"loss_class", "loss_l1", "loss_giou"}


def config(**changes):
    """Return a small configuration; a key is written with two underscores for each dot."""
    cfg = boxrefine_cfg()
    settings = {
        "MODEL.META_ARCHITECTURE": "BoxRefiner",
        "MODEL.DEVICE": "cpu",
        "MODEL.MAP_NETWORK.NAME": "dino_mini",
        "MODEL.MAP_NETWORK.WEIGHTS": "random:0",
        "MODEL.MAP_DETECTOR.TRUNK": "small_cnn",
        "MODEL.MAP_DETECTOR.WEIGHTS": "random",
        "MODEL.MAP_DETECTOR.INPUT": "heatmap_as_image",
        "INPUT.SQUARE_SIZE": SIDE,
        "REFINE.LOSS": "region",
        "REFINE.PRESERVATION_WEIGHT": 0.0,
    }
    settings |= {name.replace("__", "."): value for name, value in changes.items()}
    cfg.merge_from_list([part for pair in settings.items() for part in pair])
    return cfg


def refiner(**changes) -> BoxRefiner:
    torch.manual_seed(0)
    model = BoxRefiner(config(**changes)).train()
    model.set_phase("refine")
    return model


def batch(count=2, **extra):
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (count, 3, SIDE, SIDE), generator=generator, dtype=torch.uint8)
    return [{"image": image} | extra for image in images]


def left_half():
    masks = torch.zeros(1, CELLS, CELLS)
    masks[:, :, :2] = 1
    return {"target_masks": masks, "target_boxes": torch.tensor([[0.25, 0.5, 0.5, 1.0]])}


def step(model, inputs):
    model.zero_grad()
    with EventStorage() as storage:
        losses = model(inputs)
        sum(losses.values()).backward()
        return losses, storage.latest()


@pytest.mark.parametrize("source", ["masks", "boxes", "filled_boxes", "detector"])
@pytest.mark.parametrize("loss", ["detector", "region", "both"])
@pytest.mark.parametrize("targets", ["rule", "reference", "annotations"])
def test_the_losses_of_f(loss, source, targets):
    model = refiner(
        REFINE__LOSS=loss,
        REFINE__REGION__FROM=source,
        REFINE__REGION__CONFIDENCE=0.0,
        REFINE__TARGETS=targets,
        REFINE__PRESERVATION_WEIGHT=1.0,
    )
    losses, logged = step(model, batch(**(left_half() if targets == "annotations" else {})))
    expected = OF_H if loss != "region" else set()
    expected = expected | ({"loss_region"} if loss != "detector" else set())
    assert set(losses) == expected | {"loss_preservation"}
    assert ("region/images" in logged) == (loss != "detector")
    assert all(p.grad is None for p in model.map_detector.parameters())
    assert model.map_network.blocks[0].attn.proj.weight.grad.any() == bool(
        loss != "region" or logged["region/images"][0]
    )


def test_a_step_runs_f_once_and_nothing_else(monkeypatch):
    calls = []
    original = VisionTransformer._embed
    monkeypatch.setattr(
        VisionTransformer, "_embed", lambda self, *x: calls.append(self) or original(self, *x)
    )
    monkeypatch.setattr(MapDetector, "predict", lambda *_: pytest.fail("h was asked"))
    rule = RuleOf(lambda _: pytest.fail("the rule was asked"))
    for weight, expected in ((0.0, ["f"]), (1.0, ["f", "reference"])):
        model = refiner(REFINE__TARGETS="annotations", REFINE__PRESERVATION_WEIGHT=weight)
        model.discovery = rule
        names = {model.map_network: "f", model.reference_network: "reference"}
        calls.clear()
        step(model, batch(**left_half()))
        assert [names[network] for network in calls] == expected


def test_the_masks_of_the_rule_are_read_on_the_right_map():
    """TARGETS rule reads f's map, and TARGETS reference the frozen copy's."""
    seen = []

    def draw(features):
        seen.append(features.data.clone())
        mask = torch.zeros(1, *features.grid_size, dtype=torch.bool)
        mask[:, 0] = True
        box = torch.tensor([[0.0, 0, SIDE, 16]])
        return [PseudoBoxes(box, torch.ones(1), (SIDE, SIDE), mask) for _ in features.data]

    maps = {}
    for targets in ("rule", "reference"):
        model = refiner(REFINE__TARGETS=targets)
        with torch.no_grad():
            model.map_network.pos_embed += 1
        model.discovery = RuleOf(draw)
        model._frozen.function._rule = model.discovery
        seen.clear()
        _, logged = step(model, batch())
        [maps[targets]] = seen
        assert logged["region/images"][0] == 1 and logged["region/cells"][0] == 1
    shared = model.map_network.prepare([x["image"] for x in batch()])
    assert_close(maps["rule"], model.map_network.map_of(shared).data, atol=1e-5, rtol=1e-4)
    assert_close(maps["reference"], model.reference_network.map_of(shared).data)


def planted(columns):
    """Return inputs whose left and right halves have one colour each, and their masks.

    Args: columns: first columns of cells of each image's mask.
    """
    generator = torch.Generator().manual_seed(3)
    inputs = []
    for last in columns:
        image = torch.full((3, SIDE, SIDE), 60.0)
        image[0, :, : 16 * last] = 200
        image = (image + 25 * torch.randn(image.shape, generator=generator)).clamp(0, 255)
        masks = torch.zeros(1, CELLS, CELLS)
        masks[:, :, :last] = 1
        box = torch.tensor([[last / 8, 0.5, last / 4, 1.0]])
        inputs.append({"image": image, "target_masks": masks, "target_boxes": box})
    return inputs


def contrast(model, inputs):
    """Return mean cosine of keys across the border of the mask minus that inside, lower: better."""
    with torch.no_grad():
        keys = model.map_network.map_of(model.map_network.prepare([x["image"] for x in inputs]))
    differences = []
    for image_keys, x in zip(F.normalize(keys.tokens(), dim=2), inputs, strict=True):
        inside = x["target_masks"][0].flatten() > 0
        cosine = image_keys @ image_keys.T
        differences.append(cosine[inside][:, ~inside].mean() - cosine[inside][:, inside].mean())
    return torch.stack(differences).mean().item()


def learn(model, inputs, steps=12):
    optimizer = torch.optim.Adam(model.map_network.parameters(), lr=1e-3)
    values = []
    for _ in range(steps):
        losses, logged = step(model, inputs)
        optimizer.step()
        values.append((losses["loss_region"].item(), logged))
    return values


@pytest.mark.parametrize("source", ["masks", "boxes", "filled_boxes"])
def test_keys_move_in_the_right_direction_and_in_the_control_they_do_not(source):
    """The second image's mask is what the first image's mask leaves out, at another border."""
    results = {}
    for shuffled in (False, True):
        model = refiner(
            REFINE__TARGETS="annotations",
            REFINE__REGION__FROM=source,
            REFINE__SHUFFLE_BOXES=shuffled,
        )
        inputs = planted([1, 3])
        before = contrast(model, inputs)
        learn(model, inputs, steps=40 if source == "boxes" else 10)
        results[shuffled] = before - contrast(model, inputs)
    assert results[False] > 0.5, results
    assert results[True] < results[False] / 2, results


def test_filled_boxes_are_masks_of_the_same_extent():
    """The planted masks fill their boxes."""
    changes = {"REFINE__TARGETS": "annotations"}
    of_masks, of_boxes = (
        step(refiner(REFINE__REGION__FROM=source, **changes), planted([1, 2, 3]))[0]
        for source in ("masks", "filled_boxes")
    )
    assert_close(of_masks, of_boxes)


def test_the_sign_of_the_similarity_improves():
    model = refiner(REFINE__TARGETS="annotations")
    values = learn(model, planted([2, 2, 1]))
    first, last = values[0], values[-1]
    assert first[1]["region/correct_signs"][0] < 0.8
    assert last[1]["region/correct_signs"][0] > 0.95
    assert last[0] < first[0] / 2


def test_the_control_has_the_regions_of_the_next_image():
    inputs = planted([1, 2, 3])
    moved = [
        {"image": x["image"], "target_masks": y["target_masks"], "target_boxes": y["target_boxes"]}
        for x, y in zip(inputs, inputs[1:] + inputs[:1], strict=True)
    ]
    for source in ("masks", "boxes", "filled_boxes"):
        changes = {"REFINE__TARGETS": "annotations", "REFINE__REGION__FROM": source}
        shuffled = step(refiner(REFINE__SHUFFLE_BOXES=True, **changes), inputs)[0]
        assert_close(shuffled, step(refiner(**changes), moved)[0])
        assert shuffled["loss_region"] != step(refiner(**changes), inputs)[0]["loss_region"]


def test_the_weight_is_a_factor_and_a_batch_without_boxes_is_zero():
    for source in ("masks", "boxes", "filled_boxes"):
        changes = {"REFINE__TARGETS": "annotations", "REFINE__REGION__FROM": source}
        one, three = (
            step(refiner(REFINE__REGION__WEIGHT=w, **changes), planted([1, 2]))[0]["loss_region"]
            for w in (1.0, 3.0)
        )
        assert_close(3 * one, three)
        empty = [
            x | {"target_masks": x["target_masks"][:0], "target_boxes": x["target_boxes"][:0]}
            for x in planted([1, 2])
        ]
        losses, logged = step(refiner(**changes), empty)
        assert losses["loss_region"] == 0 and logged["region/images"][0] == 0


def test_an_h_that_never_learns_is_absent():
    cfg = config(REFINE__WARMUP_ITERS=0, MODEL__MAP_DETECTOR__WEIGHTS="no such file")
    model = BoxRefiner(cfg)
    assert not list(model.map_detector.parameters()) and not model.map_detector.learns
    optimizer = PhasedTrainer.build_optimizer(cfg, model)
    model.train().set_phase("refine")
    step(model, batch())
    optimizer.step()
    assert model.weight_distance() > 0
    image = torch.zeros(3, 48, 64, dtype=torch.uint8)
    [output] = model.eval()([{"image": image, "height": 96, "width": 128}])
    assert "instances" not in output and output["pseudo_boxes"].keys() == {"lost", "refined"}
    # an h that learns first is kept, and so is the h that finds the regions
    assert BoxRefiner(config()).map_detector.learns
    kept = config(REFINE__WARMUP_ITERS=0, REFINE__REGION__FROM="detector", MODEL__WEIGHTS="h.pth")
    assert BoxRefiner(kept).map_detector.learns


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"REFINE__REGION__OUTSIDE": "ignored"}, "OUTSIDE ignored leaves nothing to push apart"),
        (
            {"REFINE__REGION__OUTSIDE": "ignored", "REFINE__REGION__FROM": "boxes"},
            "use OUTSIDE background, or FROM masks",
        ),
        ({"REFINE__LOSS": "both", "REFINE__WARMUP_ITERS": 0}, "h, which never learns: raise"),
        (
            {"REFINE__REGION__FROM": "detector", "REFINE__WARMUP_ITERS": 0},
            "FROM detector reads h, which never learns",
        ),
        ({"REFINE__LOSS": "both", "SOLVER__AMP__ENABLED": True}, "h reads f's map in float32"),
    ],
)
def test_keys_that_do_not_fit_are_named(changes, message):
    with pytest.raises(UserError, match=message):
        BoxRefiner(config(**changes))


def test_targets_without_masks_are_named():
    model = refiner()
    box = torch.tensor([[0.0, 0, 16, 16]])
    model.discovery = RuleOf(
        lambda features: [PseudoBoxes(box, torch.ones(1), (SIDE, SIDE)) for _ in features.data]
    )
    with pytest.raises(UserError, match=r"draws boxes without masks; .* REFINE.REGION.FROM boxes"):
        step(model, batch())


def test_many_batches_without_a_region_end_the_training(monkeypatch):
    monkeypatch.setattr("boxrefine_d2.refinement.region_loss.MOST_EMPTY_BATCHES", 3)
    model = refiner(REFINE__TARGETS="annotations")
    empty = [x | {"target_masks": x["target_masks"][:0]} for x in planted([1, 2])]
    for inputs in (empty, empty, planted([1, 2]), empty, empty):
        step(model, inputs)
    with pytest.raises(UserError, match="none of the images of the last 3 batches has a region"):
        step(model, empty)


def record(*masks, size=(64, 64), **changes):
    """Return a record with the masks given as corners (left, top, right, bottom)."""
    annotations = [
        {
            "bbox": [float(x) for x in corners],
            "iscrowd": 0,
            "segmentation": [[x1, y1, x2, y1, x2, y2, x1, y2]],
        }
        for corners in masks
        for x1, y1, x2, y2 in [corners]
    ]
    plain = {"file_name": "a.png", "image_id": 1, "height": size[0], "width": size[1]}
    return plain | {"annotations": annotations} | changes


@pytest.mark.parametrize(
    ("loss", "left", "effect"),
    [
        ("region", 1, "they are left out"),
        ("detector", 3, "h learns that they show no object"),
        ("both", 3, "h learns that they show no object"),
    ],
)
def test_images_without_labels_are_counted_before_the_training(loss, left, effect, caplog):
    cfg = config(REFINE__TARGETS="annotations", REFINE__LOSS=loss)
    sound = record((0, 0, 32, 64))
    assert len(prepared_records(cfg, [record(), sound, record()])) == left
    [line] = [r.getMessage() for r in caplog.records if "no label" in r.getMessage()]
    assert "2 of 3 training images" in line and line.endswith(effect)
    caplog.clear()
    prepared_records(cfg, [sound])
    assert not caplog.records


@pytest.mark.parametrize("source", ["masks", "boxes", "filled_boxes"])
def test_images_of_no_use_are_counted_before_the_training(source, caplog):
    cfg = config(REFINE__TARGETS="annotations", REFINE__REGION__FROM=source)
    whole, small, sound = record((0, 0, 64, 64)), record((1, 1, 6, 6)), record((0, 0, 32, 64))
    prepared = prepared_records(cfg, [whole, small, sound])
    assert len(prepared) == 3 and ("region_masks" in prepared[0]) == (source == "masks")
    [line] = [r.getMessage() for r in caplog.records if "REFINE.REGION" in r.getMessage()]
    assert "2 of 3 training images" in line
    assert "in 1 no region fills a cell" in line and "in 1 one region has all cells" in line
    with pytest.raises(UserError, match="none of the 2 training images has a region to learn from"):
        prepared_records(cfg, [whole, small])
    assert mask_cells(cfg) == (CELLS if source == "masks" else 0)


def test_masks_are_not_decoded_without_need():
    damaged = record((0, 0, 32, 64))
    damaged["annotations"][0]["segmentation"] = "no mask"
    for changes in (
        {"REFINE__LOSS": "detector"},
        {"REFINE__REGION__FROM": "boxes"},
        {"REFINE__REGION__FROM": "filled_boxes"},
        {"REFINE__TARGETS": "rule"},
    ):
        cfg = config(**{"REFINE__TARGETS": "annotations"} | changes)
        assert prepared_records(cfg, [damaged]) == [damaged]
    with pytest.raises(UserError, match="cannot be decoded"):
        prepared_records(config(REFINE__TARGETS="annotations"), [damaged])


def test_bfloat16_gives_nearly_the_same_loss():
    plain, half = (
        step(refiner(REFINE__TARGETS="annotations", SOLVER__AMP__ENABLED=enabled), planted([1, 2]))[
            0
        ]["loss_region"]
        for enabled in (False, True)
    )
    assert half.dtype == torch.float32 and half != plain
    assert_close(half, plain, rtol=0.03, atol=0)


@pytest.mark.parametrize(("kind", "largest"), [("norm", None), ("value", 1e-3)])
def test_gradients_are_clipped_where_there_are_any(kind, largest):
    clip = {"ENABLED": True, "CLIP_TYPE": kind, "CLIP_VALUE": 1e-3}
    cfg = config(**{f"SOLVER__CLIP_GRADIENTS__{key}": value for key, value in clip.items()})
    model = BoxRefiner(cfg).train()
    model.set_phase("refine")
    optimizer = PhasedTrainer.build_optimizer(cfg, model)
    step(model, batch())
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    assert len(gradients) < len(list(model.parameters()))
    assert max(g.norm() for g in gradients) > 1e-3
    optimizer.step()
    sizes = [g.abs().max() if largest else g.norm() for g in gradients]
    assert max(sizes) == pytest.approx(1e-3, rel=1e-3)


def test_the_mapper_cuts_masks_to_the_grid_of_f():
    cfg = config(REFINE__TARGETS="annotations")
    assert RefineTrainer.build_mapper(cfg).mask_cells == CELLS
    assert RefineTrainer.build_mapper(config()).mask_cells == 0


def test_the_rule_of_a_run_has_masks():
    """The rules of the shipped configurations can give the regions."""
    features = refiner().map_network.map_of(torch.randn(1, 3, SIDE, SIDE))
    for name in ("lost", "tokencut", "absorption"):
        assert build_rule(name)(features.detach())[0].masks is not None
