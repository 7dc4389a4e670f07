"""Refinement by regions as a user runs it: whole, resumed, in two processes, with bad labels."""

import json
import sys

import pytest
import torch

from boxrefine_d2 import cli
from tests.training.test_training import losses, run, state

SPEC = "('scenes:train+first=8',)"


@pytest.fixture
def region_job(job):
    """A function that returns the command of a run without h, four steps on scenes."""

    def command(output, *opts, **keywords):
        settings = {
            "DATASETS.TRAIN": SPEC,
            "REFINE.LOSS": "region",
            "REFINE.TARGETS": "annotations",
            "REFINE.WARMUP_ITERS": "0",
            "INPUT.CROP_AREA": "(0.4, 1.0)",
            "INPUT.COLOUR_JITTER.CONTRAST": "(0.7, 1.3)",
            "INPUT.SQUARE_SIZE": "128",
            "SOLVER.CLIP_GRADIENTS.ENABLED": "True",
            "SOLVER.STEPS": "()",
            "SOLVER.MAX_ITER": "4",
        } | dict(zip(opts[::2], opts[1::2], strict=True))
        return job(output, *(part for pair in settings.items() for part in pair), **keywords)

    return command


def test_a_run_without_h_ends_with_results_and_resumes_to_the_same_bits(tmp_path, region_job):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    test = ("DATASETS.TEST", "('scenes:val+first=3',)", "DATALOADER.NUM_WORKERS", "1")
    run(region_job(whole, *test))
    content = json.loads((whole / "results.json").read_text())
    [of_dataset] = content["datasets"].values()
    assert set(of_dataset["corloc"]) == {"lost", "refined"}
    record = content["record"]
    assert "h_hits_pseudo_box" not in record and set(record["seconds"]) == {"refine"}
    assert record["weight_distance"] > 0
    expected = state(whole / "model_final.pth")
    assert not [name for name in expected if name.startswith("map_detector")]
    assert cli.main(["report", str(whole)]) == 0
    page = (whole / "report.html").read_text()
    assert "LOST after" in page and "h, best box" not in page
    run(region_job(parts, "SOLVER.MAX_ITER", "2"))
    run(region_job(parts, flags=("--resume",)))
    resumed = state(parts / "model_final.pth")
    assert all(torch.equal(expected[name], resumed[name]) for name in expected)
    first = state(parts / "model_0000001.pth")
    assert any(not torch.equal(expected[name], first[name]) for name in expected)


@pytest.mark.parametrize("source", ["masks", "boxes"])
def test_two_processes_have_the_losses_of_one(tmp_path, region_job, source):
    """Some images have no region at the strict border, so the ranks have unequal numbers."""
    opts = ("LOG_PERIOD", "1", "REFINE.REGION.FROM", source, "INPUT.SQUARE_SIZE", "64")
    torchrun = "-m torch.distributed.run --standalone --nproc_per_node 2"
    run(region_job(tmp_path / "one", *opts))
    run(region_job(tmp_path / "two", *opts, python=(sys.executable, *torchrun.split())))
    one, two = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert sorted(one) == sorted(two) == list(range(4))
    for iteration in range(4):
        expected = pytest.approx(one[iteration]["total_loss"], rel=1e-5)
        assert two[iteration]["total_loss"] == expected
    if source == "masks":
        assert min(entry["region/images"] for entry in one.values()) < 1


def test_labels_without_masks_are_one_line(tmp_path, region_job, photographs):
    labels = tmp_path / "labels.json"
    images = [
        {"id": i, "file_name": f"{i - 1:02d}.png", "width": 90 - 26 * (i % 2 == 0), "height": 0}
        for i in range(1, 13)
    ]
    for image in images:
        image["height"] = 70 if image["width"] == 90 else 64
    boxes = [
        {"id": i, "image_id": i, "category_id": 1, "bbox": [4, 4, 20, 20], "iscrowd": 0}
        for i in range(1, 13)
    ]
    content = {
        "images": images,
        "annotations": [box | {"area": 400} for box in boxes],
        "categories": [{"id": 1, "name": "object"}],
    }
    labels.write_text(json.dumps(content))
    spec = f"('coco:{labels}:{photographs}',)"
    result = run(region_job(tmp_path / "out", "DATASETS.TRAIN", spec), expect=2)
    [line] = [x for x in result.stderr.splitlines() if x.startswith("error:")]
    assert "REFINE.REGION.FROM masks: 12 of 12 annotations have no mask" in line
    assert "REFINE.REGION.FROM boxes" in line and "Traceback" not in result.stderr
    run(region_job(tmp_path / "out", "DATASETS.TRAIN", spec, "REFINE.REGION.FROM", "boxes"))
