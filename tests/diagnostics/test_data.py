from boxrefine_d2.data.datasets.registered import NAMED_DATASETS
from boxrefine_d2.diagnostics import MISSING, OK
from boxrefine_d2.diagnostics.data import data_findings, data_folder


def states(monkeypatch, folder):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(folder))
    return {finding.name: finding for finding in data_findings()}


def test_an_empty_folder_has_no_data_set(monkeypatch, tmp_path):
    findings = states(monkeypatch, tmp_path)
    assert set(findings) == set(NAMED_DATASETS)
    assert {finding.state for finding in findings.values()} == {MISSING}
    assert findings["voc_2012_val"].value == "VOC2012 is not there"
    assert data_folder() == str(tmp_path)


def test_data_sets_are_found_by_the_paths_that_their_loaders_open(monkeypatch, tmp_path):
    for folder in (
        "VOC2007/ImageSets/Main",
        "VOC2007/Annotations",
        "VOC2007/JPEGImages",
        "coco/annotations",
        "coco/train2014",
    ):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "VOC2007/ImageSets/Main/trainval.txt").touch()
    (tmp_path / "coco/annotations/instances_train2014.json").touch()
    findings = states(monkeypatch, tmp_path)
    ready = {name for name, finding in findings.items() if finding.state == OK}
    assert ready == {"voc_2007_trainval", "coco_2014_train"}
    assert findings["voc_2007_trainval"].value == "VOC2007"
    assert findings["voc_2007_test"].value == "VOC2007/ImageSets/Main/test.txt is not there"
    assert findings["coco20k"].value == "coco/coco20k.txt is not there"
    assert findings["coco_2017_val"].value == "coco/annotations/instances_val2017.json is not there"
