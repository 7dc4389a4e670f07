"""results.json: what a run found, beside what it takes to find it again."""

import hashlib
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode

import boxrefine_d2
from boxrefine_d2.evaluation import write_json
from boxrefine_d2.files.names import file_name_of
from boxrefine_d2.networks.weights import WeightsInfo

_RENDERED = "scenes"  # a kind of spec without a path: scenes:val is kept in scenes_val


def inference_folder(output_dir: str | Path, dataset_name: str) -> Path:
    """Return where a run keeps what it found on one data set, image by image: never the folder of another data set.

    A spec with a path is shortened and ends in digits of its SHA-256, since a path may be longer than a file name.
    """
    plain = dataset_name.replace(f"{_RENDERED}:", f"{_RENDERED}_", 1)
    if plain == dataset_name and plain.startswith(f"{_RENDERED}_"):
        plain = (
            f"name:{dataset_name}"  # a registered name that looks like the folder of a rendered set
        )
    return Path(output_dir) / "inference" / file_name_of(plain)


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
