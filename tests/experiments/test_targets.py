"""The table of choices: it is resumable, and its numbers are those of the files."""

import pytest
from detectron2.structures import BoxMode

from boxrefine_d2.data import read_pseudo_labels, write_pseudo_labels
from boxrefine_d2.evaluation import GroundTruth

DATA = "scenes:val+first=2"
LEFT, RIGHT = [0, 0, 10, 10], [50, 0, 10, 10]


@pytest.fixture
def script(load_script):
    return load_script("targets")


def test_each_choice_has_a_cell_and_a_second_run_computes_nothing(
    script, tmp_path, monkeypatch, capsys
):
    """The slow rules are left out; the views stay."""
    monkeypatch.setitem(script.FILES, "maskcut", script.FILES["lost"])
    words = ["--data", DATA, "--output", str(tmp_path)]
    assert script.main(words) == 0
    table = capsys.readouterr().out
    rows = [line for line in table.splitlines() if line.startswith("| ")]
    assert [row.split(" | ")[0][2:] for row in rows[2:]] == list(script.CHOICES)
    assert f"`{DATA}`, 2 images" in rows[0]
    assert f"`python experiments/targets.py --data {DATA} --output {tmp_path}`, commit " in table
    assert (tmp_path / "table.md").read_text() == table
    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.json")}
    assert {path.stem for path in files} >= {"lost", "crop_0.8", "absorption"}
    [mirrored] = tmp_path.rglob("mirrored.json")
    assert read_pseudo_labels(mirrored).info["view"] == "mirrored"
    monkeypatch.setattr(script.cli, "main", lambda words: pytest.fail("computed again"))
    assert script.main(words) == 0
    assert capsys.readouterr().out == table
    assert files == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.json")}


@pytest.fixture
def truth():
    marks = {"bbox": [0, 0, 10, 10], "bbox_mode": BoxMode.XYXY_ABS, "category_id": 0}
    size = {"height": 100, "width": 100}
    return GroundTruth(
        "made",
        [size | {"image_id": i, "file_name": f"{i}.jpg", "annotations": [marks]} for i in (1, 2)],
    )


def written(path, boxes):
    """Write one box for each image."""
    images = [{"id": i, "file_name": f"{i}.jpg", "height": 100, "width": 100} for i in boxes]
    labels = [{"image_id": i, "bbox": box, "score": 1.0} for i, box in boxes.items()]
    write_pseudo_labels(path, images=images, annotations=labels, info={})
    return path


def test_a_cell_holds_the_images_kept_and_their_precision(script, tmp_path, truth):
    files = {
        "lost": written(tmp_path / "lost.json", {1: LEFT, 2: RIGHT}),
        "tokencut": written(tmp_path / "tokencut.json", {1: LEFT, 2: [70, 70, 5, 5]}),
    }
    assert script.measure(files, "lost", 0.5, truth) == "2, 50.0 %"
    assert script.measure(files, "lost, where tokencut agrees", 0.5, truth) == "1, 100.0 %"
    files["tokencut"] = written(tmp_path / "other.json", {1: RIGHT, 2: LEFT})
    assert script.measure(files, "lost, where tokencut agrees", 0.5, truth) == "0"


def test_mistakes_are_one_line(script, tmp_path, photographs, capsys):
    assert script.main(["--data", f"folder:{photographs}", "--output", str(tmp_path)]) == 2
    assert "has no labels" in capsys.readouterr().err
    document = ["--data", DATA, "--output", str(tmp_path), "--backbone", "nothing"]
    assert script.main(document) == 2
    assert "failed; see its messages above" in capsys.readouterr().err
