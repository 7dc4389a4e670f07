"""The results page shows the numbers of a results file; the committed page fits the kept file."""

import json

from fuzz.page import KEPT, PAGE, page, published

RESULTS = {
    "command": "python -m fuzz.run --seed 3",
    "seed": 3,
    "commit": "abc",
    "machine": "a machine, 2 cores",
    "families": {
        "images": {
            "what": "odd images",
            "tries": 30,
            "seconds": 10.0,
            "slowest_seconds": 2.25,
            "peak_mib": 900,
            "outcomes": {"ok": 7, "refused": 20, "hang": 2, "traceback": 1},
            "failures": [
                {"cause": "hang: over 25 s", "count": 2},
                {"cause": "traceback: x.py:3 | KeyError", "count": 1},
            ],
        }
    },
}


def test_the_page_holds_the_numbers_of_the_run():
    text = page(RESULTS)
    (row,) = [line for line in text.splitlines() if line.startswith("| images")]
    assert [cell.strip() for cell in row.strip("|").split("|")] == [
        "images",
        "30",
        "7",
        "20",
        "3",
        "3",
        "2.2",
        "900",
    ]
    assert "3 of 30 tries failed:" in text
    assert "- images: 2 × hang: over 25 s" in text
    for value in (
        "python -m fuzz.run --seed 3",
        "abc",
        "a machine, 2 cores",
        "**images**: odd images.",
    ):
        assert value in text


def test_no_path_of_the_machine_is_published():
    failure = {
        "cause": "process left: /a/b/python /c/d/x.py",
        "count": 1,
        "first": 7,
        "title": "touch '/tmp/z/m'",
    }
    family = {"failures": [failure | {"kept": ["/a/b"], "detail": "/a/b"}]}
    (kept,) = published({"families": {"x": family}})["families"]["x"]["failures"]
    assert kept == {
        "cause": "process left: python x.py",
        "count": 1,
        "first": 7,
        "title": "touch 'm'",
    }


def test_the_page_of_a_run_without_failures_has_zero_failures():
    family = RESULTS["families"]["images"] | {"outcomes": {"ok": 30}, "failures": []}
    assert "0 of 30 tries failed." in page(RESULTS | {"families": {"images": family}})


def test_the_committed_page_equals_the_page_made_from_kept_results():
    assert PAGE.read_text(encoding="utf-8") == page(json.loads(KEPT.read_text(encoding="utf-8")))
