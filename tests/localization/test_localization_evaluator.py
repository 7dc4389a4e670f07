"""Evaluator of sources: boxes in the frame of the image, maps in that of the whole, and faults."""

import json
import shutil

import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog

from boxrefine_d2.config import boxrefine_cfg
from boxrefine_d2.data.dataset_spec import register_spec
from boxrefine_d2.data.mappers.classified import ClassTestMapper
from boxrefine_d2.errors import UserError
from boxrefine_d2.localization.class_model import ClassAnswer
from boxrefine_d2.localization.localization_evaluator import LocalizationEvaluator, whole_map
from boxrefine_d2.localization.sources import sources_of
from boxrefine_d2.structures import ResizedCrop

RESIZE, CROP = 40, 32


@pytest.fixture
def evaluator(tree, tmp_path):
    def build(*sources, spec=f"classes:{tree}"):
        cfg = boxrefine_cfg()
        cfg.LOCALIZATION.SOURCES = [list(words) for words in sources]
        return LocalizationEvaluator(
            register_spec(spec),
            sources=sources_of(cfg),
            output_dir=tmp_path / "inference",
            info={"method": "Scripted"},
            seed_threshold=0.6,
        )

    return build


@pytest.fixture
def inputs(tree):
    mapper = ClassTestMapper(resize=RESIZE, crop=CROP)
    return [mapper(record) for record in DatasetCatalog.get(register_spec(f"classes:{tree}"))]


def block(y0, x0, y1, x1):
    heatmap = torch.zeros(CROP, CROP)
    heatmap[y0:y1, x0:x1] = 1.0
    return heatmap


def answers(inputs, labels=(2, 0, 1), heatmap=None):
    heatmap = block(8, 4, 24, 20) if heatmap is None else heatmap
    return [{"answer": ClassAnswer({"cam": heatmap}, list(labels), 0.5)} for _ in inputs]


def test_boxes_are_in_pixels_of_the_image_and_maps_in_the_resized_frame(
    evaluator, inputs, tmp_path
):
    each = evaluator(["cam"])
    each.process(inputs, answers(inputs))
    each.evaluate()
    folder = tmp_path / "inference" / "cam"
    entries = json.loads((folder / "localization.json").read_text())
    by_id = {entry["image_id"]: entry for entry in entries}
    for x in inputs:
        entry = by_id[x["image_id"]]
        # the crop starts 4 pixels inside the resized square of 40 pixels
        scale = np.array([x["width"], x["height"]]) / RESIZE
        expected = [*(scale * (8, 12)), *(scale * (16, 16))]
        assert entry["bbox"] == pytest.approx(expected, abs=1e-6)
        assert (entry["labels"], entry["score"]) == ([3, 1, 2], 0.5)
        heatmap = np.load(folder / entry["heatmap"])["map"]
        assert np.argwhere(heatmap).min(0).tolist() == [12, 8]
        assert heatmap.shape == (40, 40) and heatmap.sum() == 256


def test_metrics_count_what_the_labels_allow(evaluator, inputs, tmp_path):
    each = evaluator(["cam"])
    each.process(inputs, answers(inputs))
    [results] = each.evaluate().values()
    # the first label is red for all images, and a third of them are red
    assert results["top1_cls"] == pytest.approx(100 / 3) and results["top5_cls"] == 100
    assert {"gt_known", "top1_loc", "maxboxacc_v2", "pxap"} <= set(results)
    written = json.loads((tmp_path / "inference/cam/metrics.json").read_text())
    assert written["method"] == "Scripted" and written["top1_cls"] == results["top1_cls"]


def test_without_boxes_only_classes_are_scored(evaluator, tree, tmp_path):
    copied = tmp_path / "unboxed"
    shutil.copytree(tree, copied)
    (copied / "annotations.json").unlink()
    spec = f"classes:{copied}"
    mapper = ClassTestMapper(resize=RESIZE, crop=CROP)
    given = [mapper(record) for record in DatasetCatalog.get(register_spec(spec))]
    each = evaluator(["cam"], spec=spec)
    each.process(given, answers(given))
    assert set(each.evaluate()["cam"]) == {"top1_cls", "top5_cls"}


def test_the_first_output_of_a_repeated_image_counts(evaluator, inputs, tmp_path):
    each = evaluator(["cam"])
    each.process(inputs, answers(inputs))
    each.process(inputs[:2], answers(inputs[:2], labels=(0,)))
    each.evaluate()
    entries = json.loads((tmp_path / "inference/cam/localization.json").read_text())
    assert len(entries) == len(inputs) and all(len(entry["labels"]) == 3 for entry in entries)


def test_an_empty_map_gives_the_box_of_the_crop(evaluator, inputs, tmp_path):
    each = evaluator(["cam"])
    each.process(inputs[:1], answers(inputs[:1], heatmap=torch.zeros(CROP, CROP)))
    each.evaluate()
    [entry] = json.loads((tmp_path / "inference/cam/localization.json").read_text())
    scale = np.array([inputs[0]["width"], inputs[0]["height"]]) / RESIZE
    assert entry["bbox"] == pytest.approx([*(scale * 4), *(scale * 32)])


def test_a_map_that_the_model_does_not_draw_is_a_line(evaluator, inputs):
    with pytest.raises(UserError, match="this model does not draw 'tokencut'; it draws cam"):
        evaluator(["tokencut"]).process(inputs, answers(inputs))


def test_a_class_that_the_data_lack_is_a_line(evaluator, inputs):
    with pytest.raises(UserError, match="has 3 classes, and the model predicts class 3"):
        evaluator(["cam"]).process(inputs, answers(inputs, labels=(3, 0)))


def test_a_map_of_the_whole_image_stays_as_it_is():
    heatmap = np.ones((4, 4), np.float32)
    frame = ResizedCrop((9, 9), (4, 4), 0, 0, (4, 4))
    assert whole_map(heatmap, frame) is heatmap
