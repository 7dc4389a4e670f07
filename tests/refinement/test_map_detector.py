import pytest
import torch
from detectron2.modeling import build_model
from detectron2.structures import Boxes, Instances
from torch.testing import assert_close

from boxrefine_d2.config import boxrefine_cfg
from boxrefine_d2.discovery import build_rule
from boxrefine_d2.errors import UserError
from boxrefine_d2.networks.map_network import Reading
from boxrefine_d2.networks.vit import LastBlock
from boxrefine_d2.refinement.map_detector import to_instances
from boxrefine_d2.refinement.map_inputs import (
    HEATMAP_CELL_PIXELS,
    affinity_as_image,
    build_map_input,
    keys_as_image,
    qkv_as_image,
)
from boxrefine_d2.refinement.trunks import build_trunk
from boxrefine_d2.structures import FeatureMap
from tests.toy_rules import RuleOf


def detector_cfg(trunk="small_cnn"):
    cfg = boxrefine_cfg()
    cfg.MODEL.META_ARCHITECTURE = "MapDetector"
    cfg.MODEL.MAP_DETECTOR.TRUNK = trunk
    cfg.MODEL.MAP_DETECTOR.WEIGHTS = "random"
    cfg.MODEL.MAP_DETECTOR.NUM_BOXES = 3
    cfg.MODEL.DEVICE = "cpu"
    return cfg


def drawn_map(box, size=(64, 96)):
    """Return an input of Detectron2: "image" is a map with a white rectangle, the target box."""
    image = torch.zeros(3, *size)
    x1, y1, x2, y2 = box
    image[:, y1:y2, x1:x2] = 1
    instances = Instances(size)
    instances.gt_boxes = Boxes(torch.tensor([box], dtype=torch.float32))
    return {"image": image, "instances": instances, "height": 2 * size[0], "width": 2 * size[1]}


def test_alone_it_learns_a_fixed_batch_with_detectron2_inputs():
    torch.manual_seed(0)
    model = build_model(detector_cfg()).train()
    batch = [drawn_map((8, 8, 40, 40)), drawn_map((48, 16, 88, 56)), drawn_map((0, 32, 96, 64))]
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    # the rate falls to 0; with a constant rate the last step would decide the distance
    decay = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=50)
    for _ in range(50):
        losses = model(batch)
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
        decay.step()
    assert set(losses) == {"loss_class", "loss_l1", "loss_giou"}
    with torch.no_grad():
        model.train()  # three images are too few for running statistics
        outputs = model.predict(torch.stack([x["image"] for x in batch]))
    for instances, x in zip(to_instances(outputs, [(64, 96)] * 3), batch, strict=True):
        assert_close(
            instances.pred_boxes.tensor[0], x["instances"].gt_boxes.tensor[0], atol=8, rtol=0
        )


def test_inference_gives_every_box_in_the_frame_of_the_image():
    model = build_model(detector_cfg()).eval()
    with torch.no_grad():
        (result,) = model([drawn_map((8, 8, 40, 40))])
    instances = result["instances"]
    assert instances.image_size == (128, 192)
    assert len(instances) == 3
    assert instances.scores.tolist() == sorted(instances.scores.tolist(), reverse=True)
    assert float(instances.pred_boxes.tensor.max()) <= 192


def test_best_box_first_and_the_first_among_equals():
    outputs = {
        "pred_logits": torch.tensor([[[0.0, 1.0], [2.0, 0.0], [2.0, 0.0]]]),
        "pred_boxes": torch.tensor(
            [[[0.5, 0.5, 0.2, 0.2], [0.25, 0.5, 0.5, 1.0], [0.75, 0.5, 0.5, 1.0]]]
        ),
    }
    (instances,) = to_instances(outputs, [(10, 20)])
    assert instances.pred_boxes.tensor[:2].tolist() == [[0, 0, 10, 10], [10, 0, 20, 10]]
    assert_close(instances.scores[2], torch.tensor([0.0, 1.0]).softmax(0)[0])


@pytest.mark.parametrize("trunk", ["resnet18", "resnet50", "vgg16", "small_cnn"])
def test_trunks_take_any_size_and_give_six_numbers_a_box(trunk):
    net = build_trunk(trunk, outputs=18, norm="FrozenBN", weights="random").eval()
    with torch.no_grad():
        assert net(torch.zeros(1, 3, 49, 64)).shape == (1, 18)


def test_weights_that_cannot_be_fetched_name_the_key_of_h(tmp_path, monkeypatch):
    def refuse(url, path):
        raise OSError("no network")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    with pytest.raises(UserError, match="give it with MODEL.MAP_DETECTOR.WEIGHTS FILE, or put"):
        build_trunk("resnet50", outputs=18, norm="BN", weights="dino_resnet50")


def test_official_resnet_file_loads_without_a_last_layer(tmp_path):
    source = build_trunk("resnet18", outputs=7, norm="BN", weights="random")
    state = {k: v for k, v in source.state_dict().items() if not k.startswith("fc.")}
    torch.save(state, tmp_path / "r18.pth")
    loaded = build_trunk("resnet18", outputs=60, norm="BN", weights=str(tmp_path / "r18.pth"))
    assert loaded.fc.out_features == 60
    assert_close({k: v for k, v in loaded.state_dict().items() if k in state}, state)
    with pytest.raises(UserError, match="r18.pth is not of resnet50"):
        build_trunk("resnet50", outputs=60, norm="BN", weights=str(tmp_path / "r18.pth"))


def test_adapters():
    qkv = torch.arange(2 * 3 * 5 * 4, dtype=torch.float32).view(2, 3, 5, 4)
    last = LastBlock(qkv, torch.zeros(2, 4), (2, 2))
    assert_close(qkv_as_image(last), qkv[:, :, 1:])
    assert_close(qkv_as_image(last, with_cls=True), qkv)
    keys = keys_as_image(last)
    assert keys.shape == (2, 3, 4, 4)
    assert all(torch.equal(keys[:, channel], qkv[:, 1, 1:]) for channel in range(3))
    affinity = affinity_as_image(last)
    assert affinity.shape == (2, 3, 4, 4)
    assert_close(affinity[:, 0].diagonal(dim1=1, dim2=2), torch.ones(2, 4))
    features = FeatureMap(torch.randn(2, 4, 2, 2), 16, [(32, 32)] * 2)
    reading, rule = Reading(features, last), build_rule("lost")

    def show(name: str, with_cls: bool = False) -> torch.Tensor:
        return build_map_input(name, with_cls=with_cls, with_tokens=True, rule=rule)(reading)

    shown = show("keys_as_image", with_cls=True)
    assert_close(shown, keys_as_image(last, with_cls=True))
    shown = show("heatmap_as_image")
    assert shown.shape == (2, 3, 2 * HEATMAP_CELL_PIXELS, 2 * HEATMAP_CELL_PIXELS)
    assert_close(
        shown[:, 1, ::HEATMAP_CELL_PIXELS, HEATMAP_CELL_PIXELS - 1 :: HEATMAP_CELL_PIXELS],
        rule.heatmap(features),
    )
    both = show("heatmap_and_degree_as_image")
    assert torch.equal(both[:, 0], shown[:, 0])
    degree = rule.inverse_degree(features)
    for channel in (1, 2):
        assert_close(both[:, channel, ::HEATMAP_CELL_PIXELS, ::HEATMAP_CELL_PIXELS], degree)


def test_h_reads_the_mask_of_a_segmenter():
    mask = torch.rand(2, 1, 32, 48)
    reading = Reading(FeatureMap(mask, 1, [(32, 48)] * 2, "mask"), None)
    rule = build_rule("move")
    show = build_map_input("heatmap_as_image", with_cls=False, with_tokens=False, rule=rule)
    assert torch.equal(show(reading), mask.expand(2, 3, 32, 48))
    kind = {"with_cls": False, "with_tokens": False, "rule": rule}
    pooled = build_map_input("heatmap_as_image", **kind, pool=4)(reading)
    assert_close(pooled[:, 1], mask.unflatten(2, (8, 4)).unflatten(4, (12, 4)).mean(dim=(1, 3, 5)))
    with pytest.raises(UserError, match="INPUT_POOL is 0"):
        build_map_input("heatmap_as_image", **kind, pool=0)


def test_mistaken_adapters_are_named():
    kind = {"with_cls": False, "with_tokens": True}
    with pytest.raises(UserError, match="'qkv' is unknown; known: qkv_as_image, keys_as_image"):
        build_map_input("qkv", **kind, rule=build_rule("lost"))
    with pytest.raises(UserError, match="needs a rule that gives heatmap, which RuleOf does not"):
        build_map_input("heatmap_as_image", **kind, rule=RuleOf(lambda _: []))
    with pytest.raises(UserError, match="and f has none; use heatmap_as_image"):
        build_map_input("qkv_as_image", with_cls=False, with_tokens=False, rule=build_rule("move"))


def test_mistakes_are_named():
    with pytest.raises(UserError, match="TRUNK 'resnet19' is unknown; known: resnet50"):
        build_trunk("resnet19", outputs=6, norm="BN", weights="random")
    with pytest.raises(UserError, match="NORM 'GN' is unknown; known: BN"):
        build_trunk("resnet18", outputs=6, norm="GN", weights="random")


@pytest.mark.parametrize("part", ["pred_boxes", "pred_logits"])
def test_boxes_that_are_not_finite_are_refused(part):
    outputs = {"pred_logits": torch.zeros(1, 3, 2), "pred_boxes": torch.full((1, 3, 4), 0.5)}
    assert len(to_instances(outputs, [(10, 20)])[0]) == 3
    outputs[part][0, 1, 0] = float("nan")
    with pytest.raises(UserError, match="h's boxes are not finite"):
        to_instances(outputs, [(10, 20)])
