"""Phrases without a prediction: counted as misses, or left out and counted apart."""

import pytest
from detectron2.data import DatasetCatalog

from boxrefine_d2.data.dataset_spec import load_spec, register_spec
from boxrefine_d2.errors import UserError
from boxrefine_d2.evaluation.grounding_evaluator import GroundingEvaluator
from boxrefine_d2.structures import PhraseLocalisation

SPEC = "scenes:val+first=4"


@pytest.fixture
def build(tmp_path):
    def made(missing):
        place = {"output_dir": str(tmp_path / "a"), "main_dir": str(tmp_path)}
        name = register_spec(SPEC)
        return GroundingEvaluator(name, record_of="g", seed=0, missing=missing, **place)

    return made


def right_answers(images):
    """Return records and outputs; phrases of the first images get their own box and its centre."""
    records = load_spec(SPEC).records
    outputs = []
    for record in records:
        predictions = {}
        given = record["annotations"] if record in records[:images] else ()
        for place, annotation in enumerate(given):  # the position is the id of a scene's annotation
            x1, y1, x2, y2 = annotation["bbox"]
            middle = (int(x1 + x2) // 2, int(y1 + y2) // 2)
            predictions[place] = PhraseLocalisation(
                middle, (x1, y1, x2, y2), [[x1, y1, x2, y2]], 1.0
            )
        outputs.append({"grounding": {"g": predictions}})
    return records, outputs


def test_a_phrase_without_a_prediction_is_a_miss_or_is_left_out(build):
    records, outputs = right_answers(2)
    answered = sum(len(r["annotations"]) for r in records[:2])
    every = sum(len(r["annotations"]) for r in records)
    for missing, percent in (("miss", 100 * answered / every), ("skip", 100.0)):
        evaluator = build(missing)
        evaluator.process(records, outputs)
        result = evaluator.evaluate()
        assert result["pointing"]["g"] == pytest.approx(percent)
        assert result["box_acc"]["g"] == pytest.approx(percent)
        counts = result["phrases"]
        if missing == "miss":
            assert (counts["evaluated"], counts["without_record_g"]) == (every, every - answered)
            assert "skipped" not in counts
        else:
            assert (counts["evaluated"], counts["skipped"]) == (answered, every - answered)
            assert counts["images"] == 2


def test_phrases_outside_their_image_are_counted_and_reported(build, monkeypatch, caplog):
    records = load_spec(SPEC).records
    away = {**records[0], "annotations": [dict(one) for one in records[0]["annotations"]]}
    away["annotations"][0]["bbox"] = [-9.0, 0.0, -1.0, 9.0]
    monkeypatch.setattr(DatasetCatalog, "get", lambda name: [away, *records[1:]])
    evaluator = build("miss")
    assert "1 phrases have no box inside their image (first: annotation 0 of image" in caplog.text
    evaluator.process(*right_answers(4))
    assert evaluator.evaluate()["phrases"]["outside_image"] == 1


def test_evaluation_without_any_prediction_is_refused(build):
    evaluator = build("skip")
    evaluator.process(*right_answers(0))
    with pytest.raises(UserError, match="no phrase has a prediction"):
        evaluator.evaluate()
    with pytest.raises(UserError, match="LOOKING.MISSING 'drop' is unknown; known: miss, skip"):
        build("drop")
