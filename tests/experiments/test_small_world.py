"""The page small_world.md is written from kept results alone and shows their numbers."""

import json
from pathlib import Path

import pytest

from boxrefine_d2.errors import UserError
from boxrefine_d2.training.setup import load_config

ROOT = Path(__file__).parents[2]


@pytest.fixture
def script(tmp_path, monkeypatch, load_script):
    module = load_script("small_world")
    kept = tmp_path / "small_world"
    kept.mkdir()
    (kept / "text.md").write_text(
        "<!-- CLAIM --> <!-- SETTINGS --> <!-- DRIFT --> <!-- DETECTORS --> "
        "<!-- GROUNDING --> <!-- KEYS --> <!-- COMMANDS -->"
    )
    monkeypatch.setattr(module, "KEPT", kept)
    monkeypatch.setattr(module.grounding, "KEPT", kept / "grounding.json")
    return module


@pytest.fixture
def detectors(tmp_path, monkeypatch, load_script):
    module = load_script("detectors")
    monkeypatch.setattr(module, "KEPT", tmp_path / "detectors.json")
    return module


def kept_detectors(detectors, *values):
    """Return kept results: all scores of a seed equal its value, and the labels score 49."""
    boxes = [dict.fromkeys(("corloc", "ap50", "ap"), value) for value in (*values, 49.0)]
    masks = [{**box, "segm_ap50": box["ap"], "segm_ap": box["ap"] / 2} for box in boxes]
    of_seed = [dict.fromkeys(detectors.IMAGES, mask) for mask in masks[:-1]]
    cad = [{"": box} for box in boxes[:-1]]
    of_labels = {
        title: {"": masks[-1] if "MaskCut" in title else boxes[-1]} for title in detectors.OF_LABELS
    }
    counts = {
        "maskcut": {"images": 10, "labels": 30},
        "separate": {"images": 6, "labels": 8},
    }
    seeds = {
        str(seed): {
            "commit": f"seed{seed}",
            "command": f"python b {seed}",
            "results": {
                title: cad[seed] if "LOST" in title else of_seed[seed]
                for title in detectors.OF_SEEDS
            },
            "counts": {"confirmed": {"images": 9 + seed, "labels": 20 + 2 * seed}},
        }
        for seed in range(len(values))
    }
    labels = {"commit": "abc1234", "command": "python a", "results": of_labels, "counts": counts}
    return {"labels": labels, "seeds": seeds}


def test_each_set_of_keys_has_a_row(tmp_path, monkeypatch, load_script):
    module = load_script("key_similarity")
    monkeypatch.setattr(module, "KEPT", tmp_path / "keys.json")
    assert module.table() == "Not run yet."
    auc = dict(zip(module.MEASURES, (0.5, 0.61, 0.72, 0.83, 0.94), strict=True))
    row = {"command": "python a", "counts": {"keys": 7}, "auc": auc}
    module.KEPT.write_text(json.dumps({"mini": row}))
    assert "| mini | 7 | 0.500 | 0.610 | 0.720 | 0.830 | 0.940 |" in module.table()
    assert module.table().endswith("`cutouts_val`, with `python a`.")


def write_kept(detectors, *values):
    detectors.KEPT.write_text(json.dumps(kept_detectors(detectors, *values)))
    return detectors.tables()


def test_detectors_of_one_seed_have_no_interval(detectors):
    assert detectors.tables() == "Not run yet."
    tables = write_kept(detectors, 50.0)
    assert "| LOST | 49.0 | 49.0 | 49.0 | – | – |" in tables
    assert "| CAD on LOST, minus LOST | +1.0 | +1.0 | +1.0 | – | – |" in tables
    assert "| CutLER on MaskCut | 50.0 | 50.0 | 50.0 | 50.0 | 25.0 |" in tables
    runs = "labels `python a` (commit abc1234); seed 0 `python b 0` (commit seed0)."
    assert tables.endswith(f"`cutouts_val`, one seed: {runs}")


def test_detectors_have_intervals_over_three_seeds(detectors):
    tables = write_kept(detectors, 50.0, 52.0, 54.0)
    # t of 2 degrees of freedom, 4.303, times a standard error of 2 / sqrt(3)
    assert "| CAD on LOST | 52.0 [47.0, 57.0] |" in tables
    assert "| CAD on LOST, learnt from | 52.0 [47.0, 57.0] |" in tables
    assert "| CAD on LOST, minus LOST | +3.0 [-2.0, +8.0] |" in tables
    # the same in each seed
    assert "| CAD on LOST on the refined backbone, minus CAD on LOST | +0.0 |" in tables
    row = (
        "| confirmed by the detector (10 images, 22 masks) "
        "| images with overlapping instances | 52.0 [47.0, 57.0] |"
    )
    assert row in tables and "3 seeds" in tables


def test_initial_weights_of_a_detector_of_classes_are_compared(detectors):
    kept = kept_detectors(detectors, 50.0)
    of_trunk = {"ap50": 50.0, "ap": 20.0, "segm_ap50": 40.5, "segm_ap": 25.0}
    kept["seeds"]["0"]["results"]["the trunk that ships"] = {"": of_trunk}
    detectors.KEPT.write_text(json.dumps(kept))
    tables = detectors.tables()
    assert "| started from | box AP50 | box AP | mask AP50 | mask AP |" in tables
    assert "| the trunk that ships | 50.0 | 20.0 | 40.5 | 25.0 |" in tables
    assert "| CutLER's detector | 50.0 | 50.0 | 50.0 | 25.0 |" in tables
    assert "| the second minus the first | +0.0 | +30.0 | +9.5 | +0.0 |" in tables


def test_a_result_missing_from_one_seed_has_empty_cells(detectors):
    kept = kept_detectors(detectors, 50.0, 52.0)
    del kept["seeds"]["0"]["results"]["the trunk that ships"]
    detectors.KEPT.write_text(json.dumps(kept))
    tables = detectors.tables()
    assert "| the trunk that ships | – | – | – | – |" in tables
    assert "| CutLER's detector | 51.0 | 51.0 |" in tables
    assert "| the second minus the first | – | – | – | – |" in tables


def test_metrics_of_detectron2_get_the_names_of_our_metrics(detectors, tmp_path):
    of_boxes, of_masks = ({"AP": 10.0 + x, "AP50": 20.0, "AP-food": 7.0} for x in (0, 1))
    values = {"bbox": of_boxes, "segm": of_masks}
    path = tmp_path / "results.json"
    path.write_text(json.dumps({"datasets": {"cutouts_val": values}}))
    assert detectors._metrics(path) == {
        "": {"ap": 10.0, "ap50": 20.0, "segm_ap": 11.0, "segm_ap50": 20.0}
    }
    path.write_text(json.dumps({"corloc": 1.0, "ap": 2.0, "images": 3}))
    assert detectors._metrics(path) == {"": {"corloc": 1.0, "ap": 2.0}}


def test_a_seed_is_kept_as_soon_as_it_is_complete(detectors, monkeypatch, tmp_path):
    def run(plan, settings):
        if "seed=2" in settings:
            raise UserError("seed 2 failed")
        return {"commit": "abc1234", "command": " ".join(["python", plan, *settings])}

    monkeypatch.setattr(detectors, "run_pipeline", run)
    monkeypatch.setattr(
        detectors, "_metrics", lambda path: dict.fromkeys(detectors.IMAGES, {"corloc": 50.0})
    )
    monkeypatch.setattr(detectors, "_counts", lambda folder: {"images": 3, "labels": 4})
    with pytest.raises(UserError, match="seed 2 failed"):
        detectors.run(["1", "2"], tmp_path)
    detectors.run(["0"], tmp_path)
    kept = json.loads(detectors.KEPT.read_text())
    assert list(kept["seeds"]) == ["0", "1"] and "seed=1" in kept["seeds"]["1"]["command"]
    assert "| CAD on LOST | 50.0 | – |" in detectors.tables() and "2 seeds" in detectors.tables()


def score(mean, per_seed):
    return {"mean": mean, "ci95": [mean - 2.0, mean + 2.5], "per_seed": per_seed}


def result(gain):
    corloc = {"lost": score(60.0, [59.0, 61.0]), "h": score(40.0, [39.0, 41.0])}
    corloc["refined"] = score(60.0 + gain, [59.0 + gain, 61.0 + gain])
    gains = {"refined_minus_lost": score(gain, [gain, gain])}
    gains["h_minus_lost"] = score(-20.0, [-20.0, -20.0])
    data = {"images": 300, "corloc": corloc, "gain": gains}
    record = {"h_hits_pseudo_box": 70.0, "boxes_changed": 20.0, "feature_shift": 0.0625}
    return {"datasets": {"scenes:val": data}, "seeds": [0, 1], "records": [record] * 2} | {
        "commit": "abc1234"
    }


def keep(script, name, found):
    (script.KEPT / f"{name}.json").write_text(json.dumps(found))


def test_the_page_shows_the_numbers_of_the_results(script):
    keep(script, "main", result(1.5))
    keep(script, "k1", result(-0.5))
    page = script.page()
    assert "| `scenes:val`, 300 | 60.0 [58.0, 62.5] | 40.0 [38.0, 42.5] | 61.5 [59.5, 64.0]" in page
    assert "| +1.5 [-0.5, +4.0] | -20.0 [-22.0, -17.5] |" in page
    assert "| seed 1 | 61.0 | 41.0 | 62.5 | +1.5 | -20.0 |" in page
    assert "| *h* has 1 box | 2 | -0.5 [-2.5, +2.0] | 40.0 | 70.0 | 20.0 | 0.062 |" in page
    assert "| k1 | abc1234 | `python tools/run_demo.py " in page
    assert "MODEL.MAP_DETECTOR.NUM_BOXES 1`" in page
    assert (
        "Not run yet: TokenCut in place of LOST; MOVE's head in place of LOST, its mask refined; "
        "without the preservation term; *h* has 5" in page
    )
    assert "<!--" not in page


def test_another_rule_has_its_own_table_and_no_row_among_the_settings(script):
    keep(script, "main", result(1.5))
    keep(script, "tokencut", json.loads(json.dumps(result(2.5)).replace("lost", "tokencut")))
    page = script.page()
    assert "| Data, images | TokenCut on *f* | *h* | TokenCut on *f^h* | gain of TokenCut |" in page
    assert "| +2.5 [+0.5, +5.0] | -20.0 [-22.0, -17.5] |" in page
    assert "| TokenCut in place of LOST |" not in page
    assert "| tokencut | abc1234 |" in page


def test_the_drift_table_shows_checks_and_rank_correlations(script):
    rows = [
        {"iteration": 10 * i, "flip_agreement": 0.8 - i / 10, "area_ratio": 1.0 + i / 5}
        | {"feature_shift": i / 4, "corloc": 60.0 - 2 * i}
        for i in range(4)
    ]
    keep(script, "main", result(0.0))
    keep(
        script,
        "drift",
        result(0.0) | {"records": [{**result(0.0)["records"][0], "drift": rows}] * 2},
    )
    page = script.page()
    assert "| 30 | 0.500 | 1.600 | 0.750 | 54.0 |" in page
    assert "over these 8 checks" in page
    assert "- agreement with mirrored images: +1.00" in page
    assert "- shift of the map: -1.00" in page


def test_the_committed_page_equals_the_page_made_from_kept_results(load_script):
    page = load_script("small_world").page()
    assert (ROOT / "docs/results/small_world.md").read_text(encoding="utf-8") == page


def test_every_setting_is_a_valid_change_of_the_configuration(script):
    names = [setting["name"] for setting in script.settings()]
    assert len(set(names)) == len(names) and names[0] == "main"
    for setting in script.settings():
        command = script.demo_command(setting, Path("out"))
        opts = command[command.index(f"out/{setting['name']}") + 1 :]
        cfg = load_config(str(ROOT / script.CONFIG), opts)
        for key, value in setting.get("opts", {}).items():
            node = cfg
            for part in key.split("."):
                node = node[part]
            assert (list(node) if isinstance(node, tuple) else node) == value


def test_mistakes_are_named(script):
    with pytest.raises(UserError, match="no setting 'k2'; known: main, "):
        script.run(["k2"], Path("out"))
    with pytest.raises(UserError, match="--run main"):
        script.page()
