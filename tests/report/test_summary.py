import json

import pytest

from boxrefine_d2.errors import UserError
from boxrefine_d2.report import read_metrics, read_run, summarise, summary_table

DATASET = "scenes:val+first=4"
HITS = {"lost": [1, 1, 0, 0], "h": [0, 0, 0, 1], "refined": [1, 0, 1, 1]}
OTHER_HITS = {"lost": [1, 1, 0, 0], "h": [0, 0, 0, 0], "refined": [1, 1, 0, 0]}


@pytest.fixture
def two_runs(made_up_run):
    return [
        read_run(made_up_run("a", 0, **HITS)),
        read_run(made_up_run("b", 1, **OTHER_HITS)),
    ]


def test_summary_of_two_runs(two_runs):
    """Seed 0: lost 50, h 25, refined 75; seed 1: 50, 0, 50. The gain is (25 + 0) / 2."""
    summary = summarise(two_runs, ["python one", "python two"])
    assert summary["images"] == 4
    assert summary["seeds"] == [0, 1]
    assert summary["corloc"] == {"lost": 50.0, "h": 12.5, "refined": 62.5}
    gain = summary["gain"]["refined_minus_lost"]
    assert gain["mean"] == 12.5
    assert gain["per_seed"] == [25.0, 0.0]
    assert -75 <= gain["ci95"][0] < 0 < gain["ci95"][1] <= 100
    assert summary["gain"]["h_minus_lost"]["mean"] == -37.5
    assert summary["weights"] == {"source": "random:0", "sha256": "d4"}
    assert summary["commands"] == ["python one", "python two"]
    assert summary["versions"]["boxrefine_d2"]
    assert summary["runs"][0]["outcomes"][DATASET] == {
        "helped": 2,
        "hurt": 1,
        "hit_both": 1,
        "missed_both": 0,
    }
    assert summary["runs"][1]["record"]["boxes_changed"] == 50.0
    assert json.loads(json.dumps(summary)) == summary


def test_table(two_runs):
    lines = summary_table(summarise(two_runs)).splitlines()
    assert lines[0] == "CorLoc on scenes:val+first=4, 4 images, percent"
    assert lines[1].split() == ["mean", "interval", "seed", "0", "seed", "1"]
    assert lines[2].split()[:5] == ["LOST", "before", "50.0", "[0.0,", "100.0]"]
    assert lines[3].split()[:4] == ["h,", "best", "box", "12.5"]
    assert lines[4].split()[-2:] == ["75.0", "50.0"]
    assert lines[5].startswith("gain")
    assert lines[5].split()[-2:] == ["+25.0", "+0.0"]
    assert "images and seeds" in lines[-1]
    assert "one seed" in summary_table(summarise(two_runs[:1])).splitlines()[-1]
    assert len({len(line) for line in lines[1:6]}) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 0}, "have the same seed, 0"),
        ({"opts": ["SOLVER.MAX_ITER", 7]}, r"SOLVER.MAX_ITER is \d+ in one and 7 in the other"),
        ({"opts": ["DATASETS.TRAIN", ("scenes:train",)]}, "DATASETS.TRAIN is"),
        ({"ids": [1, 2, 3, 5]}, "tested on different images"),
    ],
)
def test_runs_that_do_not_belong_together_are_refused(made_up_run, change, message):
    change = {"seed": 1, "opts": []} | change
    one = read_run(made_up_run("a", 0, **HITS))
    extra = {"ids": change["ids"]} if "ids" in change else {}
    other = read_run(made_up_run("b", change["seed"], *change["opts"], **extra, **HITS))
    with pytest.raises(UserError, match=message) as error:
        summarise([one, other])
    assert "\n" not in str(error.value)


def test_runs_from_other_weights_are_refused(made_up_run):
    folders = [made_up_run("a", 0, **HITS), made_up_run("b", 1, **HITS)]
    results = json.loads((folders[1] / "results.json").read_text())
    results["weights"]["sha256"] = "another"
    (folders[1] / "results.json").write_text(json.dumps(results))
    with pytest.raises(UserError, match="weights is .*d4.* in one and .*another"):
        summarise([read_run(folder) for folder in folders])
    with pytest.raises(UserError, match="at least one run"):
        summarise([])


def test_folders_without_a_finished_run_are_refused(made_up_run, tmp_path):
    with pytest.raises(UserError, match=r"no results.json in .*nowhere: no finished run"):
        read_run(tmp_path / "nowhere")
    folder = made_up_run("a", 0, **HITS)
    rows = {source: [[i, 0] for i in range(4)] for source in HITS}
    next(folder.rglob("corloc_per_image.json")).write_text(json.dumps(rows))
    with pytest.raises(UserError, match="is not of the run in"):
        read_run(folder)
    (folder / "results.json").write_text("{")
    with pytest.raises(UserError, match="results.json. is not JSON"):
        read_run(folder)
    with pytest.raises(UserError, match="has no test data"):
        read_run(made_up_run("c", 0, "DATASETS.TEST", (), **HITS))


def test_metrics_of_a_resumed_run(tmp_path):
    """Iteration 19 was written twice; the line that the kill cut off is skipped."""
    lines = ['{"iteration": 19, "x": 1}', '{"iteration": 39, "x"', '{"iteration": 19, "x": 2}']
    lines += ['{"iteration": 39, "x": 3}', '{"iteration": 40, "y": 4}']
    (tmp_path / "metrics.json").write_text("\n".join(lines))
    rows = read_metrics(tmp_path)
    assert rows == [{"iteration": 19, "x": 2}, {"iteration": 39, "x": 3}, {"iteration": 40, "y": 4}]
    assert read_metrics(tmp_path / "nowhere") == []
