import json
import re

import pytest

from boxrefine_d2.errors import UserError
from boxrefine_d2.report import (
    detector_summary,
    read_detectors,
    read_run,
    summarise,
    write_page,
)
from boxrefine_d2.report.page import _verdict
from boxrefine_d2.report.rendering import number
from boxrefine_d2.report.tables import headline_table

from .parsed_page import Page

VOID = {"meta", "br", "img", "link", "input", "hr", "image", "rect", "line", "circle", "polyline"}
DATASET = "scenes:val+first=4"


@pytest.fixture(scope="module")
def written(tiny_run, tmp_path_factory):
    run = read_run(tiny_run)
    summary = summarise([run], ["python tools/train_net.py X '<b>&'"])
    path = tmp_path_factory.mktemp("page") / "new" / "report.html"
    write_page(path, summary, [run])
    return path.read_text(encoding="utf-8"), summary


def test_the_page_has_every_section(written):
    page = Page(written[0], VOID)
    ids = [attrs.get("id") for tag, attrs in page.elements if tag == "section"]
    assert ids == ["result", "images", "curves", "record", "repeat"]
    for text in (DATASET, "seed 3", "LOST before", "LOST after", "h, best box", "gain, points"):
        assert text in page.text
    for text in ("random:0", "SHA-256", "phase refine", "boxes changed", "feature shift"):
        assert text in page.text
    assert written[1]["weights"]["sha256"] in page.text
    assert page.count("article", "card") == 4
    assert page.count("image", "photo") == 4
    assert page.count("image", "cells") == 8  # a map before and one after
    assert page.count("svg", "chart") == 8
    assert page.count("polyline") == 8


def test_settings_are_those_that_differ_from_the_paper_profile(written):
    found = dict(re.findall(r'<th scope="row">([A-Z_.]+)</th><td>(.*?) \(profile', written[0]))
    assert found["SOLVER.MAX_ITER"] == "4"
    assert found["INPUT.SQUARE_SIZE"] == "64"
    assert "SOLVER.WEIGHT_DECAY" not in found and "SEED" not in found
    assert not any(name.startswith("MODEL.ROI") for name in found)


def test_the_page_is_self_contained(written):
    text, _ = written
    assert not re.search(r"(src|href)\s*=\s*[\"'](?!data:)", text)
    assert not re.search(r"https?:|url\(|@import|<script|<link", text)
    assert "$" not in text


def test_text_from_outside_is_escaped(written):
    assert "X '<b>&'" in Page(written[0], VOID).text
    assert "'<b>&'" not in written[0]


def test_drawn_boxes_equal_the_scored_ones(written, tiny_run):
    """IoUs on the cards give the hits of the run's record; the page has no warning."""
    assert "differ from those that the run was scored with" not in written[0]
    found = re.findall(r"IoU before</dt><dd>([\d.]+)", written[0])
    rows = json.loads(next(tiny_run.rglob("corloc_per_image.json")).read_text())
    assert sum(float(iou) >= 0.5 for iou in found) == sum(hit for _, hit in rows["lost"])


def test_boxes_that_differ_from_the_record_are_named(tiny_run, tmp_path, monkeypatch):
    run = read_run(tiny_run)
    for hits in run.hits[DATASET].by_source.values():
        hits[:] = ~hits
    write_page(tmp_path / "p.html", summarise([run]), [run], shown=2)
    assert "scored with on 2 of these images" in (tmp_path / "p.html").read_text(encoding="utf-8")


def test_detectors_have_a_section_and_a_box_on_each_card(
    written, tiny_run, made_up_detectors, tmp_path
):
    """The detector found nothing on the last image, which has no box and no IoU of it."""
    run = read_run(tiny_run)
    stages = made_up_detectors(tmp_path, 3, cad=[0, 0, 0, 0], cad_refined=[1, 0, 1, None])
    detectors = read_detectors(stages, run)
    summary = summarise([run], [], detector_summary(detectors, run, ["python tools/X"]))
    write_page(tmp_path / "p.html", summary, [run], detectors=detectors)
    page = Page((tmp_path / "p.html").read_text(encoding="utf-8"), VOID)
    ids = [attrs.get("id") for tag, attrs in page.elements if tag == "section"]
    assert ids == ["result", "detectors", "images", "curves", "record", "repeat"]
    assert page.count("g", "cad") == 3 + 1  # one in the legend
    assert "CAD on LOST after, best box" in page.text
    assert page.text.count("CAD 1.00") == 2  # the IoU of the hits
    assert page.text.count("CAD 0.00") == 2
    assert "python tools/X" in page.text
    plain = Page(written[0], VOID)
    assert plain.count("g", "cad") == 0 and "CAD" not in plain.text


def test_a_run_without_its_model_is_refused(made_up_run, tmp_path):
    hits = {source: [1, 0, 1, 0] for source in ("lost", "h", "refined")}
    run = read_run(made_up_run("a", 0, **hits))
    with pytest.raises(UserError, match=r"no model_final.pth in .*a: the page"):
        write_page(tmp_path / "p.html", summarise([run]), [run])
    assert not (tmp_path / "p.html").exists()


def summary_with_gain(mean, low, high):
    score = {"mean": 40.0, "ci95": [30.0, 50.0], "per_seed": [40.0]}
    gain = {"refined_minus_lost": {"mean": mean, "ci95": [low, high], "per_seed": [mean]}}
    corloc = {source: score for source in ("lost", "h", "refined")}
    found = {"images": 9, "corloc": corloc, "gain": gain}
    return {
        "rule": "lost",
        "seeds": [0],
        "images": 9,
        "corloc": {source: 40.0 for source in corloc},
        "gain": gain,
        "datasets": {"<x>": found},
    }


@pytest.mark.parametrize(
    ("gain", "words", "colour"),
    [
        ((3.0, 1.0, 5.0), "Refinement helped.", "c-gain"),
        ((-3.0, -5.0, -1.0), "Refinement hurt.", "c-loss"),
        ((3.0, 0.0, 5.0), "this run does not show", "c-even"),
        ((-3.0, -9.0, 2.0), "this run does not show", "c-even"),
    ],
)
def test_a_gain_is_reported_only_if_its_interval_excludes_zero(gain, words, colour):
    summary = summary_with_gain(*gain)
    assert words in _verdict(summary)
    table = headline_table("<x>", summary["datasets"]["<x>"], summary)
    assert f'class="gain {colour}"' in table
    assert "&lt;x&gt;" in table and "<x>" not in table


def test_numbers():
    assert number(-1.25, digits=1) == "−1.2"
    assert number(-0.04) == "0.0"
    assert number(0.04, signed=True) == "+0.0"
    assert number(100, digits=0) == "100"


def test_a_run_without_a_detector_h_has_no_box_of_h(tiny_run, tmp_path, monkeypatch):
    """A refinement by regions has no h; its output has no instances."""
    from boxrefine_d2.refinement import BoxRefiner
    from boxrefine_d2.report.run_folder import read_finished
    from boxrefine_d2.report.unlabelled_page import write_unlabelled_page

    forward = BoxRefiner.forward

    def without_h(model, samples):
        outputs = forward(model, samples)
        return [{key: x[key] for key in x if key != "instances"} for x in outputs]

    texts = []
    for name, function in (("with", forward), ("without", without_h)):
        monkeypatch.setattr(BoxRefiner, "forward", function)
        write_unlabelled_page(tmp_path / f"{name}.html", read_finished(tiny_run), 2)
        texts.append((tmp_path / f"{name}.html").read_text(encoding="utf-8"))
    assert ["h, best box" in text for text in texts] == [True, False]
    assert [Page(text, VOID).count("g", "h") > 0 for text in texts] == [True, False]
