import argparse
import json

import pytest

from boxrefine_d2.config import boxrefine_cfg
from boxrefine_d2.data import load_spec, write_pseudo_labels
from boxrefine_d2.refinement.refine_trainer import RefineTrainer
from boxrefine_d2.training.results_file import write_results
from boxrefine_d2.training.setup import setup

DATASET = "scenes:val+first=4"
IMAGE_IDS = [1000001, 1000002, 1000003, 1000004]


@pytest.fixture
def made_up_run(tmp_path):
    """Return a function that writes the output directory of an invented run.

    Args of the function: name, seed, KEY VALUE pairs, hits by source.
    """

    def write(name, seed, *opts, ids=IMAGE_IDS, **hits):
        folder = tmp_path / name
        cfg = boxrefine_cfg()
        cfg.merge_from_list(["SEED", seed, "DATASETS.TEST", (DATASET,), *opts])
        inference = folder / "inference" / "scenes_val+first=4"
        inference.mkdir(parents=True)
        rows = {source: list(zip(ids, row, strict=True)) for source, row in hits.items()}
        (inference / "corloc_per_image.json").write_text(json.dumps(rows))
        (folder / "config.yaml").write_text(cfg.dump())
        corloc = {source: 100 * sum(row) / len(row) for source, row in hits.items()}
        results = {
            "version": "0.1.0",
            "seed": seed,
            "config_sha256": "c0",
            "weights": {"source": "random:0", "sha256": "d4"},
            "datasets": {DATASET: {"corloc": corloc, "corloc_images": {"evaluated": len(ids)}}},
            "record": {"boxes_changed": 50.0, "seconds": {"detector": 1.0}},
        }
        (folder / "results.json").write_text(json.dumps(results))
        return folder

    return write


@pytest.fixture(scope="session")
def made_up_detectors():
    """Return a function that writes the stages of invented detectors.

    Args of the function: folder, seed, hits of CAD before, and after.
    """

    def write(folder, seed, **hits):
        records = load_spec(DATASET).records
        for stage, row in hits.items():
            detections = folder / stage / "inference" / "scenes_val+first=4" / "detections.json"
            boxes = [
                {"image_id": record["image_id"], "bbox": _xywh(record, hit), "score": 0.5}
                for record, hit in zip(records, row, strict=True)
                if hit is not None
            ]
            # only the best box counts, at any position in the file
            worse = [box | {"bbox": [0, 0, 1, 1], "score": 0.1} for box in boxes]
            images = [
                {"id": r["image_id"], "file_name": r["relative_name"]}
                | {key: r[key] for key in ("width", "height")}
                for r in records
            ]
            write_pseudo_labels(detections, images=images, annotations=[*worse, *boxes], info={})
            corloc = 100 * sum(map(bool, row)) / len(row)
            metrics = {DATASET: {"corloc": corloc, "ap50": 20.0, "ap": 10.0}}
            results = {"seed": seed, "datasets": metrics}
            (folder / stage / "results.json").write_text(json.dumps(results))
            (folder / stage / "config.yaml").write_text("VERSION: 2\nSOLVER: {MAX_ITER: 7}\n")
        return folder

    return write


def _xywh(record, hit):
    """Return the box of the first object, or a corner without object."""
    if not hit:
        return [0, 0, 2, 2]
    x1, y1, x2, y2 = record["annotations"][0]["bbox"]
    return [x1, y1, x2 - x1, y2 - y1]


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory):
    """Return the output directory of a run of a few steps."""
    folder = tmp_path_factory.mktemp("tiny") / "seed_3"
    opts = {
        "DATASETS.TRAIN": "('scenes:train+first=4',)",
        "DATASETS.TEST": f"('{DATASET}',)",
        "REFINE.WARMUP_ITERS": 2,
        "REFINE.RECORD_IMAGES": 2,
        "SOLVER.MAX_ITER": 4,
        "SOLVER.IMS_PER_BATCH": 2,
        "INPUT.SQUARE_SIZE": 64,
        "DATALOADER.NUM_WORKERS": 0,
        "MODEL.DEVICE": "cpu",
        "MODEL.MAP_NETWORK.WEIGHTS": "random:0",
        "SEED": 3,
        "OUTPUT_DIR": str(folder),
    }
    pairs = [str(word) for pair in opts.items() for word in pair]
    cfg = setup(
        argparse.Namespace(
            config_file="configs/demo/lost_refine.yaml", opts=pairs, resume=False, eval_only=False
        )
    )
    trainer = RefineTrainer(cfg)
    datasets = trainer.train()
    write_results(cfg, trainer.network.map_network.weights_info, datasets, trainer.record())
    return folder
