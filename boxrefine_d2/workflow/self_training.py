"""CutLER's self-training (arXiv:2301.11320) as stages: predict, merge with the labels before, train; and again."""

import json
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class SelfTraining:
    """What the rounds start from.

    Attributes:
        config_file, opts, flags: of every training command.
        images: a dataset spec without labels.
        labels: a pseudo-label file of those images.
        weights: of a trained detector.
        min_scores: of a prediction that becomes a label, one a round; the last one serves further rounds.
        max_iou: with a prediction, at which an old label gives way to it.
        detections: predictions an image.
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
        """Entries of a pipeline. Args: detections_file: where an evaluation in a folder leaves what it found."""
        entries = []
        labels, weights = self.labels, self.weights
        for number in range(1, rounds + 1):
            names = {part: f"{part}_{number}" for part in ("predict", "merge", "train")}
            score = self.min_scores[min(number, len(self.min_scores)) - 1]
            found = detections_file(folder / names["predict"]).relative_to(
                folder / names["predict"]
            )
            predict = self._train(
                *("--eval-only", "MODEL.WEIGHTS", weights, "DATASETS.TRAIN", "()"),
                *("DATASETS.TEST", _tuple(self.images)),
                *("TEST.DETECTIONS_PER_IMAGE", str(self.detections)),
            )
            merge = ["edit_labels.py", "merge", "--old", labels]
            merge += ["--new", f"{{{names['predict']}}}/{found}", "--min-score", str(score)]
            merge += ["--max-iou", str(self.max_iou), "--output", "{here}/labels.json"]
            merged = f"{{{names['merge']}}}/labels.json"
            train = self._train(
                *("--resume", "MODEL.WEIGHTS", weights),
                *("DATASETS.TRAIN", _tuple(f"{self.images}+pseudo={merged}")),
            )
            first = number == 1
            entries += [
                _entry(names["predict"], predict, str(found), [weights] if first else []),
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
    """As a configuration reads it, whatever quotes are in a path."""
    return f"({json.dumps(spec, ensure_ascii=False)},)"


def _entry(name: str, words: Sequence[str], makes: Any, inputs: list[str]) -> dict[str, Any]:
    return {"name": name, "run": shlex.join(words), "makes": makes, "inputs": inputs}
