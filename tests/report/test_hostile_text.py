"""Hostile texts on a page are shown literally and have no effect.

They are names, specs, fields of label files, reasons, settings and commands.
"""

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import boxrefine_d2.report
from boxrefine_d2.report import read_run, summarise, write_page
from boxrefine_d2.report.contact_sheet import load_sheet, write_contact_sheet
from boxrefine_d2.report.detector_section import detector_section
from boxrefine_d2.report.figures import Example
from boxrefine_d2.report.grounding_cards import phrase_cards
from boxrefine_d2.report.grounding_kinds import GROUNDING_KINDS
from boxrefine_d2.report.rendering import render

from .parsed_page import Page
from .test_grounding_page import example as phrase_example

VOID = {"meta", "br", "img", "link", "input", "hr", "image", "rect", "line", "circle", "polyline"}
# markup, end of an attribute, template syntax, end of CDATA, invalid UTF-8, half a surrogate pair,
# control characters
HOSTILE = (
    '<script>alert(1)</script><img src=x onerror=alert(1)>" onload="x" \' & </svg> '
    "$title ${x} $ ]]> "
    "\udce9 \ud800 \x00\x1b[2J \u202e"
)
FILE = HOSTILE.replace("/", "").replace("\x00", "").replace("\ud800", "")  # a valid file name
IMAGE = np.zeros((30, 40, 3), np.uint8)


def check(text, times=1):
    """Check that nothing of `HOSTILE` is live, that all of it can be read, and that it is UTF-8."""
    text.encode("utf-8")
    page = Page(text, VOID)
    assert not [tag for tag, _ in page.elements if tag in ("script", "img")]
    assert not [name for _, attrs in page.elements for name in attrs if name.startswith("on")]
    assert not re.search("[\x00-\x08\x0b-\x1f\u202a-\u202e]", text)
    assert len(re.findall(r"<img src=x onerror=alert\(1\)>", page.text)) >= times
    assert r"$title ${x} $ ]]> \xe9" in page.text
    return page


def shown(text):
    """Return the markup of a text in the cell of a table."""
    return re.search("(?s)<td>(.*)</td>", render("shared/facts.html", facts={"name": text}))[1]


def test_a_text_is_shown_literally():
    assert shown("a <b> & \"c\" 'd'") == "a &lt;b&gt; &amp; &#34;c&#34; &#39;d&#39;"
    assert shown("\x00\x1b\u202e\ud800\udce9") == r"\x00\x1b\u202e\ud800\xe9"
    assert shown("Ärger 中 שלום") == "Ärger 中 שלום"
    assert shown(["<"]) == "[&#39;&lt;&#39;]"


def test_a_rendered_template_is_inserted_unchanged():
    assert shown(render("shared/facts.html", facts={})).startswith('<table class="facts">')


@pytest.mark.parametrize("files", [1, 2])
def test_a_contact_sheet(tmp_path, files):
    photos = tmp_path / "photos" / FILE
    photos.mkdir(parents=True)
    Image.new("RGB", (40, 30), "red").save(tmp_path / "red.png")
    os.rename(tmp_path / "red.png", photos / f"{FILE}.png")
    info = {
        "method": HOSTILE,
        "backbone": [HOSTILE],
        "images_failed": [{"file_name": HOSTILE, "reason": HOSTILE}, HOSTILE, {}],
    }
    document = {
        "info": info,
        "images": [{"id": 1, "file_name": f"{FILE}/{FILE}.png", "width": 40, "height": 30}],
        "annotations": [{"id": 1, "image_id": 1, "bbox": [1, 2, 9, 8], "score": 0.5}],
        "categories": [{"id": 1, "name": "object"}],
    }
    paths = [str(tmp_path / f"{FILE}{n}.json") for n in range(files)]
    for path in paths:
        with open(path, "w") as file:
            json.dump(document, file)
    data = f"folder:{tmp_path}/photos"
    write_contact_sheet(tmp_path / "sheet.html", load_sheet(data, paths))
    page = check((tmp_path / "sheet.html").read_text(encoding="utf-8"), times=4 + 2 * files)
    assert page.count("article", "card") == 1


def test_the_page_of_a_run(made_up_run, tmp_path, monkeypatch):
    hits = {name: [1, 0, 1, 0] for name in ("lost", "h", "refined")}
    run = read_run(made_up_run("r", 0, **hits))
    run.cfg.MODEL.MAP_NETWORK.NAME = HOSTILE
    run.results["weights"]["source"] = HOSTILE
    run.results["record"]["stopped"] = HOSTILE
    summary = summarise([run], [HOSTILE])
    summary["datasets"] = {HOSTILE: next(iter(summary["datasets"].values()))}
    box = torch.tensor([[1.0, 2, 9, 8]])
    boxes = {name: box for name in ("gt", "lost", "h", "refined")}
    shown = Example(HOSTILE, "helped", False, IMAGE, boxes, {"lost": 0.1}, {})
    monkeypatch.setattr(boxrefine_d2.report.page, "examples", lambda *given: [shown])
    write_page(tmp_path / "report.html", summary, [run])
    # the network occurs twice, because it also differs from the paper's
    check((tmp_path / "report.html").read_text(encoding="utf-8"), times=8)


def test_the_section_on_detectors():
    gain = {"mean": 1.0, "ci95": [0.0, 2.0]}
    sources = {x: {"corloc": {"mean": 1.0}} for x in ("lost", "refined")}
    sources |= {f"{x}_cad": {"corloc": {"mean": 1.0}, "ap50": 2.0} for x in sources}
    detectors = {"seed": 0, "steps": 7, "sources": sources, "commands": [HOSTILE]}
    detectors["gain"] = {f"{x}_cad_minus_{x}": gain for x in ("lost", "refined")}
    summary = {"rule": "lost", "dataset": HOSTILE, "images": 4, "detectors": detectors}
    check(detector_section(summary), times=2)


def test_the_card_of_a_phrase():
    shown = phrase_example(phrases=(HOSTILE, "b"), name=HOSTILE)
    check(phrase_cards([shown], GROUNDING_KINDS["HeatmapTraining"]), times=2)


def test_all_pages_escape_in_one_way():
    """Only templates contain markup, and they escape all values; one function marks safe markup."""
    folder = Path(boxrefine_d2.report.__file__).parent
    templates = list(folder.glob("templates/**/*.html"))
    assert len(templates) > 20
    for path in templates:
        assert not re.search(r"\|\s*safe|autoescape", path.read_text(encoding="utf-8")), path
    for path in folder.glob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"</\w|(import|from) html\b", text), path
        assert path.name == "rendering.py" or not re.search(r"Markup\([^)]", text), path
