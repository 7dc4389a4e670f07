import json

import pytest

from boxrefine_d2.errors import UserError
from boxrefine_d2.report import (
    detector_summary,
    read_detectors,
    read_run,
    summarise,
    summary_table,
)
from boxrefine_d2.report.detector_section import detector_section

HITS = {"lost": [1, 1, 0, 0], "h": [0, 0, 0, 1], "refined": [1, 0, 1, 1]}
# the second detector found nothing on the last image
CAD = {"cad": [1, 1, 1, 0], "cad_refined": [0, 0, 1, None]}


@pytest.fixture
def run(made_up_run):
    return read_run(made_up_run("seed_5", 5, **HITS))


@pytest.fixture
def stages(made_up_detectors, tmp_path):
    return made_up_detectors(tmp_path / "detectors", 5, **CAD)


def test_the_best_box_of_each_image_is_scored(run, stages):
    before, after = read_detectors(stages, run)
    assert (before.source, before.labels, before.steps) == ("lost_cad", "lost", 7)
    assert (after.source, after.labels) == ("refined_cad", "refined")
    assert before.hits.tolist() == [True, True, True, False]
    assert after.hits.tolist() == [False, False, True, False]
    assert before.best_boxes[1000004] == (0, 0, 2, 2)
    assert 1000004 not in after.best_boxes
    assert before.average_precision == {"ap50": 20.0, "ap": 10.0}


def test_summary_by_hand(run, stages):
    """Before refinement CAD has 75 % and LOST 50 %; after it CAD has 25 % and LOST 75 %."""
    section_data = detector_summary(read_detectors(stages, run), run, ["python one"])
    assert (section_data["seed"], section_data["steps"], section_data["commands"]) == (
        5,
        7,
        ["python one"],
    )
    means = {source: score["corloc"]["mean"] for source, score in section_data["sources"].items()}
    assert means == {"lost": 50.0, "lost_cad": 75.0, "refined": 75.0, "refined_cad": 25.0}
    assert section_data["sources"]["refined_cad"]["ap50"] == 20.0
    gain = section_data["gain"]
    assert gain["lost_cad_minus_lost"]["mean"] == 25.0
    # on one image of four CAD is better, on none worse, so no draw has a loss
    assert gain["lost_cad_minus_lost"]["ci95"][0] == 0.0
    assert gain["refined_cad_minus_refined"]["mean"] == -50.0
    assert detector_summary([], run, []) == {}
    assert json.loads(json.dumps(section_data)) == section_data


def test_the_summary_says_that_the_detectors_are_of_one_seed(run, stages, made_up_run):
    runs = [run, read_run(made_up_run("seed_6", 6, **HITS))]
    without_detectors = summarise(runs)
    assert "detectors" not in without_detectors and set(without_detectors["corloc"]) == set(HITS)
    section_data = summarise(runs, [], detector_summary(read_detectors(stages, run), run, []))
    assert section_data["corloc"] == without_detectors["corloc"] | {
        "lost_cad": 75.0,
        "refined_cad": 25.0,
    }
    lines = summary_table(section_data).splitlines()
    start = next(i for i, line in enumerate(lines) if "Detectors" in line)
    assert "7 steps, of seed 5 only" in lines[start]
    assert lines[start + 1].split() == ["CorLoc", "interval", "gain", "interval", "AP50"]
    assert lines[start + 2].split()[:5] == ["CAD", "on", "LOST", "before", "75.0"]
    assert lines[start + 2].split()[-1] == "20.0"
    assert lines[start + 3].split()[:5] == ["CAD", "on", "LOST", "after", "25.0"]
    assert "-50.0" in lines[start + 3]
    assert len({len(line) for line in lines[start + 1 : start + 4]}) == 1
    rest = [line for i, line in enumerate(lines) if not start <= i <= start + 4]
    assert rest == summary_table(without_detectors).splitlines()


def test_files_of_another_detector_are_refused(run, stages, made_up_detectors, tmp_path):
    with pytest.raises(UserError, match=r"no results.json in .*nowhere"):
        read_detectors(tmp_path / "nowhere", run)
    other = made_up_detectors(tmp_path / "other", 4, **CAD)
    with pytest.raises(UserError, match=r"not of a detector that followed .*seed_5"):
        read_detectors(other, run)
    results = stages / "cad" / "results.json"
    results.write_text(results.read_text().replace("75.0", "74.0"))
    with pytest.raises(UserError, match=r"its CorLoc is 75.0, .* has 74.0; remove"):
        read_detectors(stages, run)


@pytest.mark.parametrize(
    ("interval", "words"),
    [
        ((1.0, 5.0), "CAD on LOST before beats the boxes"),
        ((-5.0, -1.0), "CAD on LOST before stays below the boxes"),
        ((0.0, 5.0), "CAD on LOST before: the interval of the gain holds zero"),
    ],
)
def test_cad_beats_its_labels_only_if_the_interval_is_above_zero(run, stages, interval, words):
    section_data = detector_summary(read_detectors(stages, run), run, ["python '<b>'"])
    section_data["gain"]["lost_cad_minus_lost"] = {"mean": 3.0, "ci95": list(interval)}
    section = detector_section(summarise([run], [], section_data))
    assert words in section
    assert "seed 5 only" in section and "7 steps" in section
    assert "10 000 steps of 16 images with a ResNet-50" in section
    assert "&lt;b&gt;" in section and "<b>" not in section
    assert detector_section(summarise([run])) == ""
