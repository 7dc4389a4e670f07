"""What a run of phrase grounding left in its OUTPUT_DIR, read back: which phrases each source hit."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from boxrefine_d2.errors import UserError
from boxrefine_d2.evaluation.grounding import UnitId
from boxrefine_d2.training.results_file import inference_folder

from .bootstrap import Estimate, mean_with_interval, paired_gain
from .grounding_kinds import BOX, GROUNDING_KINDS, METRICS, POINTING, GroundingKind
from .run_folder import FinishedRun, as_written, read_finished, read_json
from .summary import outcome_codes


@dataclass(frozen=True)
class PhraseHits:
    """Which phrases of a data set were hit.

    Attributes:
        units: of the N phrases the ids of image and annotation.
        by_metric: "pointing" and "box_acc" -> source -> (N,) bool. A source that points nowhere has no pointing.
        counts: what results.json counts: "evaluated", "images", "without_box_SOURCE", ...
    """

    units: list[UnitId]
    by_metric: dict[str, dict[str, np.ndarray]]
    counts: dict[str, int]

    @property
    def images(self) -> list[int]:
        """(N,) which image each phrase is of, counted from 0 in order of appearance."""
        numbers = {image: n for n, image in enumerate(dict.fromkeys(i for i, _ in self.units))}
        return [numbers[image] for image, _ in self.units]

    def rate(self, metric: str, source: str) -> Estimate:
        """Percent of the phrases that a source hit, with its interval over images."""
        return mean_with_interval([self.by_metric[metric][source]], images=self.images)

    def gain(self, metric: str, before: str, after: str) -> Estimate:
        """Percent points that one source hit more than another, with the interval of the paired difference over images."""
        hits = self.by_metric[metric]
        return paired_gain([hits[before]], [hits[after]], images=self.images)

    def outcomes(self, metric: str, kind: GroundingKind) -> np.ndarray:
        """(N,) index into `summary.OUTCOMES`."""
        hits = self.by_metric[metric]
        return outcome_codes(hits[kind.before], hits[kind.after])


@dataclass(frozen=True)
class GroundingRun(FinishedRun):
    """A finished run that trained or refined g.

    Attributes: hits: test data set -> `PhraseHits`, in the order of DATASETS.TEST.
    """

    hits: dict[str, PhraseHits]

    @property
    def kind(self) -> GroundingKind:
        """What kind of run it was."""
        return GROUNDING_KINDS[self.cfg.MODEL.META_ARCHITECTURE]


def read_grounding_run(folder: str | Path) -> GroundingRun:
    """The run in `folder`.

    Raises: UserError if it is not there, not finished, of another kind, without test data, or of mixed files.
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
    with as_written(path):
        found = run.results["datasets"].get(dataset, {})
        by_metric = {
            metric: {
                source: np.array([bool(hit) for *_, hit in row])
                for source, row in rows[metric].items()
                # the file has misses where a source points nowhere, results.json nothing
                if metric == BOX or source in found.get(POINTING, {})
            }
            for metric in METRICS
        }
        for metric, hits in by_metric.items():
            percents = {source: 100 * float(hit.mean()) for source, hit in hits.items()}
            run.check_percents(path, percents, metric, dataset)
        units = [(image, annotation) for image, annotation, _ in next(iter(rows[BOX].values()))]
        return PhraseHits(units, by_metric, _counts(found))


def _counts(found: dict[str, Any]) -> dict[str, int]:
    return {name: int(count) for name, count in found["phrases"].items()}
