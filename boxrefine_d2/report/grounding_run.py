"""Results of a phrase-grounding run, read from its OUTPUT_DIR: the phrases that each source hit."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from boxrefine_d2.errors import UserError
from boxrefine_d2.evaluation.bootstrap import Estimate, mean_with_interval, paired_gain
from boxrefine_d2.evaluation.grounding import UnitId
from boxrefine_d2.training.results_file import inference_folder

from .grounding_kinds import BOX, GROUNDING_KINDS, METRICS, POINTING, GroundingKind
from .run_folder import FinishedRun, as_training_wrote, read_finished, read_json
from .summary import outcome_codes


@dataclass(frozen=True)
class PhraseHits:
    """Hits on the phrases of a dataset.

    Attributes:
        units: ids of image and annotation of each of the N phrases.
        by_metric: "pointing" and "box_acc" -> source -> (N,) bool. A source without points has no
            entry under "pointing".
        counts: counts of results.json: "evaluated", "images", "without_box_SOURCE", ...
    """

    units: list[UnitId]
    by_metric: dict[str, dict[str, np.ndarray]]
    counts: dict[str, int]

    @property
    def images(self) -> list[int]:
        """Index of the image of each phrase, (N,), from 0 in order of appearance."""
        numbers = {image: n for n, image in enumerate(dict.fromkeys(i for i, _ in self.units))}
        return [numbers[image] for image, _ in self.units]

    def rate(self, metric: str, source: str) -> Estimate:
        """Return the percentage of phrases that a source hit, with its interval over images."""
        return mean_with_interval([self.by_metric[metric][source]], images=self.images)

    def gain(self, metric: str, before: str, after: str) -> Estimate:
        """Return the percent points that `after` hit more than `before`.

        The interval is that of the paired difference over images.
        """
        hits = self.by_metric[metric]
        return paired_gain([hits[before]], [hits[after]], images=self.images)

    def outcomes(self, metric: str, kind: GroundingKind) -> np.ndarray:
        """Return (N,) indices into `summary.OUTCOMES`."""
        hits = self.by_metric[metric]
        return outcome_codes(hits[kind.before], hits[kind.after])


@dataclass(frozen=True)
class GroundingRun(FinishedRun):
    """Finished run that trained or refined g.

    Attributes: hits: test dataset -> `PhraseHits`, in the order of DATASETS.TEST.
    """

    hits: dict[str, PhraseHits]

    @property
    def kind(self) -> GroundingKind:
        """Kind of the run."""
        return GROUNDING_KINDS[self.cfg.MODEL.META_ARCHITECTURE]


def read_grounding_run(folder: str | Path) -> GroundingRun:
    """Read the run in `folder`.

    Raises: UserError if it is missing, not finished, of another kind, without test data, or if its
        files are of different runs.
    """
    run = read_finished(folder)
    name = run.cfg.MODEL.META_ARCHITECTURE
    if name not in GROUNDING_KINDS:
        raise UserError(
            f"the run in {run.folder} is of {name}, not of {', '.join(GROUNDING_KINDS)}"
        )
    run.check_tested()
    hits = {dataset: _read_hits(run, dataset) for dataset in run.cfg.DATASETS.TEST}
    return GroundingRun(run.folder, run.cfg, run.results, hits)


def _read_hits(run: FinishedRun, dataset: str) -> PhraseHits:
    path = inference_folder(run.folder, dataset) / "grounding_per_phrase.json"
    rows = read_json(path)
    with as_training_wrote(path):
        scores = run.results["datasets"].get(dataset, {})
        by_metric = {
            metric: {
                source: np.array([bool(hit) for *_, hit in row])
                for source, row in rows[metric].items()
                # the file lists misses for a source without points, results.json lists nothing
                if metric == BOX or source in scores.get(POINTING, {})
            }
            for metric in METRICS
        }
        for metric, hits in by_metric.items():
            percents = {source: 100 * float(hit.mean()) for source, hit in hits.items()}
            run.check_percents(path, percents, metric, dataset)
        units = [(image, annotation) for image, annotation, _ in next(iter(rows[BOX].values()))]
        return PhraseHits(units, by_metric, _counts(scores))


def _counts(scores: dict[str, Any]) -> dict[str, int]:
    return {name: int(count) for name, count in scores["phrases"].items()}
