"""CutLER's self-training (arXiv:2301.11320) as the stages of a pipeline.

Each round predicts, merges the predictions into the labels of the round before, and trains.
"""

import json
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class SelfTraining:
    """The settings of a self-training.

    Attributes:
        config_file, opts, flags: arguments of every training command.
        images: dataset spec without labels.
        labels: pseudo-label file of those images, for round 1.
        weights: weights file of a trained detector, for round 1.
        min_scores: lowest scores of a prediction that becomes a label, one per round; the last one
            holds for all further rounds.
        max_iou: IoU with a new label from which on an old label is dropped.
        detections: most predictions per image.
    """

    config_file: str
    opts: tuple[str, ...]
    flags: tuple[str, ...]
    images: str
    labels: str
    weights: str
    min_scores: tuple[float, ...]
    max_iou: float
    detections: int

    def stages(
        self, rounds: int, detections_file: Callable[[Path], Path], folder: Path
    ) -> list[dict[str, Any]]:
        """Return the entries of a pipeline file's list `stages`.

        Args: detections_file: function that returns the path of the predictions that an evaluation
            writes in a given folder.  folder: folder of the stages' folders.
        """
        entries = []
        labels, weights = self.labels, self.weights
        for number in range(1, rounds + 1):
            names = {part: f"{part}_{number}" for part in ("predict", "merge", "train")}
            score = self.min_scores[min(number, len(self.min_scores)) - 1]
            predictions = detections_file(folder / names["predict"]).relative_to(
                folder / names["predict"]
            )
            predict = self._train(
                *("--eval-only", "MODEL.WEIGHTS", weights, "DATASETS.TRAIN", "()"),
                *("DATASETS.TEST", _tuple(self.images)),
                *("TEST.DETECTIONS_PER_IMAGE", str(self.detections)),
            )
            merge = ["edit_labels.py", "merge", "--old", labels]
            merge += ["--new", f"{{{names['predict']}}}/{predictions}", "--min-score", str(score)]
            merge += ["--max-iou", str(self.max_iou), "--output", "{here}/labels.json"]
            merged = f"{{{names['merge']}}}/labels.json"
            train = self._train(
                *("--resume", "MODEL.WEIGHTS", weights),
                *("DATASETS.TRAIN", _tuple(f"{self.images}+pseudo={merged}")),
            )
            first = number == 1
            entries += [
                _entry(names["predict"], predict, str(predictions), [weights] if first else []),
                _entry(names["merge"], merge, "labels.json", [labels] if first else []),
                _entry(
                    names["train"],
                    train,
                    ["model_final.pth", "results.json"],
                    [weights] if first else [],
                ),
            ]
            labels, weights = merged, f"{{{names['train']}}}/model_final.pth"
        return entries

    def _train(self, *words: str) -> list[str]:
        command = ["train_cad.py", "--config-file", self.config_file, *self.flags]
        options = [word for word in words if word.startswith("--")]
        pairs = [word for word in words if not word.startswith("--")]
        return [*command, *options, *self.opts, *pairs, "OUTPUT_DIR", "{here}"]


def _tuple(spec: str) -> str:
    """Return a tuple of one spec as a configuration reads it, whatever quotes are in a path."""
    return f"({json.dumps(spec, ensure_ascii=False)},)"


def _entry(name: str, words: Sequence[str], makes: Any, inputs: list[str]) -> dict[str, Any]:
    return {"name": name, "run": shlex.join(words), "makes": makes, "inputs": inputs}
