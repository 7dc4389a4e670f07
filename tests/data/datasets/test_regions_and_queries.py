"""Visual Genome and ReferIt in small made-up trees, and pickles that would run code."""

import json
import pickle

import pytest
from PIL import Image

from boxrefine_d2.data import load_spec
from boxrefine_d2.errors import UserError


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    return tmp_path


def write_image(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (100, 80)).save(path)


def region(number, phrase, x, y, width, height):
    return {"region_id": number, "phrase": phrase, "x": x, "y": y, "width": width, "height": height}


@pytest.fixture
def genome(root):
    folder = root / "visual_genome"
    for name in (5, 7, 9):
        write_image(folder / "VG_Images" / f"{name}.jpg")
    regions = [
        {"id": 9, "regions": [region(1, "A Red bird", 10, 20, 30, 40)]},
        {
            "id": 5,
            "regions": [
                region(3, "Sky", 0, 0, 100, 80),
                region(4, "a dot", 0, 0, 20, 20),  # 400 of 8000 pixels are not more than 5 %
                region(5, "word " * 79 + "word", 0, 0, 90, 80),
                region(6, "word " * 78 + "word", 0, 0, 90, 80),
            ],
        },
        {"id": 7, "regions": [region(2, "train only", 0, 0, 50, 50)]},
    ]
    (folder / "VG_Annotations").mkdir()
    (folder / "VG_Annotations/region_descriptions.json").write_text(json.dumps(regions))
    with (folder / "VG_Annotations/data_splits.pickle").open("wb") as file:
        pickle.dump({"train": {7}, "test": {5, 9}}, file, protocol=2)
    return folder


def test_regions_of_a_split(genome):
    first, second = load_spec("visual_genome_test").records
    assert [a["annotation_id"] for a in first["annotations"]] == [3, 6]
    assert [a["phrase"] for a in first["annotations"]][0] == "sky"
    assert (second["image_id"], second["height"], second["width"]) == (9, 80, 100)
    assert second["annotations"][0]["bbox"] == [10, 20, 40, 60]
    assert second["annotations"][0]["phrase"] == "a red bird"
    assert len(load_spec("visual_genome_train").records) == 1


def test_queries_of_a_split(root):
    folder = root / "referit"
    for path in ("02/images/2001.jpg", "38/images/38014.jpg"):
        write_image(folder / "ReferIt_Images" / path)
    images = {
        "38014": {"annotations": [{"query": "man on the left", "bbox": [[0, 0, 50, 80]]}]},
        "2001": {
            "annotations": [
                {"query": "tiny", "bbox": [[0, 0, 20, 20]]},
                {"query": "sky", "bbox": [[0, 0, 100, 30]]},
            ]
        },
    }
    (folder / "annotations").mkdir()
    with (folder / "annotations/test.pickle").open("wb") as file:
        pickle.dump(images, file)
    first, second = load_spec("referit_test").records
    assert first["image_id"] == 2001 and second["relative_name"] == "38/images/38014.jpg"
    assert [(a["annotation_id"], a["phrase"]) for a in first["annotations"]] == [(1, "sky")]
    assert second["annotations"][0]["bbox"] == [0, 0, 50, 80]


class Harmful:
    def __reduce__(self):
        return (print, ("run",))


def test_a_pickle_that_would_run_code_is_refused(genome, capsys):
    path = genome / "VG_Annotations/data_splits.pickle"
    path.write_bytes(pickle.dumps({"test": Harmful()}))
    with pytest.raises(UserError, match=r"is no pickle of plain data: it names builtins\.print"):
        load_spec("visual_genome_test")
    assert capsys.readouterr().out == ""
    path.write_bytes(pickle.dumps({"val": {1}}))
    with pytest.raises(UserError, match="has no split 'test'; it has val"):
        load_spec("visual_genome_test")
    path.unlink()
    with pytest.raises(UserError, match="data_splits.pickle' does not exist"):
        load_spec("visual_genome_test")
