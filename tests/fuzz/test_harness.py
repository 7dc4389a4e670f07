"""The harness finds, keeps and reports each planted fault."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fuzz.outcomes import BAD, Outcome, judge, signature
from tests.fuzz.planted import PLANTS

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """Return the output directory of a run over all planted faults, and its process."""
    folder = tmp_path_factory.mktemp("planted")
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.planted", "--jobs", "1"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    return folder / "out", done


def test_each_planted_fault_is_found_and_nothing_else(planted):
    folder, done = planted
    assert done.returncode == 1, done.stderr
    result = json.loads((folder / "fuzz.json").read_text())["families"]["planted"]
    assert result["tries"] == len(PLANTS)
    kinds = list(PLANTS.values())
    assert result["outcomes"] == {kind: kinds.count(kind) for kind in sorted(set(kinds))}
    causes = {x["title"]: x["cause"].partition(":")[0] for x in result["failures"]}
    assert causes == {title: kind for title, kind in PLANTS.items() if kind in BAD}


def test_a_failed_try_is_kept_with_its_inputs_and_its_number(planted):
    folder, _ = planted
    failures = json.loads((folder / "fuzz.json").read_text())["families"]["planted"]["failures"]
    for failure in failures:
        (kept,) = map(Path, failure["kept"])
        text = (kept / "try.txt").read_text()
        assert failure["title"] in text and failure["detail"] in text
        assert f"seed 0, try {failure['first']} of planted" in text
        assert (kept / "given" / "input").is_file()


def test_the_place_of_a_hang_is_reported(planted):
    folder, _ = planted
    failures = json.loads((folder / "fuzz.json").read_text())["families"]["planted"]["failures"]
    (hang,) = [failure for failure in failures if failure["title"] == "a hang"]
    assert "planted.py" in hang["detail"]


def test_the_table_and_the_causes_are_on_the_terminal(planted):
    _, done = planted
    assert "traceback" in done.stdout.splitlines()[1]
    assert any(line.startswith("planted: 1 x hang: ") for line in done.stdout.splitlines())


@pytest.mark.parametrize(
    ("code", "text", "kind"),
    [
        (0, "done\n", "ok"),
        (2, "loading\nerror: no such file\n", "refused"),
        (2, "bar 1/2\r\x1b[Aerror: no such file\n", "refused"),
        (2, "error: no such file\nstage labels (1 of 2) failed with exit code 2\n", "refused"),
        (2, "usage: x\n", "not one line"),
        (2, "error: a\nand more\n", "not one line"),
        (1, "error: a\n", "wrong exit code"),
        (0, "Traceback (most recent call last):\n  File\nKeyError: 1\n", "traceback"),
        (1, "Traceback (most recent call last):\n  File\nMemoryError\n", "memory"),
        (2, "error: cannot read image 'x': not enough memory\n", "memory"),
    ],
)
def test_an_outcome_by_exit_code_and_output(code, text, kind):
    assert judge(code, text).kind == kind


def test_faults_of_one_place_are_one_cause():
    frame = '  File "/a/boxrefine_d2/data/datasets/voc.py", line 108, in f\n    x\n'
    one, other = (
        judge(1, f"Traceback (most recent call last):\n{frame}LookupError: {name}\n")
        for name in ("klingon", "hex")
    )
    assert one.detail == "boxrefine_d2/data/datasets/voc.py:108 | LookupError: klingon"
    assert signature(one) == signature(other) != signature(Outcome("hang", one.detail))


def test_files_that_are_not_of_an_earlier_run_stay(tmp_path, capsys):
    from fuzz.run import main

    (tmp_path / "mine.txt").touch()
    assert main(["--output", str(tmp_path)]) == 2
    assert "not of an earlier run" in capsys.readouterr().err
    assert (tmp_path / "mine.txt").exists()


@pytest.mark.parametrize("words", [["--only", "nothing"], ["--jobs", "0"], ["--minutes", "nan"]])
def test_mistakes_are_refused(words, tmp_path, capsys):
    from fuzz.run import main

    assert main([*words, "--output", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.startswith("error: ")
