import pytest

from boxrefine_d2.errors import UserError
from boxrefine_d2.improvement import OPTIONS, parse_settings


def test_defaults_and_each_kind_of_key():
    settings = parse_settings("lost", [])
    assert settings.options == {name: option.default for name, option in OPTIONS.items()}
    assert settings.rule == settings.refine == ()
    settings = parse_settings(
        "maskcut", ["detector=false", "crf=false", "refine_iters=7", "REFINE.DRIFT.PERIOD=3"]
    )
    assert settings["detector"] is False and settings["refine_iters"] == 7
    assert settings.rule == ("crf=false",)
    assert settings.refine == ("REFINE.DRIFT.PERIOD", "3")


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ("refine_itres=3", "did you mean refine_iters? known: targets, refine_iters, batch_size"),
        ("tau=0.2", "'tau' is unknown; known: targets.*of lost: k_patches"),
        ("refine_iters", "is not of the form KEY=VALUE"),
        ("refine_iters=many", "refine_iters='many': it must be at least 0"),
        ("refine_iters=-1", "refine_iters=-1: it must be at least 0"),
        ("detector=3", "detector=3: it must be true or false"),
        ("verdict_images=7", "verdict_images=7: it must be at least 8"),
        ("k_patches=0", "k_patches"),
        ("DATASETS.TRAIN=()", "DATASETS.TRAIN is set by the stages; known: targets"),
        ("OUTPUT_DIR=x", "OUTPUT_DIR is set by the stages"),
    ],
)
def test_wrong_pairs_are_refused(pair, message):
    with pytest.raises(UserError) as refused:
        parse_settings("lost", [pair])
    parts = message.split(".*")
    assert all(part in str(refused.value) for part in parts)
    assert "\n" not in str(refused.value)
