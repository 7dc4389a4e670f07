"""Explanations of a point, against a plain implementation that holds all features."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from boxrefine_d2.analysis import explainer as module
from boxrefine_d2.analysis.explainer import ExplainerSettings, PointExplainer, record_of
from boxrefine_d2.data import load_spec
from boxrefine_d2.errors import UserError
from boxrefine_d2.networks import build_backbone, read_map


@pytest.fixture
def folder(tmp_path):
    """Write images of three sizes, and one file that is no image."""
    root = tmp_path / "images"
    root.mkdir()
    rng = np.random.default_rng(0)
    for number, (height, width) in enumerate([(40, 60), (64, 48), (40, 60), (33, 47)]):
        pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / f"{number}.png")
    (root / "x.png").write_bytes(b"no image")
    return root


def settings(folder, **changes):
    return ExplainerSettings(f"folder:{folder}", "dino_mini", "random:0", **changes)


def explained(folder, point=(20.0, 30.0), highest=4, lowest=3, **changes):
    record = record_of(f"folder:{folder}", "1.png")
    explainer = PointExplainer(settings(folder, **changes))
    return explainer.explain(record, point, highest=highest, lowest=lowest)


def plain_points(folder, facet):
    """Return (name, row, column, feature) of every point."""
    network, points = build_backbone("dino_mini", "random:0"), []
    for name in ("0.png", "1.png", "2.png", "3.png"):
        image = torch.from_numpy(np.array(Image.open(folder / name))).permute(2, 0, 1)
        with torch.no_grad():
            data = read_map([image], network, facet).data[0].double()
        for row in range(data.shape[1]):
            points += [(name, row, c, data[:, row, c]) for c in range(data.shape[2])]
    return points


@pytest.mark.parametrize("facet", ["key", "output"])
def test_the_points_are_those_of_the_formulas(folder, facet):
    found, points = explained(folder, facet=facet), plain_points(folder, facet)
    f = torch.stack([feature for *_, feature in points])
    norms = f.norm(dim=1)
    v, u = f.sum(dim=0), (f / norms[:, None]).sum(dim=0)
    tau = v.norm() / u.norm()
    tested = next(x for name, row, c, x in points if (name, row, c) == ("1.png", 1, 1))
    direction = tested / tested.norm()
    similarity, importance = f @ direction / norms, norms - tau
    values = (similarity * importance).tolist()
    order = sorted(range(len(points)), key=values.__getitem__)
    assert found.info["tau"] == pytest.approx(tau.item(), rel=1e-6)
    assert found.info["base_points"] == len(points)
    for kept, expected in ((found.highest, order[::-1][:4]), (found.lowest, order[:3])):
        for point, i in zip(kept, expected, strict=True):
            name, row, column, _ = points[i]
            assert found.images[point.image_id].name == name
            assert (point.cell.row, point.cell.column) == (row, column)
            assert point.similarity == pytest.approx(similarity[i].item(), abs=1e-5)
            assert point.importance == pytest.approx(importance[i].item(), abs=1e-4)
            assert point.value == pytest.approx(values[i], abs=1e-4)
    assert found.activation == pytest.approx(sum(values), rel=1e-4)
    assert found.excitatory + found.inhibitory == pytest.approx(found.activation, rel=1e-4)


def test_maps_and_cells_belong_together(folder):
    found = explained(folder)
    assert found.cell.box == (16, 16, 32, 32)
    for point in [*found.highest, *found.lowest]:
        image = found.images[point.image_id]
        for name in ("similarity", "importance", "value"):
            drawn = image.maps[name][point.cell.row, point.cell.column]
            assert drawn == pytest.approx(getattr(point, name), abs=1e-5)
        x1, y1, x2, y2 = point.cell.box
        height, width = image.image.shape[:2]
        assert 0 <= x1 < x2 <= width and 0 <= y1 < y2 <= height
        assert x1 == 16 * point.cell.column and y1 == 16 * point.cell.row


def test_an_image_that_was_reduced_keeps_its_own_pixels(folder):
    found = explained(folder, point=(40.0, 60.0), max_side=32)  # 64 x 48 becomes 32 x 24
    assert (found.cell.row, found.cell.column) == (1, 1)
    assert found.cell.box == (32, 32, 48, 64)


def test_images_are_read_once_a_pass_and_few_values_are_kept(folder, monkeypatch):
    kept, read = [], []
    real_add, real_read = module.ExtremePoints.add, module.read_map

    def add(self, places, parts):
        real_add(self, places, parts)
        kept.append(len(self.highest) + len(self.lowest))

    def counted(images, *rest):
        read.append(len(images))
        return real_read(images, *rest)

    monkeypatch.setattr(module, "BATCH_SIZE", 1)
    monkeypatch.setattr(module.ExtremePoints, "add", add)
    monkeypatch.setattr(module, "read_map", counted)
    found = explained(folder, highest=2, lowest=1)
    assert kept == [3, 3, 3, 3]
    assert sum(read) == 4 + 1 + 4 + len(found.images)  # statistics, the image, values, drawings


def test_images_that_cannot_be_read_are_counted(folder):
    info = explained(folder).info
    assert info["base_images"] == 4
    assert list(info["base_images_failed"]) == [str(folder / "x.png")]


def test_the_json_holds_every_number(folder):
    found = explained(folder)
    content = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert content["cell"] == {"row": 1, "column": 1, "bbox": [16, 16, 16, 16]}
    assert content["image"]["file_name"] == "1.png"
    assert [x["value"] for x in content["top"]] == [p.value for p in found.highest]
    assert content["info"]["weights"]["source"] == "random:0"
    rows = found.to_text().splitlines()[2:]
    assert [row.split()[0] for row in rows] == ["top"] * 4 + ["bottom"] * 3
    assert rows[0].split()[-1] == f"{found.highest[0].value:+.4f}"


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            {"point": (48.0, 0.0)},
            "point 48,0 is outside of 1.png, 48 x 64 pixels; x is from 0 to 47",
        ),
        ({"facet": "mask"}, "dino_mini has no facet 'mask'"),
        ({"parameters": {"importance": "norm_only"}}, "norm_only compares with no other point"),
        ({"parameters": {"sampling_ratio": 0.5}}, "sampling_ratio is 0.5"),
        ({"parameters": {"cell": 1}}, "representer has no parameter 'cell'"),
    ],
)
def test_mistakes_are_one_line(folder, changes, line):
    with pytest.raises(UserError, match=line):
        explained(folder, **changes)


def test_data_without_readable_images_are_a_line(folder, tmp_path):
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "x.png").write_bytes(b"no image")
    with pytest.raises(UserError, match="no image was observed"):
        PointExplainer(settings(tmp_path / "bad"))


def test_an_image_is_found_by_name_or_id(folder):
    records = load_spec(f"folder:{folder}").records
    for name in ("2.png", str(folder / "2.png")):
        assert record_of(f"folder:{folder}", name)["relative_name"] == "2.png"
    assert record_of("kinds:val+first=3", "1000002")["relative_name"] == "val/000001"
    with pytest.raises(UserError, match=f"no such image among its {len(records)}; it has '2.png'"):
        record_of(f"folder:{folder}", "2.jpg")
