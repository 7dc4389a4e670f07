"""Representer points as a localiser: statistics, maps and boxes against a plain implementation."""

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

from boxrefine_d2.config import boxrefine_cfg
from boxrefine_d2.discovery.build import build_rule
from boxrefine_d2.errors import UserError
from boxrefine_d2.files.shipped import shipped_configs
from boxrefine_d2.localization.representer_points import RepresenterPoints, chosen_records
from boxrefine_d2.localization.sources import MapBatch, sources_of
from boxrefine_d2.networks.trunks import Trunk
from tests.tool_modules import tool

RELEASE = {
    "normalise_features": True,
    "clamp": True,
    "minmax_before_upsampling": True,
    "align_corners": True,
}
SIDE, CELL = 32, 8


def trunk():
    """Return a trunk of random filters, rectified, with cells of 8 pixels."""
    torch.manual_seed(0)
    return Trunk(nn.Sequential(nn.Conv2d(3, 6, CELL, CELL), nn.ReLU()), 6, CELL)


def inputs(count=4, seed=0, labels=()):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (count, 3, SIDE, SIDE), generator=generator, dtype=torch.uint8)
    given = [*labels, *[None] * (count - len(labels))]
    return [
        {"image": image, "relative_name": f"{i}.png"}
        | ({} if label is None else {"image_label": label})
        for i, (image, label) in enumerate(zip(images, given, strict=True))
    ]


def model(classes=(), **parts):
    rules = [build_rule("representer", **RELEASE) for _ in range(len(classes) or 1)]
    return RepresenterPoints(trunk=trunk(), rules=rules, classes=classes, **parts).eval()


def plain_map(network, base, tested):
    """Return the map of one image by the formulas of the release, in float64."""
    with torch.no_grad():
        f = network.map_network(network.images_of(base)).double().permute(0, 2, 3, 1).flatten(0, 2)
        x = network.map_network(network.images_of([tested]))[0].double()
    norms = f.norm(dim=1, keepdim=True)
    unit = x / x.norm(dim=0).clamp(min=1e-9)
    v, u = f.mean(dim=0), (f / norms.clamp(min=1e-9)).mean(dim=0)
    w = v - v.norm() / u.norm() * u
    w = w / w.norm()
    scores = (unit * w[:, None, None]).sum(dim=0).clamp(min=0)
    span = scores.max() - scores.min()
    scores = (scores - scores.min()) / (span if span > 0 else 1)
    return F.interpolate(scores[None, None], (SIDE, SIDE), mode="bilinear", align_corners=True)[
        0, 0
    ]


def test_the_map_is_that_of_the_formulas():
    network, base, tested = model(), inputs(5, seed=1), inputs(2, seed=2)
    network.observe(base[:2])
    network.observe(base[2:])
    for one, output in zip(tested, network(tested), strict=True):
        answer = output["answer"]
        assert answer.labels is None and list(answer.heatmaps) == ["representer"]
        expected = plain_map(network, base, one).float()
        torch.testing.assert_close(answer.heatmaps["representer"], expected, rtol=1e-4, atol=1e-5)


def test_a_class_has_statistics_of_its_own():
    network, base = model(("cat", "dog", "owl")), inputs(6, seed=1, labels=[0, 1, 0, 1, 1, 0])
    network.observe(base)
    tested, constant = inputs(6, seed=2, labels=[1, 0, 0, 1, 0, 1]), 0
    for one, output in zip(tested, network(tested), strict=True):
        own = [x for x in base if x["image_label"] == one["image_label"]]
        expected = plain_map(network, own, one).float()
        found = output["answer"].heatmaps["representer"]
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
        constant += bool(found.max() == 0)
    assert constant <= 2
    numbers = [value.numel() for rule in network.rules for value in rule.state.values()]
    assert sum(numbers) <= 3 * (2 * 6 + 3)  # two vectors and three numbers a class


@pytest.mark.parametrize(
    ("labels", "line"),
    [
        ([], "the class of image '0.png' is not known"),
        ([2], "no image of the class owl"),
        ([5], "no image of the class number 5"),
    ],
)
def test_a_class_without_statistics_is_a_line(labels, line):
    network = model(("cat", "dog", "owl"))
    network.observe(inputs(4, labels=[0, 1, 0, 1]))
    with pytest.raises(UserError, match=line):
        network(inputs(1, labels=labels))


def test_features_that_are_not_finite_are_a_line():
    network = model()
    network.map_network.network[0].weight.data[0, 0, 0, 0] = torch.nan
    with pytest.raises(UserError, match="not finite"):
        network.observe(inputs())


def test_the_images_of_the_statistics_are_spread_evenly():
    records = [{"file_name": str(i), "image_label": i % 2} for i in range(10)]

    def names(**settings):
        return [int(r["file_name"]) for r in chosen_records(records, **settings)]

    assert names(sampling_ratio=1.0, images_per_class=None) == list(range(10))
    assert names(sampling_ratio=0.3, images_per_class=None) == [2, 5, 9]
    assert names(sampling_ratio=1.0, images_per_class=0) == list(range(10))
    assert names(sampling_ratio=1.0, images_per_class=2) == [2, 3, 8, 9]
    with pytest.raises(UserError, match="0.05 of 10 images takes no image"):
        names(sampling_ratio=0.05, images_per_class=None)


@pytest.mark.parametrize("share", [0.01, 0.3, 0.5, 0.99])
def test_grey_levels_are_compared_as_in_the_release(share):
    cfg = boxrefine_cfg()
    cfg.LOCALIZATION.SOURCES = [["representer", f"grey={share}"]]
    [source] = sources_of(cfg)
    maps = torch.rand(3, 9, 7, generator=torch.Generator().manual_seed(0))
    maps[1] *= 0.6
    _, masks = source(MapBatch(maps, torch.zeros(3, 3, 9, 7, dtype=torch.uint8)))
    for heatmap, mask in zip(maps.numpy(), masks.numpy(), strict=True):
        levels = (heatmap * 255).astype(np.uint8)
        np.testing.assert_array_equal(mask, levels > int(share * levels.max()))


@pytest.fixture
def tree(tmp_path):
    """Write two classes of images with a bright square, and their boxes."""
    rng = np.random.default_rng(0)
    images, annotations = [], []
    for number in range(6):
        name = f"{('cat', 'dog')[number % 2]}/{number}.png"
        pixels = rng.integers(0, 60, (48, 64, 3), dtype=np.uint8)
        left, top = rng.integers(4, 30), rng.integers(4, 20)
        pixels[top : top + 20, left : left + 24] += 150
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / "data" / name)
        images.append({"id": number, "file_name": name, "width": 64, "height": 48})
        box = [int(left), int(top), 24, 20]
        annotations.append(
            {"id": number, "image_id": number, "category_id": number % 2 + 1, "bbox": box}
            | {"area": 480, "iscrowd": 0}
        )
    categories = [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
    labels = {"images": images, "annotations": annotations, "categories": categories}
    (tmp_path / "data" / "annotations.json").write_text(json.dumps(labels))
    return tmp_path


def evaluated(tree, config, *changes):
    """Run the command on the tree; return its exit code and its output directory."""
    out, spec = tree / "out", f"classes:{tree / 'data'}"
    code = tool("train_net").main(
        ["--config-file", str(shipped_configs() / config), "--eval-only"]
        + ["OUTPUT_DIR", str(out), "MODEL.DEVICE", "cpu", "DATALOADER.NUM_WORKERS", "0"]
        + ["MODEL.CLASSIFIER.TRUNK_WEIGHTS", "random:0", "REPRESENTER_POINTS.SIDE", "64"]
        + ["DATASETS.TRAIN", f"('{spec}',)", "DATASETS.TEST", f"('{spec}',)", *changes]
    )
    return code, out


@pytest.mark.parametrize("config", ["representer_wsol.yaml", "representer_wsol_fine_grained.yaml"])
def test_the_configs_of_the_release_evaluate(tree, config, capsys):
    small = ["INPUT.CLASSIFIED.TEST_RESIZE", "64", "INPUT.CLASSIFIED.CROP", "64"]
    code, out = evaluated(tree, config, *small)
    assert code == 0
    [file] = out.glob("inference/*/representer_grey/localization.json")
    entries = json.loads(file.read_text())
    assert len(entries) == 6 and "labels" not in entries[0]
    scores = tree / "scores.json"
    words = ["--gt", f"classes:{tree / 'data'}", "--pred", str(file), "--json", str(scores)]
    assert tool("evaluate").main([*words, "--metrics", "gt_known,maxboxacc_v2"]) == 0
    results = json.loads((out / "results.json").read_text())
    [own] = results["datasets"].values()
    for name in ("gt_known", "maxboxacc_v2"):
        assert json.loads(scores.read_text())[name] == own["representer_grey"][name]


def test_class_wise_with_a_classifier_that_names_classes(tree):
    changes = ["REPRESENTER_POINTS.CLASSWISE", "True", "MODEL.CLASSIFIER.WEIGHTS", "random:1"]
    small = ["INPUT.CLASSIFIED.TEST_RESIZE", "64", "INPUT.CLASSIFIED.CROP", "64"]
    code, out = evaluated(tree, "demo/representer.yaml", *changes, *small)
    assert code == 0
    [file] = out.glob("inference/*/representer_grey/localization.json")
    assert sorted(json.loads(file.read_text())[0]["labels"]) == [1, 2]


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (["REPRESENTER_POINTS.SIDE", "70"], "SIDE 70 is no multiple of the cells of resnet_mini"),
        (["DATASETS.TRAIN", "()"], "DATASETS.TRAIN is empty: name the images the statistics"),
        (["DATASETS.TEST", "()"], "DATASETS.TEST is empty"),
        (["DISCOVERY.REPRESENTER.SAMPLING_RATIO", "0.1"], "0.1 of 6 images takes no image"),
    ],
)
def test_mistakes_are_one_line(tree, changes, line, capsys):
    assert evaluated(tree, "demo/representer.yaml", *changes)[0] == 2
    assert line in capsys.readouterr().err


def test_nothing_learns(tree, capsys):
    config = str(shipped_configs() / "demo/representer.yaml")
    assert tool("train_net").main(["--config-file", config, "OUTPUT_DIR", str(tree / "o")]) == 2
    assert "RepresenterPoints does not learn: add --eval-only" in capsys.readouterr().err


def test_unreadable_images_are_counted(tree, caplog):
    (tree / "data/cat/0.png").write_bytes(b"no image")
    with caplog.at_level("INFO", logger="boxrefine_d2"):
        assert evaluated(tree, "demo/representer.yaml")[0] == 0
    assert "5 images; 1 could not be read" in caplog.text
