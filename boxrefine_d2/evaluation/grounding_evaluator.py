"""Evaluator of grounding models: pointing and box accuracy of every source, and a run's records."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from detectron2.data import DatasetCatalog
from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm

from boxrefine_d2.errors import UserError, check_choice
from boxrefine_d2.structures import to_xywh

from . import write_json
from .ground_truth import check_labels
from .grounding import (
    Grounded,
    GroundedPhrase,
    GroundingAccuracy,
    grounded_phrases,
    grounding_accuracy,
    outside_text,
    outside_their_image,
)
from .sources import CENTRE, RANDOM

logger = logging.getLogger(__name__)

MISS, SKIP = "miss", "skip"


class GroundingEvaluator(DatasetEvaluator):
    """Evaluator that scores every source in one pass, beside controls that do not see the image.

    A model output is {"grounding": {source: {annotation id: an object with `point`, `box`, `boxes`,
    `score`}}}, in pixels of the original image. `evaluate()` returns percentages and counts apart::

        {"pointing": {"clip": 54.7, "g": 62.3, "centre": 20.6, "random": 11.2},
         "box_acc": {...}, "phrases": {"evaluated": 1000, "images": 310, "without_box_g": 3, ...}}

    The control "centre" is the centre of the image, with the middle half of each side as its box.
    The control "random" draws its point and box by the seed. A source without points, such as a
    detector, has no pointing accuracy.

    The output directory gets the records of the source `record_of`, in the format that evaluate.py
    reads, and the hits of each source per phrase.
    """

    def __init__(
        self,
        dataset_name: str,
        *,
        record_of: str,
        output_dir: str,
        main_dir: str,
        seed: int,
        missing: str = MISS,
    ):
        """Read the phrases of a data set.

        Args:
            dataset_name: name in Detectron2's DatasetCatalog.
            record_of: source whose records are written to grounding.json.
            output_dir: folder of grounding.json and grounding_per_phrase.json.
            main_dir: second folder that gets grounding.json.
            seed: seed of the control "random".
            missing: "miss" scores phrases without a record as misses; "skip" leaves them out of
                every score and counts them.
        Raises: UserError if the data set has no phrases, or `missing` is neither.
        """
        check_choice("LOOKING.MISSING", missing, (MISS, SKIP))
        records = DatasetCatalog.get(dataset_name)
        check_labels(records, dataset_name)
        self._name = dataset_name
        self._phrases = grounded_phrases(records, dataset_name)
        self._outside = outside_their_image(self._phrases, records)
        if self._outside:
            logger.warning(outside_text(self._outside, dataset_name))
        self._sizes = {r["image_id"]: (r["height"], r["width"]) for r in records}
        self._record_of = record_of
        self._output_dir, self._main_dir = Path(output_dir), Path(main_dir)
        self._seed = seed
        self._skips = missing == SKIP
        self.reset()

    def reset(self) -> None:
        """Forget all outputs."""
        self._predictions: dict[str, dict[Any, Any]] = {}

    def process(
        self, inputs: Sequence[Mapping[str, Any]], outputs: Sequence[Mapping[str, Any]]
    ) -> None:
        """Keep the predictions of each source."""
        for record, output in zip(inputs, outputs, strict=True):
            for source, of_source in output["grounding"].items():
                predictions = self._predictions.setdefault(source, {})
                for annotation_id, prediction in of_source.items():
                    predictions[record["image_id"], annotation_id] = prediction

    def evaluate(self) -> dict[str, dict[str, float]]:
        """Collect the outputs of all ranks, score them and write the files.

        Ranks other than the main one return {}.

        Raises: UserError if no image with a phrase could be read, or every phrase is skipped.
        """
        comm.synchronize()
        parts = comm.gather(self._predictions, dst=0)
        if not comm.is_main_process():
            return {}
        predictions: dict[str, dict[Any, Any]] = {}
        for part in parts:
            for source, of_source in part.items():
                predictions.setdefault(source, {}).update(of_source)
        if not predictions:
            raise UserError(f"{self._name}: no image with a phrase could be read")
        phrases = self._phrases
        if self._skips:
            phrases = [
                phrase for phrase in phrases if phrase.unit_id in predictions[self._record_of]
            ]
            if not phrases:
                raise UserError(f"{self._name}: no phrase has a prediction; nothing can be scored")
        scored = {
            source: grounding_accuracy(phrases, of_source)
            for source, of_source in {**predictions, **self._controls()}.items()
        }
        self._write(predictions, scored)
        return self._summary(phrases, predictions, scored)

    def _controls(self) -> dict[str, dict[Any, Grounded]]:
        """Return the predictions that do not depend on the image."""
        generator = np.random.default_rng(self._seed)
        centre, drawn = {}, {}
        for phrase in self._phrases:
            height, width = self._sizes[phrase.image_id]
            middle = (width / 4, height / 4, 3 * width / 4, 3 * height / 4)
            centre[phrase.unit_id] = Grounded((width // 2, height // 2), middle)
            place = generator.integers([width, height]).tolist()
            x1, x2 = sorted(generator.uniform(0, width, 2))
            y1, y2 = sorted(generator.uniform(0, height, 2))
            drawn[phrase.unit_id] = Grounded(place, (x1, y1, x2, y2))
        return {CENTRE: centre, RANDOM: drawn}

    def _write(
        self, predictions: Mapping[str, Mapping[Any, Any]], scored: Mapping[str, GroundingAccuracy]
    ) -> None:
        hits = {
            metric: {
                source: [[*unit, int(hit)] for unit, hit in getattr(accuracy, field).items()]
                for source, accuracy in scored.items()
            }
            for metric, field in (("pointing", "pointed"), ("box_acc", "boxed"))
        }
        write_json(self._output_dir / "grounding_per_phrase.json", hits)
        recorded = predictions[self._record_of]
        records = [
            _record(phrase, recorded[phrase.unit_id])
            for phrase in self._phrases
            if phrase.unit_id in recorded
        ]
        for folder in {self._output_dir, self._main_dir}:
            write_json(folder / "grounding.json", records)

    def _summary(
        self,
        phrases: Sequence[GroundedPhrase],
        predictions: Mapping[str, Mapping[Any, Any]],
        scored: Mapping[str, GroundingAccuracy],
    ) -> dict[str, dict[str, float]]:
        pointing, box_acc = {}, {}
        counts: dict[str, float] = {
            "evaluated": len(phrases),
            "images": len({phrase.image_id for phrase in phrases}),
            "outside_image": len(self._outside),
        }
        if self._skips:
            counts["skipped"] = len(self._phrases) - len(phrases)
        for source, accuracy in scored.items():
            percents = accuracy.percents()
            box_acc[source] = percents["box_acc"]
            # empty for a control and for a source without predictions
            of_source = predictions.get(source, {}).values()
            if not of_source or any(prediction.point is not None for prediction in of_source):
                pointing[source] = percents["pointing"]
            if source in predictions:
                counts[f"without_box_{source}"] = accuracy.without_box
                counts[f"without_record_{source}"] = accuracy.without_record
            logger.info(
                "%s on %s: pointing %s, box accuracy %.2f %% of %d phrases",
                *(source, self._name),
                f"{pointing[source]:.2f} %" if source in pointing else "none",
                *(percents["box_acc"], len(phrases)),
            )
        return {"pointing": pointing, "box_acc": box_acc, "phrases": counts}


def _record(phrase: GroundedPhrase, prediction: Any) -> dict[str, Any]:
    """Return the record of a phrase for grounding.json."""
    return {
        "image_id": phrase.image_id,
        "annotation_id": phrase.annotation_id,
        "phrase": phrase.phrases[0],
        "bbox": None if prediction.box is None else to_xywh(prediction.box),
        "point": None if prediction.point is None else list(prediction.point),
        "score": prediction.score,
    }
