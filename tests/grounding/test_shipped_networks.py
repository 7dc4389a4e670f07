"""The shipped networks on scenes that they did not learn from: most answers are right."""

import pytest
import torch

from boxrefine_d2.data import load_spec
from boxrefine_d2.data.mappers.phrase import QueryMapper
from boxrefine_d2.evaluation.grounding import Grounded, grounded_phrases, grounding_accuracy
from boxrefine_d2.grounding.heatmap_model import HeatmapModel
from boxrefine_d2.training.setup import load_config

SPEC = "scenes:val+first=12"


@pytest.fixture(scope="module")
def model():
    cfg = load_config("configs/demo/what_is_where.yaml", ["MODEL.DEVICE", "cpu"])
    return HeatmapModel.of_config(cfg).eval()


def test_they_are_small():
    from boxrefine_d2.language.build import SHIPPED as OF_LANGUAGE
    from boxrefine_d2.networks.build import SHIPPED as OF_FEATURES

    files = [OF_FEATURES / "heatmap_mini.safetensors", *OF_LANGUAGE.rglob("*")]
    assert sum(file.stat().st_size for file in files if file.is_file()) < 20e6


@torch.no_grad()
def test_phrases_are_found(model):
    records = load_spec(SPEC).records
    inputs = [QueryMapper(224, "image of ")(record) for record in records]
    phrases = grounded_phrases(records, SPEC)
    answers = {
        (record["image_id"], key): Grounded(one.point, one.box)
        for record, output in zip(records, model.answer(inputs), strict=True)
        for key, one in output["grounding"]["g"].items()
    }
    sizes = {r["image_id"]: (r["height"], r["width"]) for r in records}
    centre = {
        phrase.unit_id: Grounded([side // 2 for side in reversed(sizes[phrase.image_id])], None)
        for phrase in phrases
    }
    pointing = grounding_accuracy(phrases, answers).percents()["pointing"]
    assert pointing > grounding_accuracy(phrases, centre).percents()["pointing"] + 20
