"""The demo around its training; the tests of train_net.py cover the training itself."""

import json
import shlex

import pytest

from boxrefine_d2.errors import UserError
from tests.tool_modules import tool

TEST_DATA = ["DATASETS.TEST", "('scenes:val+first=4',)"]

# replaces train_net.py: stores its command line, and writes the output directory of a finished run
STAND_IN = """
import json, re, shutil, sys
from pathlib import Path
seed = sys.argv[sys.argv.index("SEED") + 1]
folder = Path(sys.argv[sys.argv.index("OUTPUT_DIR") + 1])
shutil.copytree({finished!r}, folder)
(folder / "argv.json").write_text(json.dumps(sys.argv[1:]))
config = folder / "config.yaml"
config.write_text(re.sub("(?m)^SEED: .*$", f"SEED: {{seed}}", config.read_text()))
print("much that nobody needs")
"""


@pytest.fixture
def demo():
    return tool("run_demo")


@pytest.fixture
def stand_in(demo, tmp_path, monkeypatch):
    def write_stand_in(text):
        script = tmp_path / "train_net.py"
        script.write_text(text)
        monkeypatch.setattr(demo, "TRAIN_NET", script)

    return write_stand_in


def test_two_seeds_give_one_result_and_one_page(demo, stand_in, tiny_run, tmp_path, capfd):
    stand_in(STAND_IN.format(finished=str(tiny_run)))
    output = tmp_path / "out"
    assert demo.main(["--seeds", "3,5", "--output", str(output), *TEST_DATA]) == 0
    results = json.loads((output / "results.json").read_text())
    assert results["images"] == 4
    assert results["seeds"] == [3, 5]
    assert set(results["corloc"]) == {"lost", "h", "refined"}
    assert len(results["gain"]["refined_minus_lost"]["ci95"]) == 2
    arguments = json.loads((output / "seed_5" / "argv.json").read_text())
    assert arguments[:2] == ["--config-file", "configs/demo/lost_refine.yaml"]
    assert arguments[2:] == [*TEST_DATA, "SEED", "5", "OUTPUT_DIR", str(output / "seed_5")]
    assert results["commands"][1].endswith(f"SEED 5 OUTPUT_DIR {output}/seed_5")
    assert """ DATASETS.TEST "('scenes:val+first=4',)" SEED""" in results["commands"][0]
    page = (output / "report.html").read_text(encoding="utf-8")
    assert page.count('class="bar"') == 2 and "seeds" in page
    output_text = capfd.readouterr()
    assert "nobody needs" not in output_text.out
    assert "seed 5 (2 of 2)" in output_text.out
    assert "gain" in output_text.out and str(output / "report.html") in output_text.out


# they replace discover.py and train_cad.py
LABELS = """
import sys
from pathlib import Path
Path(sys.argv[sys.argv.index("--output") + 1]).write_text(" ".join(sys.argv))
print("much that nobody needs")
"""
TRAINED = """
import shutil, sys
from pathlib import Path
folder = Path(sys.argv[sys.argv.index("OUTPUT_DIR") + 1])
shutil.copytree({finished!r}, folder, dirs_exist_ok=True)
(folder / "model_final.pth").touch()
print("much that nobody needs")
"""


def test_detectors_follow_the_first_seed(
    demo, stand_in, tiny_run, made_up_detectors, tmp_path, capfd
):
    stand_in(STAND_IN.format(finished=str(tiny_run)))
    cad = made_up_detectors(tmp_path / "made_up", 5, cad=[1, 0, 1, 0]) / "cad"
    (tmp_path / "discover.py").write_text(LABELS)
    (tmp_path / "train_cad.py").write_text(TRAINED.format(finished=str(cad)))
    output = tmp_path / "out"
    arguments = ["--detectors", "--seeds", "5,3", "--output", str(output), *TEST_DATA]
    assert demo.main(arguments) == 0
    results = json.loads((output / "results.json").read_text())
    assert set(results["corloc"]) == {"lost", "h", "refined", "lost_cad", "refined_cad"}
    assert results["corloc"]["refined_cad"] == 50.0
    detectors = results["detectors"]
    assert detectors["seed"] == 5 and len(detectors["commands"]) == 4
    assert f"--weights {output}/seed_5/model_final.pth" in detectors["commands"][2]
    assert "CAD on LOST after" in (output / "report.html").read_text(encoding="utf-8")
    output_text = capfd.readouterr().out
    assert "nobody needs" not in output_text and "CAD on LOST before" in output_text
    assert "stage cad_refined (4 of 4): starts" in output_text


def test_the_exit_code_of_a_failed_stage_is_passed_on(demo, stand_in, tiny_run, tmp_path, capfd):
    stand_in(STAND_IN.format(finished=str(tiny_run)))
    (tmp_path / "train_cad.py").touch()
    (tmp_path / "discover.py").write_text(
        "import sys; print('error: told', file=sys.stderr); sys.exit(7)"
    )
    output = tmp_path / "out"
    assert demo.main(["--detectors", "--output", str(output), *TEST_DATA]) == 7
    output_text = capfd.readouterr()
    assert (
        "error: told" in output_text.err
        and "stage labels (1 of 4) failed with exit code 7" in output_text.out
    )
    assert not (output / "results.json").exists()


def test_resume_keeps_only_finished_seeds_of_the_same_settings(demo, stand_in, tmp_path, capfd):
    output = tmp_path / "out"
    finished = """
import json, sys
from pathlib import Path
from boxrefine_d2.training.results_file import config_sha256
from boxrefine_d2.training.setup import load_config
args = sys.argv[1:]
assert args.pop(2) == "--resume"
folder = Path(args[args.index("OUTPUT_DIR") + 1])
folder.mkdir(parents=True)
cfg = load_config(args[1], args[2:])
(folder / "config.yaml").write_text(cfg.dump())
(folder / "results.json").write_text(json.dumps({"config_sha256": config_sha256(cfg)}))
"""
    stand_in(finished)
    args = demo.parser().parse_args(["--resume", "--output", str(output), *TEST_DATA])
    assert not demo.is_finished(args, 3)
    assert demo._train(args, 3, "seed 3") == 0
    hits = output / "seed_3" / "inference" / "scenes_val+first=4"
    hits.mkdir(parents=True)
    (hits / "corloc_per_image.json").write_text('{"lost": [[1, 1]]}')
    results = output / "seed_3" / "results.json"
    percents = {"scenes:val+first=4": {"corloc": {"lost": 100.0}}}
    results.write_text(json.dumps(json.loads(results.read_text()) | {"datasets": percents}))
    assert demo.is_finished(args, 3)
    other = ["--resume", "--output", str(output), *TEST_DATA, "SOLVER.BASE_LR", "0.5"]
    assert not demo.is_finished(demo.parser().parse_args(other), 3)
    results.write_text(json.dumps(json.loads(results.read_text()) | {"record": {}}))
    assert not demo.is_finished(args, 3)  # the last step of the run failed


@pytest.mark.parametrize(
    ("code", "expected"), [("sys.exit(2)", 2), ("os.kill(os.getpid(), 9)", 137)]
)
def test_the_exit_code_of_a_failed_run_is_passed_on(
    demo, stand_in, tmp_path, capfd, code, expected
):
    stand_in(f"import os, sys; print('error: told', file=sys.stderr, flush=True); {code}")
    output = tmp_path / "out"
    output.mkdir()
    (output / "results.json").write_text("of an earlier demo")
    assert demo.main(["--output", str(output), *TEST_DATA]) == expected
    assert "error: told" in capfd.readouterr().err
    assert not (output / "results.json").exists()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--seeds", "0,one"], "--seeds '0,one': whole numbers are needed"),
        (["--seeds", "1,1"], "--seeds '1,1': name every seed once"),
        (["SEED", "4"], "SEED is set by the demo"),
        (["DATASETS.TEST", "()"], "DATASETS.TEST is empty"),
        (["NO.SUCH", "1"], "NO.SUCH"),
        (["--detectors", "DATASETS.TRAIN", "('a', 'b')"], "DATASETS.TRAIN has 2 entries"),
        (["--config-file", "nowhere.yaml"], "no config file nowhere.yaml"),
    ],
)
def test_mistakes_are_one_line_before_anything_runs(demo, tmp_path, capfd, args, message):
    assert demo.main(["--output", str(tmp_path / "out"), *args]) == 2
    output_text = capfd.readouterr().err.splitlines()
    assert message in output_text[-1] and output_text[-1].startswith("error: ")
    assert not (tmp_path / "out").exists()


def test_a_shell_reads_quoted_words_unchanged(demo):
    words = ["a", "('scenes:val',)", "it's $HOME", 'say "x"', "a b", "c:\\d's", "no!'", ""]
    assert shlex.split(" ".join(demo.quoted(word) for word in words)) == words
    assert demo.quoted("('x',)") == """"('x',)\""""


def test_the_outputs_are_checked_before_the_training(demo, stand_in, tmp_path, capfd):
    stand_in("raise SystemExit('it began')")
    (tmp_path / "file").touch()
    (tmp_path / "out" / "results.json").mkdir(parents=True)
    (tmp_path / "other" / "report.html").mkdir(parents=True)
    for output, message in (
        ("file", "is a file; a folder is needed"),
        ("file/below", "cannot write --output"),
        ("out", "results.json' is a folder"),
        ("other", "report.html' is a folder"),
    ):
        assert demo.main(["--output", str(tmp_path / output), *TEST_DATA]) == 2
        output_text = capfd.readouterr()
        assert (
            message in output_text.err
            and output_text.err.count("\n") == 1
            and output_text.out == ""
        )


def test_the_numbers_are_written_even_if_the_page_fails(
    demo, stand_in, tiny_run, tmp_path, capfd, monkeypatch
):
    def fail(*arguments, **more):
        raise UserError("the page cannot be drawn")

    stand_in(STAND_IN.format(finished=str(tiny_run)))
    monkeypatch.setattr(demo, "write_page", fail)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert demo.main(["--seeds", "3", "--output", "~/out", *TEST_DATA]) == 2
    output_text = capfd.readouterr()
    assert json.loads((tmp_path / "out/results.json").read_text())["seeds"] == [3]
    assert "gain" in output_text.out and "out/results.json" in output_text.out
    assert output_text.err == "error: the page cannot be drawn\n"
