import json
import re

import pytest

from boxrefine_d2.errors import UserError
from boxrefine_d2.improvement import Comparison, Network, write_verdict
from boxrefine_d2.report.improvement_page import ImprovementFiles, write_improvement_page
from tests.report.parsed_page import Page

VOID = {"meta", "image", "rect"}
LABELLED = "scenes:train+first=10"


@pytest.fixture(scope="module")
def labelled(compare):
    return compare(LABELLED)


@pytest.fixture
def page(tmp_path):
    """Return a function that judges files, changes the verdict, and returns the page's text."""

    def write(compared, spec, shown=3, count=1, detector=None, **changes):
        after = [compared / "after.json"] * count
        refined, runs = [compared / "refined.safetensors"] * count, [compared / "refine"] * count
        before = compared / "before.json"
        comparison = Comparison(spec, before, after, refined, runs, Network("dino_mini", ""))
        write_verdict(comparison, tmp_path, images=1000, device="cpu", num_workers=0)
        path = tmp_path / "verdict.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))
        files = ImprovementFiles(spec, path, before, after, refined, runs, detector)
        write_improvement_page(tmp_path / "page.html", files, shown)
        return (tmp_path / "page.html").read_text(encoding="utf-8")

    return write


def sections(text):
    return [attrs["id"] for tag, attrs in Page(text, VOID).elements if tag == "section"]


def test_images_without_labels(page, compared, rendered):
    text = page(compared, f"folder:{rendered}", improved=False, chosen_round=0)
    parsed = Page(text, VOID)
    assert sections(text) == ["next", "signals", "images", "settings"]
    assert "agreement with mirrored images" in parsed.text and "judge by eye" in parsed.text
    assert set(re.findall(r"<figcaption>(.*?)</figcaption>", text)) == {"before", "after"}
    assert parsed.count("article", "card") == 3 and parsed.count("image", "photo") == 6
    assert "is a copy of the boxes from before" in parsed.text
    assert "boxrefine discover" not in parsed.text and "--method tokencut" in parsed.text
    shown = [float(x) for x in re.findall(r">IoU ([\d.]+)<", text)]
    assert shown == sorted(shown) and shown[0] < 1


def test_images_with_labels_show_what_got_worse(page, labelled):
    text = page(labelled, LABELLED, shown=2)
    parsed = Page(text, VOID)
    assert sections(text) == ["next", "signals", "labels", "images", "worse", "settings"]
    assert "The decision did not read these numbers" in parsed.text
    worse = text.split('id="worse"')[1]
    badges = re.findall(r"<figcaption>(.*?)</figcaption>", worse)
    assert badges and set(badges) == {"before: hit", "after: miss"}
    assert parsed.count("article", "card") <= 4  # two of each kind


def test_an_improvement_names_the_commands_that_use_it(page, compared, rendered, tmp_path):
    spec, detector = f"folder:{rendered}", tmp_path / "my detector"
    text = page(compared, spec, improved=True, chosen_round=1, detector=detector)
    shown = Page(text, VOID).text
    assert f"boxrefine sheet --input {tmp_path / 'boxes.json'} --data {spec}" in shown
    assert f"--weights {compared / 'refined.safetensors'} --output new.json" in shown
    assert f"MODEL.WEIGHTS '{detector}/model_final.pth'" in shown
    assert """DATASETS.TEST '("folder:NEW",)'""" in shown


def test_failures_duplicates_and_several_rounds(page, compared, rendered):
    failed = {f"<b>{i}.png": "cut short" for i in range(60)}
    spec = f"folder:{rendered}"
    text = page(compared, spec, count=2, images_failed=failed, near_duplicates=4)
    shown = Page(text, VOID).text
    assert "60 images have no boxes or no signals. The first 50:" in shown
    assert "<b>0.png" in shown and "<b>0" not in text
    assert "4 of 10 images look nearly identical" in shown
    assert "Round 1" in shown and "Round 2" in shown


def test_the_page_is_self_contained_and_small(page, labelled):
    text = page(labelled, LABELLED, shown=100)
    assert not re.search(r"(src|href)\s*=\s*[\"'](?!data:)", text)
    assert not re.search(r"https?:|url\(|@import|<script|<link", text)
    assert len(text) < 2_000_000


@pytest.mark.parametrize("changes", [{"rounds": [{}]}, {"weights": 3}, {"parameters": None}])
def test_a_damaged_verdict_is_refused(page, compared, rendered, changes):
    with pytest.raises(UserError, match=r"verdict.json is not in the form that boxrefine improve"):
        page(compared, f"folder:{rendered}", **changes)


def test_files_of_other_rounds_are_refused(compared, tmp_path):
    verdict = tmp_path / "verdict.json"
    verdict.write_text(json.dumps({"rounds": [{}, {}]}))
    one = [compared / "after.json"], [compared / "refined.safetensors"], [compared / "refine"]
    files = ImprovementFiles("scenes:val", verdict, compared / "before.json", *one)
    with pytest.raises(UserError, match="is on 2 rounds, and --after names 1 file"):
        write_improvement_page(tmp_path / "page.html", files, 3)
    files = ImprovementFiles("scenes:val", verdict, compared / "before.json", *one[:2], [])
    with pytest.raises(UserError, match="name one of each for every round"):
        write_improvement_page(tmp_path / "page.html", files, 3)
    assert not (tmp_path / "page.html").exists()
