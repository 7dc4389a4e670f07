import argparse
import json
import re
from html import unescape
from pathlib import Path

import numpy as np
import pytest
import torch

from boxrefine_d2.config import boxrefine_cfg
from boxrefine_d2.data import load_spec
from boxrefine_d2.data.mappers.phrase import QueryMapper
from boxrefine_d2.errors import UserError
from boxrefine_d2.report.drawing import drawn_point
from boxrefine_d2.report.grounding_cards import phrase_cards
from boxrefine_d2.report.grounding_figures import (
    PhraseExample,
    _maps,
    drawn_map,
    load_grounding_model,
    phrase_examples,
)
from boxrefine_d2.report.grounding_kinds import GROUNDING_KINDS
from boxrefine_d2.report.grounding_page import _verdict, write_grounding_page
from boxrefine_d2.report.grounding_run import GroundingRun, PhraseHits, read_grounding_run
from boxrefine_d2.report.rendering import number
from boxrefine_d2.training.jobs import trainer_for
from boxrefine_d2.training.results_file import write_results
from boxrefine_d2.training.setup import setup

from .parsed_page import Page

VOID = {"meta", "br", "image", "rect", "line", "circle", "polyline", "path"}
DATASETS = ("scenes:val+first=8", "scenes:val+not_every=2+first=2")
KINDS = {"train": "HeatmapTraining", "refine": "GroundingRefiner"}
SHORT = {
    "DATASETS.TRAIN": "('scenes:train+first=4',)",
    "DATASETS.TEST": str(DATASETS),
    "MODEL.DEVICE": "cpu",
    "MODEL.CLIP.WEIGHTS": "random:0",
    "MODEL.HEATMAP.WEIGHTS": "random:0",
    # every heatmap then has a box
    "DISCOVERY.CONTOURS.MIN_AREA": 0.0,
    "INPUT.SQUARE_SIZE": 64,
    "INPUT.CACHE_GIB": 0.0,
    "REFINE.WARMUP_ITERS": 4,
    "SOLVER.IMS_PER_BATCH": 2,
    "SOLVER.WARMUP_ITERS": 0,
    "SOLVER.MAX_ITER": 8,
    "SOLVER.BASE_LR": 0.001,
    "SOLVER.MAP_NETWORK_LR": 0.001,
    "DATALOADER.NUM_WORKERS": 0,
    "LOG_PERIOD": 1,
}
BADGES = {
    (0, 1): "▲ {}: missed → hit",
    (1, 0): "▼ {}: hit → missed",
    (1, 1): "● {}: hit → hit",
    (0, 0): "○ {}: missed → missed",
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Return the output directories of runs of a few steps, one of each kind."""
    run_folders = {}
    for name in KINDS:
        folder = tmp_path_factory.mktemp("runs") / name
        pairs = [str(w) for pair in (SHORT | {"OUTPUT_DIR": folder}).items() for w in pair]
        config = f"configs/demo/grounding_{name}.yaml"
        cfg = setup(
            argparse.Namespace(config_file=config, opts=pairs, resume=False, eval_only=False)
        )
        trainer = trainer_for(cfg)(cfg)
        datasets = trainer.train()
        write_results(cfg, trainer.weights_info(trainer.network), datasets, trainer.record())
        run_folders[name] = folder
    return run_folders


@pytest.fixture(scope="module", params=KINDS)
def run(request, folders):
    return read_grounding_run(folders[request.param])


@pytest.fixture(scope="module")
def written(run, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "new" / "report.html"
    write_grounding_page(path, run, shown=100)
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def examples(run):
    return phrase_examples(run, load_grounding_model(run), DATASETS[0], 100)


def inference_folder_of(run, dataset):
    return run.folder / "inference" / dataset.replace(":", "_")


def units(dataset):
    """Return (image id, annotation id) -> record and annotation, in the order of the dataset."""
    return {
        (record["image_id"], place): (record, annotation)
        for record in load_spec(dataset).records
        for place, annotation in enumerate(record["annotations"])
    }


def test_the_page_has_every_section_and_every_phrase(written, run):
    page = Page(written, VOID)
    ids = [attrs.get("id") for tag, attrs in page.elements if tag == "section"]
    assert ids == ["result", "phrases", "curves", "record", "repeat"]
    phrases = [a["phrase"] for dataset in DATASETS for _, a in units(dataset).values()]
    assert len(phrases) >= 5
    assert page.count("article", "card") == page.count("image", "photo") == len(phrases)
    assert page.count("image", "cells") == 2 * len(phrases)
    phrases_on_page = [
        text[1:-1] for text in page.texts if text.startswith("“") and text.endswith("”")
    ]
    assert sorted(phrases_on_page) == sorted(phrases)
    for source in run.kind.sources.values():
        assert source.title in page.text and source.why in page.text
    for text in (*DATASETS, "SHA-256 " + run.results["weights"]["sha256"], "clip_mini: random:0"):
        assert text in page.text
    assert f"boxrefine_d2 {run.results['version']}" in page.text
    assert f"Settings that differ from configs/grounding_{run.folder.name}.yaml" in page.text
    assert "differs from what the run was scored with" not in page.text


def test_the_training_is_drawn(written, run):
    """Four losses and their sum; refinement adds three losses of h, the gradient, and phases."""
    page = Page(written, VOID)
    phased = run.kind.phased
    assert page.count("svg", "chart") == page.count("polyline") == (9 if phased else 5)
    assert ("phase refine: g learns, h is fixed" in page.text) == phased
    assert page.count("rect", "phase-refine") == (9 if phased else 0)
    assert ("Weight distance" in page.text) == phased
    assert " f learns" not in page.text and "of f's" not in page.text


def test_the_tables_have_both_accuracies_of_every_source(written, run):
    tables = re.findall(r'(?s)<table class="stack record accuracy">(.*?)</table>', written)
    assert len(tables) == 2
    for dataset, table in zip(DATASETS, tables, strict=True):
        found = run.results["datasets"][dataset]
        counts = found["phrases"]
        assert f"{counts['evaluated']} phrases of {counts['images']} images" in table
        rows = {}
        for row in re.findall(r"(?s)<tr.*?</tr>", table)[1:]:
            cells = re.findall(r'(?s)<td class="num seed" data-seed="(.*?)">(.*?)</td>', row)
            title = re.sub(r"<span.*?</span>", "", re.findall(r"<th.*?>(.*?)</th>", row)[0])
            rows[unescape(title)] = {
                head: re.sub(r'(?s).*class="big">([−+\d.]+)<.*', r"\1", text)
                for head, text in cells
            }
        sources = run.kind.sources
        assert set(rows) == {source.title for source in sources.values()} | {"gain, points"}
        for name, source in sources.items():
            pointing = found["pointing"].get(name)
            without = counts.get(f"without_box_{name}")
            assert rows[source.title] == {
                "pointing": "–" if pointing is None else number(pointing),
                "box": number(found["box_acc"][name]),
                "without box": "–" if without is None else str(without),
            }
        for metric, head in (("pointing", "pointing"), ("box_acc", "box")):
            gain = found[metric][run.kind.after] - found[metric][run.kind.before]
            assert rows["gain, points"][head] == number(gain, signed=True)


def test_badges_equal_the_record_of_the_run(written, run):
    cards = dict(
        zip(
            DATASETS,
            written.partition('<div class="cards">')[2].split('<div class="cards">'),
            strict=True,
        )
    )
    for dataset, text in cards.items():
        hits = json.loads(
            (inference_folder_of(run, dataset) / "grounding_per_phrase.json").read_text()
        )
        by_unit = {
            metric: {source: {(i, a): hit for i, a, hit in row} for source, row in rows.items()}
            for metric, rows in hits.items()
        }
        found = {}
        for card in re.findall(r"(?s)<article.*?</article>", text):
            phrase = re.findall(r"<h3>“(.*?)”</h3>", card)[0]
            file = re.findall(r'small file">(.*?)</p>', card)[0]
            found[file, phrase] = re.findall(r'class="badge c-.*?>(.*?)</span>', card)
        for unit, (record, annotation) in units(dataset).items():
            wanted = [
                BADGES[
                    by_unit[metric][run.kind.before][unit], by_unit[metric][run.kind.after][unit]
                ].format(title)
                for metric, title in (("pointing", "pointing"), ("box_acc", "box"))
            ]
            assert found[record["relative_name"], annotation["phrase"]] == wanted


def test_drawn_boxes_and_points_equal_the_record_of_the_run(examples, run):
    """The examples are compared with the records of the source "after" that the run wrote."""
    records = {
        (r["image_id"], r["annotation_id"]): r
        for r in json.loads((inference_folder_of(run, DATASETS[0]) / "grounding.json").read_text())
    }
    names = {
        (record["relative_name"], a["phrase"]): unit
        for unit, (record, a) in units(DATASETS[0]).items()
    }
    assert len(examples) == len(records) == len(names)
    for example in examples:
        wanted = records[names[example.name, example.phrases[0]]]
        assert example.agrees
        x, y, w, h = wanted["bbox"]
        [box] = example.boxes[run.kind.after].tolist()
        assert box == pytest.approx([x, y, x + w, y + h], abs=1e-3)
        assert list(example.points[run.kind.after]) == wanted["point"]
        assert set(example.boxes) == set(run.kind.drawn)
        assert set(example.points) == {run.kind.before, run.kind.after}
    assert any(e.points[run.kind.before] != e.points[run.kind.after] for e in examples)


def test_a_heatmap_is_brightest_at_its_point(examples, run):
    for example in examples:
        assert list(example.maps) == [run.kind.before, run.kind.after]
        for source, drawn in example.maps.items():
            values, (width, height) = drawn.cells.values, drawn.cells.extent
            assert (height, width) == example.image.shape[:2]
            x, y = example.points[source]
            rows, columns = values.shape
            assert values[int(y / height * rows), int(x / width * columns)] > 0.9
            assert values.min() < 0.1 and 0 <= drawn.low < drawn.high <= 1


def test_a_heatmap_is_the_mean_over_phrasings(run):
    model = load_grounding_model(run)
    sample = QueryMapper(64, "")(load_spec(DATASETS[0]).records[0])
    values = []
    for phrasings in (["a fish"], ["stones"], ["a fish", "stones"]):
        with torch.no_grad():
            drawn = _maps(run.kind, model, sample | {"queries": [(0, phrasings)]})[run.kind.after]
        values.append(drawn.low + drawn.cells.values * (drawn.high - drawn.low))
    one, other, both = values
    assert np.abs(one - other).max() > 2e-5
    np.testing.assert_allclose(both, (one + other) / 2, atol=1e-6)


def test_the_page_is_self_contained(written):
    assert not re.search(r"(src|href)\s*=\s*[\"'](?!data:)", written)
    assert not re.search(r"https?:|url\(|@import|<script|<link", written)
    assert "$" not in written


def test_fewer_phrases_are_the_first_of_each_outcome(folders):
    run = read_grounding_run(folders["refine"])
    boxes = run.hits[DATASETS[0]].by_metric["box_acc"]
    boxes["before"][:], boxes["refined"][:] = False, False
    boxes["refined"][-1] = True  # the only helped phrase
    found = phrase_examples(run, load_grounding_model(run), DATASETS[0], 2)
    every = [a["phrase"] for _, a in units(DATASETS[0]).values()]
    assert [example.phrases[0] for example in found] == [every[-1], every[0]]


def test_drawings_that_differ_from_the_record_are_named(folders, tmp_path):
    run = read_grounding_run(folders["train"])
    hits = run.hits[DATASETS[0]].by_metric["pointing"]["g"]
    hits[:] = ~hits
    write_grounding_page(tmp_path / "p.html", run, shown=2)
    text = Page((tmp_path / "p.html").read_text(encoding="utf-8"), VOID).text
    assert text.count("differs from what the run was scored with") == 1
    assert "scored with on 2 of these phrases (“" in text


def test_a_changed_dataset_is_refused(folders):
    run = read_grounding_run(folders["train"])
    run.hits[DATASETS[0]].units[1] = (77, 0)
    model = load_grounding_model(run)
    with pytest.raises(UserError, match="changed since .* 1 of its .* annotation 0 of image 77"):
        phrase_examples(run, model, DATASETS[0], 1)


def test_files_of_different_runs_are_refused(folders, tmp_path):
    for name in ("config.yaml", "results.json"):
        (tmp_path / name).write_text((folders["train"] / name).read_text())
    for file in folders["train"].rglob("grounding_per_phrase.json"):
        rows = json.loads(file.read_text())
        rows["pointing"]["g"] = [[*unit, 1 - hit] for *unit, hit in rows["pointing"]["g"]]
        copy = tmp_path / file.relative_to(folders["train"])
        copy.parent.mkdir(parents=True)
        copy.write_text(json.dumps(rows))
    with pytest.raises(UserError, match="is not of the run in .*: its pointing accuracy is"):
        read_grounding_run(tmp_path)


def invented_run(before, after, images):
    hits = {"before": np.array(before, bool), "refined": np.array(after, bool)}
    cfg = boxrefine_cfg()
    cfg.MODEL.META_ARCHITECTURE = "GroundingRefiner"
    found = PhraseHits(
        [(image, number) for number, image in enumerate(images)],
        {"pointing": hits, "box_acc": hits},
        {"evaluated": len(images), "images": len(set(images))},
    )
    return GroundingRun(Path("x"), cfg, {}, {"<x>": found})


def test_intervals_are_over_images():
    """One image has three hits, another has one miss.

    The mean of a draw of both images ranges from none to all. A quarter of the draws take only the
    image with the miss; if four phrases were drawn, it would be one draw in 256.
    """
    hits = invented_run([0, 0, 0, 0], [1, 1, 1, 0], "aaab").hits["<x>"]
    rate = hits.rate("pointing", "refined")
    assert (rate.mean, rate.low, rate.high) == (75.0, 0.0, 100.0)
    gain = hits.gain("pointing", "before", "refined")
    assert (gain.mean, gain.low, gain.high) == (75.0, 0.0, 100.0)
    same = hits.gain("pointing", "refined", "refined")
    assert (same.mean, same.low, same.high) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ([0] * 20, [1] * 20, "g after is better."),
        ([1] * 20, [0] * 20, "g after is worse."),
        ([0, 1] * 10, [1, 0] * 10, "the interval holds zero"),
    ],
)
def test_a_gain_is_reported_only_if_its_interval_excludes_zero(before, after, words):
    verdict = _verdict(invented_run(before, after, range(20)))
    assert verdict.count(words) == 2
    assert "&lt;x&gt;" in verdict and "<x>" not in verdict


def example(**changes):
    flat = drawn_map(torch.full((4, 4), 0.5), (30, 40))
    whole = {
        "name": "<i>.png",
        "phrases": ("a <b>&", "another"),
        "hits": {"pointing": {"clip": True, "g": False}, "box_acc": {"clip": False, "g": False}},
        "agrees": True,
        "image": np.zeros((30, 40, 3), np.uint8),
        "truth": torch.tensor([[0.0, 0, 10, 10], [20, 20, 40, 30]]),
        "boxes": {"clip": torch.zeros(0, 4), "g": torch.tensor([[1.0, 2, 3, 4]])},
        "points": {"clip": (0, 0), "g": (20, 10)},
        "iou": {"clip": 0.0, "g": 0.25},
        "maps": {"clip": flat, "g": flat},
    }
    return PhraseExample(**(whole | changes))


def test_a_card_of_a_phrase_of_two_boxes_one_source_without_a_box():
    text = phrase_cards([example()], GROUNDING_KINDS["HeatmapTraining"])
    page = Page(text, VOID)
    assert "“a <b>& / another”" in page.text and "<b>" not in text
    assert "<i>.png" in page.text and "<i>" not in text
    assert page.count("g", "gt") == 2 * 3  # on the image and both heatmaps
    assert page.count("g", "after") - page.count("g", "point") // 2 == 2  # the box of g
    assert page.count("g", "before") == page.count("g", "point") // 2 == 2  # only the points
    assert "IoU, CLIP no box IoU, g 0.25" in page.text
    assert "values, g 0.50 to 0.50" in page.text


def test_a_heatmap_is_stretched_and_a_constant_one_is_dark():
    drawn = drawn_map(torch.tensor([[0.25, 0.5], [0.5, 0.75]]), (30, 40))
    assert drawn.cells.values.tolist() == [[0.0, 0.5], [0.5, 1.0]]
    assert (drawn.low, drawn.high, drawn.cells.extent) == (0.25, 0.75, (40, 30))
    assert not drawn_map(torch.full((3, 3), 0.5), (30, 40)).cells.values.any()
    large = drawn_map(torch.rand(300, 300), (30, 40)).cells.values
    assert large.shape == (112, 112) and 0 <= large.min() < large.max() <= 1


def test_a_point_at_the_border_is_fully_visible():
    middle, corner = (
        drawn_point("before", point, (40, 30), half=3.0).path for point in ((20, 10), (39, 0))
    )
    assert middle.startswith("M20.5,7.5L23.5,10.5L20.5,13.5L17.5,10.5Z")
    assert corner.startswith("M37.0,0.0L40.0,3.0L37.0,6.0L34.0,3.0Z")
    assert drawn_point("after", (20, 10), (40, 30), half=3.0).path != middle
