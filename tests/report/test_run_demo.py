"""The demo around its training; the training itself is train_net.py's, and tested there."""

import importlib.util
import json
import shlex
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "tools" / "run_demo.py"
TEST_DATA = ["DATASETS.TEST", "('scenes:val+first=4',)"]

# takes the place of train_net.py: keeps its command line, and leaves the folder of a finished run
STAND_IN = """
import json, re, shutil, sys
from pathlib import Path
seed, folder = sys.argv[sys.argv.index("SEED") + 1], Path(sys.argv[sys.argv.index("OUTPUT_DIR") + 1])
shutil.copytree({finished!r}, folder)
(folder / "argv.json").write_text(json.dumps(sys.argv[1:]))
config = folder / "config.yaml"
config.write_text(re.sub("(?m)^SEED: .*$", f"SEED: {{seed}}", config.read_text()))
print("much that nobody needs")
"""


@pytest.fixture
def demo():
    spec = importlib.util.spec_from_file_location("run_demo_under_test", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def stand_in(demo, tmp_path, monkeypatch):
    def put(text):
        script = tmp_path / "train_net.py"
        script.write_text(text)
        monkeypatch.setattr(demo, "TRAIN_NET", script)

    return put


def test_two_seeds_become_one_result_and_one_page(demo, stand_in, tiny_run, tmp_path, capfd):
    stand_in(STAND_IN.format(finished=str(tiny_run)))
    output = tmp_path / "out"
    assert demo.main(["--seeds", "3,5", "--output", str(output), *TEST_DATA]) == 0
    results = json.loads((output / "results.json").read_text())
    assert results["images"] == 4
    assert results["seeds"] == [3, 5]
    assert set(results["corloc"]) == {"lost", "h", "refined"}
    assert len(results["gain"]["refined_minus_lost"]["ci95"]) == 2
    given = json.loads((output / "seed_5" / "argv.json").read_text())
    assert given[:2] == ["--config-file", "configs/demo/lost_refine.yaml"]
    assert given[2:] == [*TEST_DATA, "SEED", "5", "OUTPUT_DIR", str(output / "seed_5")]
    assert results["commands"][1].endswith(f"SEED 5 OUTPUT_DIR {output}/seed_5")
    assert """ DATASETS.TEST "('scenes:val+first=4',)" SEED""" in results["commands"][0]
    page = (output / "report.html").read_text(encoding="utf-8")
    assert page.count('class="bar"') == 2 and "seeds" in page
    said = capfd.readouterr()
    assert "nobody needs" not in said.out
    assert "seed 5 (2 of 2)" in said.out
    assert "gain" in said.out and str(output / "report.html") in said.out


def test_resume_keeps_finished_seeds_of_the_same_settings_only(demo, stand_in, tmp_path, capfd):
    output = tmp_path / "out"
    finished = """
import json, sys
from pathlib import Path
from boxrefine_d2.engine import config_sha256, load_config
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
    assert demo._train(demo.train_command(args, 3), 3) == 0
    hits = output / "seed_3" / "inference" / "scenes_val+first=4"
    hits.mkdir(parents=True)
    (hits / "corloc_per_image.json").write_text('{"lost": [[1, 1]]}')
    results = output / "seed_3" / "results.json"
    percents = {"scenes:val+first=4": {"corloc": {"lost": 100.0}}}
    results.write_text(json.dumps(json.loads(results.read_text()) | {"datasets": percents}))
    assert demo.is_finished(args, 3)
    other = ["--resume", "--output", str(output), *TEST_DATA, "SOLVER.BASE_LR", "0.5"]
    assert not demo.is_finished(demo.parser().parse_args(other), 3)


@pytest.mark.parametrize(
    ("code", "expected"), [("sys.exit(2)", 2), ("os.kill(os.getpid(), 9)", 137)]
)
def test_a_failed_run_is_passed_on(demo, stand_in, tmp_path, capfd, code, expected):
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
        (["--seeds", "1,1"], "--seeds '1,1': every seed once"),
        (["SEED", "4"], "SEED is set by the demo"),
        (["DATASETS.TEST", "()"], "DATASETS.TEST is empty"),
        (["NO.SUCH", "1"], "NO.SUCH"),
        (["--config-file", "nowhere.yaml"], "no config file nowhere.yaml"),
    ],
)
def test_mistakes_are_one_line_before_anything_runs(demo, tmp_path, capfd, args, message):
    assert demo.main(["--output", str(tmp_path / "out"), *args]) == 2
    said = capfd.readouterr().err.splitlines()
    assert message in said[-1] and said[-1].startswith("error: ")
    assert not (tmp_path / "out").exists()


def test_quoted_words_mean_the_same_to_a_shell(demo):
    words = ["a", "('scenes:val',)", "it's $HOME", 'say "x"', "a b", "c:\\d's", "no!'", ""]
    assert shlex.split(" ".join(demo.quoted(word) for word in words)) == words
    assert demo.quoted("('x',)") == """"('x',)\""""
