"""The verdict: labels do not enter the decision, and files that differ are refused."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from boxrefine_d2.data import load_spec, read_pseudo_labels
from boxrefine_d2.errors import UserError
from boxrefine_d2.improvement import (
    IMPROVED,
    UNCHANGED,
    Comparison,
    ImageSignals,
    Measurement,
    Network,
    write_verdict,
)
from boxrefine_d2.improvement.verdict import verdict_of

RIGHT, WRONG = "right", "wrong"  # boxes that hit the labels, or a corner


def row(number, before, after):
    return ImageSignals(
        number,
        f"{number}.png",
        f"{number}",
        flip=(before, after),
        rules=(0.5, 0.5),
        box=((0.0, 0.0, 0.5, 0.5), (0.0, 0.0, 0.5, 0.5)),
        shift=(0.0, 0.1),
        overlap=(1.0, 0.5),
    )


RISING = Measurement([row(i, 0.5, 0.6 + 0.01 * (i % 3)) for i in range(12)], {})
FALLING = Measurement([row(i, 0.6, 0.5) for i in range(12)], {})


@pytest.fixture
def judged(label_file, rendered):
    """Return a function that judges measured signals of boxes that are right or wrong."""
    spec = f"folder:{rendered}"
    plain = load_spec(spec)
    box = {"bbox": [20.0, 20.0, 60.0, 50.0], "bbox_mode": 0, "category_id": 0, "iscrowd": 0}
    labelled = replace(
        plain, labelled=True, records=[{**r, "annotations": [box]} for r in plain.records]
    )
    of = {RIGHT: [20, 20, 40, 30], WRONG: [0, 0, 5, 5]}
    ids = [record["image_id"] for record in plain.records]

    def judge(measured, before, after, with_labels=True):
        paths = [
            label_file({i: [of[kind]] for i in ids}, name, parameters={}, method="lost")
            for name, kind in (("before.json", before), ("after.json", after))
        ]
        comparison = Comparison(
            spec, paths[0], paths[1:], [Path("w")], [Path("run")], Network("x", "")
        )
        files = [read_pseudo_labels(path) for path in paths]
        dataset = labelled if with_labels else plain
        return verdict_of(comparison, dataset, files, measured, [{"drift": [], "stopped": None}])

    return judge


@pytest.mark.parametrize("measured", [RISING, FALLING], ids=["rising", "falling"])
def test_labels_do_not_enter_the_decision(judged, measured):
    """Labels that say the opposite, or no labels, change no part of the decision."""
    verdicts = [
        judged(measured, WRONG, RIGHT),
        judged(measured, RIGHT, WRONG),
        judged(measured, RIGHT, WRONG, with_labels=False),
    ]
    gains = [v["rounds"][0]["labels"] for v in verdicts]
    assert gains[0]["corloc"]["difference"]["mean"] == 100
    assert gains[1]["corloc"]["difference"]["mean"] == -100
    assert gains[2] is None
    for verdict in verdicts:
        assert verdict["improved"] is (measured is RISING)
        assert verdict["sentence"] == (IMPROVED if measured is RISING else UNCHANGED)
        assert verdict["chosen_round"] == (1 if measured is RISING else 0)
        del verdict["rounds"][0]["labels"], verdict["boxes_sha256"]
    assert verdicts[0] == verdicts[1] == verdicts[2]


def test_the_words_of_no_improvement():
    assert UNCHANGED == "no improvement was found; your boxes are unchanged"


def write(compared, rendered, folder, **changes):
    comparison = Comparison(
        f"folder:{rendered}",
        compared / "before.json",
        [compared / "after.json"],
        [compared / "refined.safetensors"],
        [compared / "refine"],
        Network("dino_mini", ""),
    )
    comparison = replace(comparison, **changes)
    return write_verdict(comparison, folder, images=1000, device="cpu", num_workers=0)


def test_boxes_without_an_improvement_are_those_from_before(
    compared, rendered, tmp_path, monkeypatch
):
    monkeypatch.setattr("boxrefine_d2.improvement.verdict.best_round", lambda rounds: None)
    verdict = write(compared, rendered, tmp_path)
    assert (tmp_path / "boxes.json").read_bytes() == (compared / "before.json").read_bytes()
    assert verdict == json.loads((tmp_path / "verdict.json").read_text())
    assert verdict["chosen_round"] == 0 and verdict["sentence"] == UNCHANGED
    rows = json.loads((tmp_path / "per_image.json").read_text())
    assert len(rows) == 10 and set(rows[0]) == set(vars(RISING.images[0]))


def test_better_boxes_are_those_of_their_round(compared, rendered, tmp_path, monkeypatch):
    monkeypatch.setattr("boxrefine_d2.improvement.verdict.best_round", lambda rounds: 0)
    assert write(compared, rendered, tmp_path)["chosen_round"] == 1
    assert (tmp_path / "boxes.json").read_bytes() == (compared / "after.json").read_bytes()


def test_files_that_do_not_belong_together_are_refused(compared, rendered, tmp_path):
    labels = json.loads((compared / "after.json").read_text())
    labels["info"]["max_side"] = 99
    other = tmp_path / "other.json"
    other.write_text(json.dumps(labels))
    with pytest.raises(UserError, match="do not belong together: max_side is 800 in one and 99"):
        write(compared, rendered, tmp_path, after=[other])
    with pytest.raises(UserError, match="SHA-256 is not that of the weights that drew the boxes"):
        write(compared, rendered, tmp_path, after=[compared / "before.json"])
    with pytest.raises(UserError, match="--after names 1 files, --refined 0 and --runs 1"):
        write(compared, rendered, tmp_path, refined=[])
    empty = tmp_path / "run"
    empty.mkdir()
    (empty / "results.json").write_text("{}")
    with pytest.raises(UserError, match="lacks 'record': repeat the run"):
        write(compared, rendered, tmp_path, runs=[empty])
    assert not (tmp_path / "verdict.json").exists() and not (tmp_path / "boxes.json").exists()
