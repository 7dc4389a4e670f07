"""The plan of a measurement, and the page refinement.md, written from kept results alone."""

import json

import pytest

from boxrefine_d2.errors import UserError
from boxrefine_d2.training.setup import load_config
from boxrefine_d2.workflow import plan_of_stages


@pytest.fixture
def script(tmp_path, monkeypatch, load_script):
    module = load_script("refinement")
    kept = tmp_path / "refinement"
    kept.mkdir()
    names = ("TABLES", "SHARES", "STOPS", "COMMANDS")
    (kept / "text.md").write_text(" ".join(f"<!-- {name} -->" for name in names))
    monkeypatch.setattr(module, "KEPT", kept)
    monkeypatch.setattr(module, "PAGE", tmp_path / "refinement.md")
    return module


def kept_row(before, *after, stopped=None):
    """Return a kept row: hits of LOST and TokenCut before, and after with one seed each."""
    drift = [{"flip_agreement": 0.5, "area_ratio": 1.0}, {"flip_agreement": 0.6, "area_ratio": 1.2}]
    rules = ("lost", "tokencut")
    return {
        "commit": "abc1234",
        "command": "train_net.py --x",
        "before": dict.fromkeys(rules, before),
        "seeds": {
            str(seed): {"hits": dict.fromkeys(rules, hits), "drift": drift, "stopped": stopped}
            for seed, hits in enumerate(after)
        },
    }


def test_every_row_of_every_data_set_is_a_plan(script, tmp_path):
    everything = script.settings()
    for data in everything["data"]:
        for row in script.rows_of(everything, data):
            stages = script.stages_of(everything, data, row)
            plan = plan_of_stages(stages, tmp_path, {"train": "scenes:train"}, "here")
            refined = [stage for stage in plan if stage.name.startswith("refine_")]
            assert len(refined) == row["seeds"]
            opts = refined[0].command[refined[0].command.index("SEED") :]
            load_config(everything["config"], list(opts))
            after = [stage for stage in plan if stage.name.startswith("after_")]
            assert len(after) == row["seeds"] * len(script.rules_of(row))
            assert all(any(n.startswith("refine_") for n in stage.needs) for stage in after)


def test_the_gain_is_paired_and_averaged_over_seeds(script):
    gain = script.gain_of(kept_row("0011", "0111", "1111"), "lost")
    assert gain["before"]["mean"] == 50
    assert gain["after"]["mean"] == pytest.approx(87.5)
    assert gain["gain"]["mean"] == pytest.approx(37.5)
    assert gain["gain"]["ci95"][0] >= 0


def test_the_page_shows_gains_shares_and_stops(script, monkeypatch):
    rows = [
        {"name": "absorption", "title": "masks of absorption", "targets": "absorption", "seeds": 2},
        {"name": "truth", "title": "ceiling: masks", "targets": "labels", "seeds": 1},
        {"name": "shuffled", "title": "control: others", "targets": "absorption", "seeds": 1},
    ]
    monkeypatch.setattr(script, "settings", lambda: {**SETTINGS, "rows": rows})
    kept = {
        "absorption": kept_row("00110", "01110", "00111"),
        "truth": kept_row("00110", "11110"),
        "shuffled": kept_row("00110", "00100", stopped="iteration 200: it fell"),
    }
    (script.KEPT / "scenes.json").write_text(json.dumps(kept))
    page = script.page()
    assert "| masks of absorption | 2 | 40.0 → 60.0: +20.0 [" in page
    assert "| ceiling: masks | 1 | 40.0 → 80.0: +40.0 [" in page
    assert "| scenes | LOST | masks of absorption | +20.0 | 50 |" in page
    assert "control: others | +" not in page
    assert "| control: others | scenes | +0.100 | 1.20 | 1 of 1 |" in page
    assert "| scenes/truth | abc1234 | `python tools/train_net.py --x` |" in page


def test_an_unknown_row_is_named(script):
    arguments = type("Arguments", (), {"run": ["scenes/nothing"], "output": None})
    with pytest.raises(UserError, match="no row 'scenes/nothing'; known: scenes/absorption"):
        script.work(arguments)


SETTINGS = {
    "backbone": "dino_mini",
    "config": "configs/demo/region_refine.yaml",
    "data": {"scenes": {"title": "scenes", "train": "scenes:train", "val": "scenes:val"}},
    "rules": {"lost": {"title": "LOST", "set": []}, "tokencut": {"title": "TokenCut", "set": []}},
    "targets": {},
}
