"""Statistics of the probe compared with NumPy, and its command on scenes."""

import numpy as np
import pytest
import torch
from PIL import Image

from boxrefine_d2.errors import UserError
from boxrefine_d2.pseudo_labels import DiscoverySettings
from boxrefine_d2.report import probe as probing
from boxrefine_d2.report.probe import edge_thresh, probe, statistics
from boxrefine_d2.report.probe_figure import (
    PANEL,
    ProbedImage,
    draw,
    principal_components,
    scaled,
)
from boxrefine_d2.structures import FeatureMap, PseudoBoxes


def a_map(h, w, channels=6, seed=0) -> FeatureMap:
    data = torch.randn(1, channels, h, w, generator=torch.Generator().manual_seed(seed))
    return FeatureMap(data, 16, [(16 * h, 16 * w - 5)])


def test_statistics_equal_numpy():
    maps = [a_map(4, 5), a_map(3, 7, seed=1)]
    result = statistics(maps, tau=0.2)
    cells = [m.data[0].flatten(1).T.double().numpy() for m in maps]
    norms = np.concatenate([np.linalg.norm(c, axis=1) for c in cells])
    np.testing.assert_allclose(
        [result.norm_mean, result.norm_std, result.norm_min, result.norm_max],
        [norms.mean(), norms.std(), norms.min(), norms.max()],
        rtol=1e-5,
    )
    cosines = []
    for c in cells:
        unit = c / np.linalg.norm(c, axis=1, keepdims=True)
        cosines.append((unit @ unit.T)[~np.eye(len(c), dtype=bool)])
    assert result.cosine == pytest.approx(np.mean([c.mean() for c in cosines]), abs=1e-6)
    assert result.edges == pytest.approx(np.mean([(c > 0.2).mean() for c in cosines]), abs=1e-6)


def test_planted_outliers_are_counted_in_their_own_image():
    """Two of 20 cells are ten times as long as the others; all cells of another image are long."""
    features, long = a_map(4, 5), a_map(4, 5, seed=3)
    features.data = torch.nn.functional.normalize(features.data, dim=1)
    features.data = features.data * torch.linspace(0.9, 1.1, 20).view(1, 1, 4, 5)
    long.data = 10 * features.data
    features.data[0, :, 1, 2] *= 10
    features.data[0, :, 3, 0] *= 10
    assert statistics([features], 0.2).outliers == pytest.approx(2 / 20)
    assert statistics([features, long], 0.2).outliers == pytest.approx(2 / 40)


def test_equal_cells_have_all_edges_and_one_cell_works():
    alike = FeatureMap(torch.ones(1, 4, 3, 3), 16, [(48, 48)])
    result = statistics([alike], 0.99)
    assert (result.cosine, result.edges, result.outliers) == (pytest.approx(1), 1, 0)
    assert statistics([a_map(1, 1)], 0.2).cosine == pytest.approx(1)


def test_large_maps_are_subsampled(monkeypatch):
    monkeypatch.setattr(probing, "MOST_CELLS", 3)
    features = a_map(1, 9)
    cells = features.data[0, :, 0, [0, 4, 8]].T
    unit = torch.nn.functional.normalize(cells, dim=1)
    expected = (unit @ unit.T)[~torch.eye(3, dtype=torch.bool)].mean()
    assert statistics([features], 0.2).cosine == pytest.approx(expected.item(), abs=1e-6)


def test_the_edge_threshold_is_that_of_the_rule():
    assert edge_thresh(DiscoverySettings("lost")) == 0
    assert edge_thresh(DiscoverySettings("tokencut")) == 0.2
    assert edge_thresh(DiscoverySettings("maskcut")) == 0.15
    assert edge_thresh(DiscoverySettings("tokencut", parameters={"tau": 0.5})) == 0.5
    assert edge_thresh(DiscoverySettings("representer")) == 0.2


def test_principal_components_equal_the_singular_vectors():
    features = a_map(5, 6)
    cells = features.data[0].flatten(1).T.double().numpy()
    centred = cells - cells.mean(axis=0)
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    result = principal_components(features)
    assert result.shape == (3, 5, 6)
    for component, vector, size in zip(result.reshape(3, -1), u.T, s, strict=False):
        assert component[np.abs(component).argmax()] > 0
        np.testing.assert_allclose(np.abs(component), np.abs(vector) * size, atol=1e-6)
    assert not principal_components(a_map(5, 6, channels=2))[2].any()


def test_scaled_clips_tails_and_stays_in_range():
    values = np.arange(10000, dtype=float).reshape(100, 100)
    values[0, 0] = 1e9
    result = scaled(values)
    assert result.min() == 0 and result.max() == 1
    assert result[50, 0] == pytest.approx(0.5, abs=0.01)
    assert not scaled(np.ones((3, 3))).any()


def test_the_figure_shows_maps_without_padding_and_boxes_in_place():
    """The grid has 3 x 6 cells; the image of 40 x 80 lacks a column and half of the last row."""
    data = torch.zeros(1, 2, 3, 6)
    data[0, 0, :, 5] = 100  # padding only
    data[0, 1, 0, 0] = 1
    features = FeatureMap(data, 16, [(40, 80)])
    boxes = PseudoBoxes(torch.tensor([[0.0, 0.0, 40.0, 20.0]]), torch.ones(1), (40, 80))
    image = torch.full((3, 40, 80), 200.0)
    sheet = np.asarray(draw([ProbedImage("a.jpg", image, features, boxes)]))
    panel = sheet[18:, 6 : 6 + PANEL[0]]
    assert (panel[30, 70] == 200).all()  # the image
    assert (panel[0, 5] != 200).any()  # the upper side of the box
    column = 6 + 3 * (PANEL[0] + 6)
    norm = sheet[18 : 18 + 40, column : column + 80].astype(int)
    yellow = (norm[..., 0] > 200) & (norm[..., 1] > 200) & (norm[..., 2] < 100)
    assert not yellow[:, 70:].any()  # long cells of the padding are not shown


SETTINGS = DiscoverySettings("lost", backbone="dino_mini")


def test_probe_draws_five_images_beside_the_output(tmp_path):
    text = probe("scenes:val+first=7", tmp_path / "out" / "boxes.json", SETTINGS)
    lines = text.splitlines()
    assert lines[0].startswith("dino_mini, lost, 5 images: val/000000, ")
    assert [line.split()[0] for line in lines[2:6]] == ["key", "query", "value", "output"]
    assert lines[-1] == f"figure: {tmp_path / 'out' / 'boxes.probe.png'}"
    with Image.open(tmp_path / "out" / "boxes.probe.png") as figure:
        assert figure.width > 4 * PANEL[0] and figure.height > 5 * PANEL[1]
    assert not (tmp_path / "out" / "boxes.json").exists()
    key = [float(number.rstrip("%")) for number in lines[2].split()[1:]]
    assert key[2] < key[0] < key[3] and 0 < key[6] < 100
    assert all(len(line) <= 100 for line in lines[1:-1])


def test_probe_reads_the_facet_of_the_rule(tmp_path):
    dino_seg = DiscoverySettings("dino_seg", backbone="dino_mini", parameters={"head": 1})
    assert "\nattention " in probe("scenes:val+first=1", tmp_path / "a.json", dino_seg)
    representer = DiscoverySettings("representer", backbone="dino_mini")
    assert "1 images" in probe("scenes:val+first=1", tmp_path / "b.json", representer)


def test_unreadable_images_are_replaced_and_named(tmp_path, caplog):
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "a.jpg").write_text("no image")
    Image.new("RGB", (64, 48), (90, 120, 40)).save(photos / "b.png")
    text = probe(f"folder:{photos}", tmp_path / "x.json", SETTINGS)
    assert "1 images: b.png" in text.splitlines()[0]
    assert any("a.jpg" in record.getMessage() for record in caplog.records)
    (photos / "b.png").unlink()
    with pytest.raises(UserError, match="none of the 1 images can be read"):
        probe(f"folder:{photos}", tmp_path / "x.json", SETTINGS)


def test_mistakes_are_one_line(tmp_path):
    with pytest.raises(UserError, match="device 'cuda:99' cannot be used"):
        probe("scenes:val+first=1", tmp_path / "x.json", SETTINGS, "cuda:99")
    with pytest.raises(UserError, match="reads the facet"):
        mask_rule = DiscoverySettings("move", backbone="dino_mini")
        probe("scenes:val+first=1", tmp_path / "x.json", mask_rule)
