"""The boxes of h on its training images are a file that `edit agree` accepts."""

import json

from boxrefine_d2 import cli
from boxrefine_d2.data import read_pseudo_labels
from boxrefine_d2.training.results_file import inference_folder

from .test_training import run


def test_h_confirms_its_training_boxes(tmp_path, job, photographs):
    trained, judged = tmp_path / "trained", tmp_path / "judged"
    run(job(trained, "SOLVER.MAX_ITER", "2", "REFINE.WARMUP_ITERS", "1"))
    spec = f"folder:{photographs}"
    weights = ("MODEL.WEIGHTS", str(trained / "model_final.pth"))
    run(job(judged, *weights, "DATASETS.TEST", f"('{spec}',)", flags=("--eval-only",)))
    results = json.loads((judged / "results.json").read_text())
    path = inference_folder(judged, spec) / "detections.json"
    detections = read_pseudo_labels(path)
    count = len(detections.annotations)
    assert results["datasets"] == {spec: {"images": 12, "detections": count}}
    assert detections.info["method"] == "BoxRefiner"
    assert len(detections.images) == 12 and count >= 12
    boxes, kept = tmp_path / "boxes.json", tmp_path / "kept.json"
    words = ["--method", "lost", "--data", spec, "--backbone", "dino_mini", "--num-workers", "0"]
    assert cli.main(["discover", *words, "--output", str(boxes)]) == 0
    agree = ["edit", "agree", "--input", str(boxes), "--with", str(path), "--min-iou", "0.01"]
    assert cli.main([*agree, "--output", str(kept)]) == 0
    assert {image["id"] for image in read_pseudo_labels(kept).images} == {
        image["id"] for image in detections.images
    }
