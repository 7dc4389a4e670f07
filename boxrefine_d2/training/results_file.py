"""Writer of results.json: the results of a run, with the facts needed to repeat it."""

import hashlib
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode

import boxrefine_d2
from boxrefine_d2.evaluation import write_json
from boxrefine_d2.files.names import file_name_of
from boxrefine_d2.networks.weights import WeightsInfo

_RENDERED = "scenes"  # kind of a spec without a path: the folder of scenes:val is scenes_val


def inference_folder(output_dir: str | Path, dataset_name: str) -> Path:
    """Return the folder of a run's results per image on one data set.

    No two data sets share a folder. The name for a spec with a path is shortened and ends in digits
    of its SHA-256, because a path may be longer than a file name.
    """
    plain = dataset_name.replace(f"{_RENDERED}:", f"{_RENDERED}_", 1)
    if plain == dataset_name and plain.startswith(f"{_RENDERED}_"):
        plain = f"name:{dataset_name}"  # a registered name that equals the folder of rendered data
    return Path(output_dir) / "inference" / file_name_of(plain)


def config_sha256(cfg: CfgNode) -> str:
    """Return the SHA-256 of a configuration, including its seed and its output directory."""
    return hashlib.sha256(cfg.dump().encode()).hexdigest()


def write_results(
    cfg: CfgNode, weights: WeightsInfo, datasets: dict[str, Any], record: dict[str, Any]
) -> Path:
    """Write OUTPUT_DIR/results.json, and return its path.

    Args:
        weights: source of the weights from which f started.
        datasets: data set -> results of its evaluators, in percent.
        record: record of the run (`RefineTrainer.record`); empty for an evaluation alone.
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
