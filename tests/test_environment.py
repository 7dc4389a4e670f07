"""Smoke tests of the installed Detectron2, and of the script that builds it."""

import argparse
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2 import _C, model_zoo
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets.pascal_voc import load_voc_instances
from detectron2.engine import default_setup
from detectron2.evaluation import COCOEvaluator
from detectron2.modeling import build_model
from detectron2.structures import Boxes, BoxMode, Instances
from detectron2.utils.events import EventStorage
from PIL import Image

from boxrefine_d2.tools import build_detectron2
from boxrefine_d2.tools.build_detectron2 import BuildError, Edit

C4_CONFIG = "COCO-Detection/faster_rcnn_R_50_C4_1x.yaml"


@pytest.fixture
def dataset_name():
    name = "test_environment"
    yield name
    DatasetCatalog.pop(name, None)
    MetadataCatalog.pop(name, None)


def test_default_setup_writes_config_and_log(tmp_path):
    cfg = model_zoo.get_config(C4_CONFIG)
    assert cfg.MODEL.ROI_HEADS.NAME == "Res5ROIHeads"
    cfg.OUTPUT_DIR = str(tmp_path)
    default_setup(cfg, argparse.Namespace())
    assert (tmp_path / "config.yaml").stat().st_size > 0
    assert "Environment info" in (tmp_path / "log.txt").read_text()


def test_model_zoo_names_an_unknown_config():
    with pytest.raises(RuntimeError, match=r"no_such\.yaml"):
        model_zoo.get_config_file("no_such.yaml")


def test_faster_rcnn_c4_takes_a_training_step():
    torch.manual_seed(0)
    cfg = model_zoo.get_config(C4_CONFIG)
    cfg.MODEL.DEVICE = "cpu"
    cfg.MODEL.RESNETS.NORM = "BN"  # random weights overflow with frozen norms
    cfg.MODEL.BACKBONE.FREEZE_AT = 0
    cfg.MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE = 8
    model = build_model(cfg)
    image = torch.randint(0, 256, (3, 96, 128), dtype=torch.uint8)
    record = {
        "image": image,
        "height": 96,
        "width": 128,
        "instances": Instances(
            (96, 128),
            gt_boxes=Boxes(torch.tensor([[16.0, 8.0, 80.0, 72.0]])),
            gt_classes=torch.tensor([3]),
        ),
    }
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    before = model.backbone.stem.conv1.weight.detach().clone()
    with EventStorage():
        loss = sum(model([record]).values())
    loss.backward()
    optimizer.step()
    assert torch.isfinite(loss)
    assert not torch.equal(model.backbone.stem.conv1.weight, before)
    with torch.no_grad():
        (output,) = model.eval()([{"image": image, "height": 48, "width": 64}])
    assert output["instances"].image_size == (48, 64)


def test_voc_loader_reads_a_tree(tmp_path):
    for folder in ("Annotations", "ImageSets/Main", "JPEGImages"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "ImageSets/Main/trainval.txt").write_text("000005\n000007\n")
    for image_id in ("000005", "000007"):
        Image.new("RGB", (50, 40)).save(tmp_path / f"JPEGImages/{image_id}.jpg")
        (tmp_path / f"Annotations/{image_id}.xml").write_text(
            "<annotation><size><width>50</width><height>40</height></size><object><name>dog</name>"
            "<bndbox><xmin>1</xmin><ymin>3</ymin><xmax>20</xmax><ymax>30</ymax></bndbox>"
            "</object></annotation>"
        )
    records = load_voc_instances(str(tmp_path), "trainval", ["cat", "dog"])
    assert [record["image_id"] for record in records] == ["000005", "000007"]
    (annotation,) = records[0]["annotations"]
    assert annotation["category_id"] == 1
    assert annotation["bbox"] == [0.0, 2.0, 20.0, 30.0]  # one-based inclusive to half-open


def test_default_coco_evaluator_gives_an_ap_of_100_and_of_0(tmp_path, dataset_name):
    """Category 0 is predicted exactly (AP 100), category 1 elsewhere (AP 0); the mean is 50."""
    boxes = {0: [4.0, 4.0, 24.0, 34.0], 1: [10.0, 10.0, 30.0, 20.0]}
    records = [
        {
            "file_name": "unread.png",
            "image_id": image_id,
            "height": 40,
            "width": 50,
            "annotations": [
                {"bbox": boxes[image_id], "bbox_mode": BoxMode.XYXY_ABS, "category_id": image_id}
            ],
        }
        for image_id in (0, 1)
    ]
    DatasetCatalog.register(dataset_name, lambda: records)
    MetadataCatalog.get(dataset_name).set(thing_classes=["right", "wrong"])
    evaluator = COCOEvaluator(dataset_name, output_dir=str(tmp_path))
    evaluator.reset()
    predictions = [(boxes[0], 0), ([40.0, 30.0, 50.0, 40.0], 1)]
    for record, (box, category) in zip(records, predictions):
        instances = Instances(
            (40, 50),
            pred_boxes=Boxes(torch.tensor([box])),
            pred_classes=torch.tensor([category]),
            scores=torch.tensor([0.9]),
        )
        evaluator.process([record], [{"instances": instances}])
    results = evaluator.evaluate()["bbox"]
    np.testing.assert_allclose(
        [results[key] for key in ("AP", "AP50", "AP-right", "AP-wrong")],
        [50, 50, 100, 0],
        atol=1e-6,
    )


@pytest.mark.skipif(
    not getattr(_C, "IS_STAND_IN", False), reason="this Detectron2 has its compiled operators"
)
def test_stand_in_names_the_missing_operator():
    from detectron2.layers import batched_nms_rotated

    assert _C.get_compiler_version() == _C.get_cuda_version() == "not built"
    assert _C.has_cuda() is False
    with pytest.raises(NotImplementedError, match=r"nms_rotated.*official build"):
        batched_nms_rotated(torch.rand(3, 5), torch.rand(3), torch.zeros(3, dtype=torch.int64), 0.5)


def test_edits_change_every_place_and_mark_the_file(tmp_path):
    (tmp_path / "a.py").write_text("x = np.int(np.int(1))\ny = 2\n")
    build_detectron2.apply_edits(
        tmp_path, [Edit("a.py", "np.int(", "int(", 2), Edit("a.py", "y = 2", "y = 3")]
    )
    assert (tmp_path / "a.py").read_text() == build_detectron2.NOTICE + "x = int(int(1))\ny = 3\n"


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (Edit("a.py", "absent", ""), r"a\.py: 'absent' found 0 times, expected 1"),
        (Edit("a.py", "x", "", 1), r"a\.py: 'x' found 2 times, expected 1"),
        (Edit("b.py", "x", ""), r"b\.py: no such file"),
    ],
)
def test_an_edit_that_does_not_apply_raises_and_changes_nothing(tmp_path, edit, message):
    (tmp_path / "a.py").write_text("x = x\n")
    with pytest.raises(BuildError, match=message):
        build_detectron2.apply_edits(tmp_path, [Edit("a.py", "=", "+="), edit])
    assert (tmp_path / "a.py").read_text() == "x = x\n"


def write_official_tree(root: Path) -> None:
    """Write a tree like the official tag: the model zoo's yaml files are in a top-level folder."""
    for path in ("detectron2/model_zoo", "configs/COCO", *build_detectron2.PROJECTS.values()):
        (root / path).mkdir(parents=True)
        (root / path / "__init__.py").touch()
    (root / "detectron2/__init__.py").write_text(f'__version__ = "{build_detectron2.VERSION}"\n')
    (root / "configs/COCO/tiny.yaml").write_text("VERSION: 2\n")
    (root / "LICENSE").touch()


def test_a_folder_with_the_official_tag_builds_a_wheel(tmp_path, monkeypatch):
    write_official_tree(tmp_path / "tag")
    monkeypatch.setattr(build_detectron2, "EDITS", ())
    (tmp_path / "scratch").mkdir()
    wheel = tmp_path / "kept" / build_detectron2.WHEEL_NAME
    build_detectron2.build_wheel(tmp_path / "tag", tmp_path / "scratch", wheel)
    with zipfile.ZipFile(wheel) as packed:
        names = set(packed.namelist())
    assert {
        "detectron2/_C.py",
        "detectron2/BUILD_RECORD.json",
        "detectron2/model_zoo/configs/COCO/tiny.yaml",
        "detectron2/projects/point_rend/__init__.py",
    } <= names


def test_a_wrong_folder_is_refused_in_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(build_detectron2, "find_installed", lambda: None)
    argv = ["--source", str(tmp_path), "--build-dir", str(tmp_path / "build")]
    assert build_detectron2.main(argv) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert str(tmp_path) in line and "detectron2/__init__.py" in line


def test_an_archive_that_cannot_be_fetched_names_the_other_way(tmp_path, monkeypatch, capsys):
    def no_network(*arguments):
        raise BuildError("pip download: no matching distribution")

    monkeypatch.setattr(build_detectron2, "find_installed", lambda: None)
    monkeypatch.setattr(build_detectron2, "run_pip", no_network)
    assert build_detectron2.main(["--build-dir", str(tmp_path / "build")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "no matching distribution" in line and "--source DIR" in line
    assert not (tmp_path / "build").exists()


def test_an_official_build_is_left_alone(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(build_detectron2, "find_installed", lambda: tmp_path)
    monkeypatch.setattr(build_detectron2, "run_pip", lambda *arguments: pytest.fail("ran pip"))
    assert build_detectron2.main(["--build-dir", str(tmp_path / "build")]) == 0
    assert f"importable already ({tmp_path})" in capsys.readouterr().out
