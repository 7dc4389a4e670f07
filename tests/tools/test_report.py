import argparse
import importlib.util
import json
import re
import shutil
from pathlib import Path

import pytest
import yaml

from boxrefine_d2.training.jobs import trainer_for
from boxrefine_d2.training.results_file import write_results
from boxrefine_d2.training.setup import setup
from tests.tool_modules import tool

SCRIPT = Path(__file__).parents[2] / "tools" / "report.py"
DATASET = "scenes:val+first=3"
SHORT = {
    "DATASETS.TRAIN": "('scenes:train+first=4',)",
    "DATASETS.TEST": f"('{DATASET}',)",
    "MODEL.DEVICE": "cpu",
    "MODEL.CLIP.WEIGHTS": "random:0",
    "MODEL.MAP_NETWORK.WEIGHTS": "random:0",
    "REFINE.WARMUP_ITERS": 1,
    "REFINE.RECORD_IMAGES": 2,
    "INPUT.SQUARE_SIZE": 64,
    "SOLVER.IMS_PER_BATCH": 2,
    "SOLVER.WARMUP_ITERS": 0,
    "SOLVER.MAX_ITER": 2,
    "DATALOADER.NUM_WORKERS": 0,
}


@pytest.fixture(scope="module")
def main():
    return tool("report").main


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return a function that trains a configuration for two steps and returns the run's folder."""
    folders = {}

    def train(config, **changes):
        key = (config, *changes.items())
        if key not in folders:
            folders[key] = folder = tmp_path_factory.mktemp(config)
            settings = SHORT | {"OUTPUT_DIR": folder} | changes
            pairs = [str(word) for pair in settings.items() for word in pair]
            file = f"configs/demo/{config}.yaml"
            cfg = setup(
                argparse.Namespace(config_file=file, opts=pairs, resume=False, eval_only=False)
            )
            trainer = trainer_for(cfg)(cfg)
            datasets = trainer.train()
            write_results(cfg, trainer.weights_info(trainer.network), datasets, trainer.record())
        return folders[key]

    return train


@pytest.fixture
def copied(trained, tmp_path):
    """Return a copy of the run that trained g, without its model; tests may change it."""
    folder = tmp_path / "run"
    shutil.copytree(
        trained("grounding_train"),
        folder,
        ignore=shutil.ignore_patterns("model_*", "events*", "heatmap*", "report.html"),
    )
    return folder


def test_the_page_lies_in_the_folder_of_the_run(main, trained, capsys):
    folder = trained("grounding_train")
    assert main([str(folder)]) == 0
    page = folder / "report.html"
    assert capsys.readouterr().out.splitlines()[-1] == f"{page}: open it in a browser"
    text = page.read_text(encoding="utf-8")
    assert "<h1>Phrase grounding without boxes: results of g</h1>" in text
    phrases = json.loads((folder / "results.json").read_text())["datasets"][DATASET]["phrases"]
    assert text.count("<article") == phrases["evaluated"] == 3


def test_another_output_and_fewer_phrases(main, trained, tmp_path):
    page = tmp_path / "new" / "page.html"
    arguments = [str(trained("grounding_train")), "--output", str(page), "--phrases", "1"]
    assert main(arguments) == 0
    assert page.read_text(encoding="utf-8").count("<article") == 1


def test_a_run_without_phrases_has_the_page_of_boxes(main, trained, tmp_path):
    page = tmp_path / "page.html"
    arguments = [str(trained("lost_refine")), "--output", str(page), "--phrases", "2"]
    assert main(arguments) == 0
    text = page.read_text(encoding="utf-8")
    assert "<h1>Box-based refinement: results</h1>" in text
    assert text.count("<article") == 2 and "CorLoc on" in text


def fails(main, capsys, arguments, message):
    assert main([str(word) for word in arguments]) == 2
    captured = capsys.readouterr()
    [line] = [line for line in captured.err.splitlines() if line.startswith("error: ")]
    assert message in line
    assert "open it" not in captured.out


def test_missing_and_unfinished_runs_and_a_run_without_its_model(main, copied, tmp_path, capsys):
    page = copied / "report.html"
    fails(main, capsys, [tmp_path / "nowhere"], "no results.json in")
    fails(main, capsys, [SCRIPT], "no results.json in")
    fails(main, capsys, [copied], f"no model_final.pth in {copied}")
    results = (copied / "results.json").read_text()
    (copied / "results.json").unlink()
    fails(main, capsys, [copied], f"no results.json in {copied}: no finished run is there")
    (copied / "page").mkdir()
    (copied / "page" / "report.html").write_text("")
    fails(main, capsys, [copied], f"its end; boxrefine improve wrote {copied}/page/report.html")
    (copied / "results.json").write_text(results[:100])
    fails(main, capsys, [copied], "results.json' is not JSON")
    (copied / "results.json").write_text(results)
    (copied / "config.yaml").unlink()
    fails(main, capsys, [copied], "holds no config.yaml: it is no OUTPUT_DIR")
    assert not page.exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"DATASETS": {"TEST": []}}, "has no test data; set DATASETS.TEST"),
        ({"DATASETS": {"TEST": ["scenes:val+first=2"]}}, "no grounding_per_phrase.json in"),
        (
            {"MODEL": {"META_ARCHITECTURE": "ClipTraining"}},
            "is of ClipTraining, which has no page; there is one for BoxRefiner, HeatmapTraining, "
            "GroundingRefiner",
        ),
    ],
)
def test_runs_that_have_no_page(main, copied, capsys, change, message):
    path = copied / "config.yaml"
    config = yaml.safe_load(path.read_text())
    for key, values in change.items():
        config[key] |= values
    path.write_text(yaml.safe_dump(config))
    fails(main, capsys, [copied], message)


def test_an_impossible_output_and_a_missing_package(main, trained, tmp_path, monkeypatch, capsys):
    folder = trained("grounding_train")
    fails(main, capsys, [folder, "--output", tmp_path], "is a folder")
    (tmp_path / "file").touch()
    fails(main, capsys, [folder, "--output", tmp_path / "file" / "p.html"], "cannot write")
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: None if name == "transformers" else find(name, *rest),
    )
    fails(main, capsys, [folder], "needs transformers: pip install 'boxrefine_d2[grounding]'")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required: RUN_DIR"),
        (["x", "--phrases", "0"], "0 phrases were asked for"),
        (["x", "--phrases", "few"], "invalid int value"),
        (["x", "--figures", "3"], "unrecognized arguments: --figures"),
    ],
)
def test_wrong_arguments(main, capsys, arguments, message):
    fails(main, capsys, arguments, message)


def test_a_run_without_labels_has_a_page_without_accuracy(main, trained, tmp_path, capsys):
    folder = trained("lost_refine", **{"DATASETS.TEST": "()"})
    page = tmp_path / "page.html"
    assert main([str(folder), "--output", str(page), "--phrases", "2"]) == 0
    text = page.read_text(encoding="utf-8")
    assert text.count("<article") == 2
    assert "There are no labels, so the page does not say which boxes are better." in text
    assert "CorLoc is" not in text and "Result</h2>" not in text
    ious = [float(found) for found in re.findall(r">IoU ([\d.]+)<", text)]
    assert len(ious) == 2 and ious == sorted(ious)
