"""Tables of phrases from invented hits, and the pipeline that makes real ones."""

import json
from pathlib import Path

import pytest

from boxrefine_d2.errors import UserError
from boxrefine_d2.training.setup import load_config
from boxrefine_d2.workflow import plan_of_file

ROOT = Path(__file__).parents[2]
DATA = "scenes:val"


@pytest.fixture
def grounding(tmp_path, monkeypatch, load_script):
    module = load_script("grounding")
    monkeypatch.setattr(module, "KEPT", tmp_path / "grounding.json")
    return module


def kept_seed(grounding, hits, images=None, **others):
    """Return the kept results of a seed whose sources all have the same hits.

    Args:
        hits: one character per phrase, "1" for a hit.
        images: image number of each phrase; one image per phrase if None.
        others: hits of a source, or of a source in a stage ("stage_source"), that differ.
    """
    images = images or " ".join(map(str, range(len(hits))))
    stages = {}
    for stage, sources in grounding._sources().items():
        each = {
            source: others.get(f"{stage}_{source}", others.get(source, hits)) for source in sources
        }
        pointing = {source: of for source, of in each.items() if source != "h"}
        counts = {"evaluated": len(hits), "images": 2}
        counts |= {f"without_box_{source}": of.count("0") for source, of in each.items()}
        found = {"pointing": pointing, "box_acc": each}
        percents = {source: 100 * of.count("1") / len(hits) for source, of in each.items()}
        stages[stage] = {
            DATA: {"phrases": counts, "images": images, "hits": found, "box_acc": percents}
        }
    return {"commit": "abc1234", "command": "python a", "stages": stages}


def tables(grounding, *seeds):
    grounding.KEPT.write_text(json.dumps({"seeds": {str(i): of for i, of in enumerate(seeds)}}))
    return grounding.tables()


def test_tables_without_results_say_not_run(grounding):
    assert grounding.tables() == "Not run yet."
    grounding.KEPT.write_text('{"seeds": {}}')
    assert grounding.tables() == "Not run yet."


def test_each_source_has_a_row_with_an_interval(grounding):
    # 95 % of the draws of 100 fair coins have 40 to 60 heads
    text = tables(grounding, kept_seed(grounding, "01" * 50, g="1" * 100, centre="0" * 100))
    assert f"|  | pointing, `{DATA}` | box accuracy, `{DATA}` |" in text
    assert "| CLIP's relevance map | 50.0 [40.0, 60.0] | 50.0 [40.0, 60.0] |" in text
    assert "| *g* | 100.0 [100.0, 100.0] | 100.0 [100.0, 100.0] |" in text
    assert "| *g^h* | 50.0 [40.0, 60.0] | 50.0 [40.0, 60.0] |" in text
    assert "| *h* | – | 50.0 [40.0, 60.0] |" in text
    assert "| the image's centre | 0.0 [0.0, 0.0] | 0.0 [0.0, 0.0] |" in text
    assert text.endswith(
        f"`{DATA}` has 100 phrases of 2 images; one seed: seed 0 `python a` (commit abc1234)."
    )


def test_phrases_of_an_image_are_drawn_together(grounding):
    """One of two images has two hits, the other two misses.

    A draw has both images, or one of them twice.
    """
    text = tables(grounding, kept_seed(grounding, "1100", "0 0 1 1", g="1010"))
    assert "| CLIP's relevance map | 50.0 [0.0, 100.0] | 50.0 [0.0, 100.0] |" in text
    # each image has one hit, and every draw has the same percentage
    assert "| *g* | 50.0 [50.0, 50.0] | 50.0 [50.0, 50.0] |" in text
    assert "| *g* minus CLIP's relevance map | +0.0 [-50.0, +50.0] |" in text


def test_differences_are_paired_by_phrase(grounding):
    of = {"shuffled": "10", "centre": "01", "random": "00", "clip": "11", "refined": "11"}
    text = tables(grounding, kept_seed(grounding, "10", **of))
    # one of two phrases differs: a draw has it never, once or twice
    assert "| *g* minus a random point and box | +50.0 [+0.0, +100.0] |" in text
    assert "| *g* minus CLIP's relevance map | -50.0 [-100.0, +0.0] |" in text
    assert "| *g* minus the image's centre | +0.0 [-100.0, +100.0] |" in text
    assert "| *g* minus *g* with phrases of other images | +0.0 [+0.0, +0.0] |" in text
    assert "| *g^h* minus *g* | +50.0 [+0.0, +100.0] | +50.0 [+0.0, +100.0] |" in text
    assert "| *h* minus *g* | – | +0.0 [+0.0, +0.0] |" in text


def test_seeds_are_drawn_within_each_draw(grounding):
    text = tables(grounding, kept_seed(grounding, "1111"), kept_seed(grounding, "0000", g="1111"))
    # a draw has one of the seeds twice, or both
    assert "| CLIP's relevance map | 50.0 [0.0, 100.0] |" in text
    assert "| *g* minus CLIP's relevance map | +50.0 [+0.0, +100.0] |" in text
    assert "| *g* | 100.0 [100.0, 100.0] |" in text
    assert "; 2 seeds: seed 0 `python a` (commit abc1234); seed 1 `python a`" in text


def test_each_refinement_has_a_row(grounding):
    of = {"no_union_refined": "00", "no_losses_h": "00", "k1_score_refined": "10"}
    text = tables(grounding, kept_seed(grounding, "11", **of))
    all_hit, none, half = "100.0 [100.0, 100.0]", "0.0 [0.0, 0.0]", "50.0 [0.0, 100.0]"
    assert f"| box accuracy of *g^h*, `{DATA}` | box accuracy of *h*, `{DATA}` |" in text
    assert f"| as the paper does it | {all_hit} | {all_hit} | {all_hit} |" in text
    assert f"| targets never united | {none} | {none} | {all_hit} |" in text
    assert f"| without the localisation losses | {all_hit} | {all_hit} | {none} |" in text
    assert f"| *k* = 1 | {half} | {half} | {all_hit} |" in text


def test_the_last_table_shows_each_seed(grounding):
    of = {"g": "10", "before": "01", "refine_refined": "00"}
    text = tables(grounding, kept_seed(grounding, "11", **of), kept_seed(grounding, "00"))
    assert f"|  | without a box, `{DATA}` | box accuracy, `{DATA}` |" in text
    assert "| *g* | 50.0, 100.0 | 50.0, 0.0 |" in text
    assert "| *g^h* | 100.0, 100.0 | 0.0, 0.0 |" in text
    assert "| *g*, boxes at 0.5 | 50.0, 100.0 | 50.0, 0.0 |" in text
    assert "| as the paper does it | 0.0, 100.0 | 100.0, 0.0 |" in text


def write_stage(folder):
    """Write the results of two phrases of an image; every source hits the first."""
    sources = ("clip", "g", "before", "refined", "h", "shuffled", "centre", "random")
    percents = dict.fromkeys(sources, 50.0)
    pointing = {source: value for source, value in percents.items() if source != "h"}
    counts = {"evaluated": 2, "images": 1} | {f"without_box_{source}": 1 for source in sources}
    found = {DATA: {"pointing": pointing, "box_acc": percents, "phrases": counts}}
    # a source without points has no hits for pointing
    each = {source: [["a", 7, 1], ["a", 9, 0]] for source in sources}
    nowhere = {**each, "h": [["a", 7, 0], ["a", 9, 0]]}
    inner = folder / "inference" / "scenes_val"
    inner.mkdir(parents=True)
    (folder / "results.json").write_text(json.dumps({"datasets": found}))
    base = ROOT / "configs/demo/grounding_train.yaml"
    config = f'_BASE_: {base}\nVERSION: 2\nDATASETS:\n  TEST: ("{DATA}",)\n'
    (folder / "config.yaml").write_text(config)
    hits = json.dumps({"pointing": nowhere, "box_acc": each})
    (inner / "grounding_per_phrase.json").write_text(hits)


def test_a_seed_is_kept_as_soon_as_it_is_complete(grounding, monkeypatch, tmp_path):
    def run(plan, settings):
        if "seed=2" in settings:
            raise UserError("seed 2 failed")
        folder = Path(settings[-1].removeprefix("folder="))
        for stage in grounding._sources():
            write_stage(folder / stage)
        return {"commit": "abc1234", "command": " ".join(["python", plan, *settings])}

    monkeypatch.setattr(grounding, "run_pipeline", run)
    with pytest.raises(UserError, match="seed 2 failed"):
        grounding.run(["1", "2"], tmp_path, ["clip=there"])
    grounding.run(["0"], tmp_path)
    seeds = json.loads(grounding.KEPT.read_text())["seeds"]
    assert list(seeds) == ["0", "1"]
    command = f"python {grounding.PLAN} clip=there seed=1 folder={tmp_path / 'seed_1'}"
    assert seeds["1"]["command"] == command
    refined = seeds["1"]["stages"]["refine"][DATA]
    assert refined["hits"] == {
        "pointing": {"refined": "10"},
        "box_acc": {"h": "10", "refined": "10"},
    }
    assert refined["images"] == "0 0"
    assert refined["box_acc"]["before"] == 50.0 and refined["phrases"]["evaluated"] == 2
    assert "| *h* | – | 50.0 [50.0, 50.0] |" in grounding.tables()


def leaves(node, prefix=""):
    for key, value in node.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def test_each_stage_of_the_pipeline_changes_the_setting_in_its_name(grounding):
    configs = {}
    for stage in plan_of_file(ROOT / grounding.PLAN, {"seed": "3", "clip": "", "folder": "out"}):
        _, _, config, _, *opts = stage.command
        configs[stage.name] = dict(leaves(load_config(config, opts)))
        assert "results.json" in stage.makes
    assert set(grounding._sources()) < set(configs)
    assert {(c["SEED"], c["MODEL.CLIP.WEIGHTS"]) for c in configs.values()} == {(3, "")}
    refine = configs["refine"]
    assert refine["MODEL.HEATMAP.WEIGHTS"] == "out/train/heatmap.safetensors"
    half = refine | {"DISCOVERY.CONTOURS.THRESHOLD": 0.5, "OUTPUT_DIR": "out/half"}
    assert configs["half"] == half

    def changes(name):
        different = {key: value for key, value in configs[name].items() if value != half[key]}
        assert different.pop("OUTPUT_DIR") == f"out/{name}"
        return different

    weights = ("RELEVANCE_WEIGHT", "AREA_WEIGHT", "FOREGROUND_WEIGHT", "BACKGROUND_WEIGHT")
    assert changes("no_union") == {"GROUNDING.UNION_PROBABILITY": 0.0}
    assert changes("no_losses") == {f"GROUNDING.{name}": 0.0 for name in weights}
    one_box = {"MODEL.MAP_DETECTOR.NUM_BOXES": 1}
    assert changes("k1") == one_box | {"DISCOVERY.CONTOURS.MAX_OBJECTS": 1, "DATASETS.TEST": ()}
    assert changes("k1_score") == one_box | {"MODEL.WEIGHTS": "out/k1/model_final.pth"}


def test_the_page_shows_the_tables(grounding, load_script):
    text = tables(grounding, kept_seed(grounding, "10"))
    page = load_script("small_world").page()
    after, before = page.index("\n## Phrases\n"), page.index("\n## Commands\n")
    assert after < page.index(text) < before
