"""results.json: what a run found, beside what it takes to find it again."""

import hashlib
import re
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode

import boxrefine_d2
from boxrefine_d2.evaluation import write_json
from boxrefine_d2.features.weights import WeightsInfo


def inference_folder(output_dir: str | Path, dataset_name: str) -> Path:
    """Where a run keeps what it found on one data set, image by image."""
    return Path(output_dir) / "inference" / re.sub(r"[^\w.+=-]+", "_", dataset_name)


def config_sha256(cfg: CfgNode) -> str:
    """What two runs of one configuration have in common, seed and folder included."""
    return hashlib.sha256(cfg.dump().encode()).hexdigest()


def write_results(
    cfg: CfgNode, weights: WeightsInfo, datasets: dict[str, Any], record: dict[str, Any]
) -> Path:
    """Writes OUTPUT_DIR/results.json.

    Args:
        weights: what f started from.
        datasets: data set -> what its evaluators returned, in percent.
        record: what the run did (`RefineTrainer.record`); empty for an evaluation alone.
    """
    path = Path(cfg.OUTPUT_DIR) / "results.json"
    content = {
        "version": boxrefine_d2.__version__,
        "seed": cfg.SEED,
        "config_sha256": config_sha256(cfg),
        "weights": {"source": weights.source, "sha256": weights.sha256},
        "datasets": datasets,
        "record": record,
    }
    write_json(path, content)
    return path
