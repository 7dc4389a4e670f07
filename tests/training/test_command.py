"""Runs whose output directory is in use, whose disk fills up, or whose last step fails."""

import errno
import json

import pytest
from detectron2.engine import default_argument_parser

from boxrefine_d2.errors import UserError
from boxrefine_d2.files import atomic
from boxrefine_d2.files.locks import alone
from boxrefine_d2.refinement import refine_trainer
from boxrefine_d2.training import command
from boxrefine_d2.training.only_run import only_run_in


@pytest.fixture
def train(tmp_path, job):
    """Return a function that trains two steps in this process."""
    few = {
        "SOLVER.MAX_ITER": "2",
        "REFINE.WARMUP_ITERS": "1",
        "REFINE.DRIFT.PERIOD": "0",
        "INPUT.MAX_SIDE": "64",
        "DATASETS.TEST": "('scenes:val+first=2',)",
    }

    def train(flags=(), **opts):
        changes = few | {key.replace("__", "."): value for key, value in opts.items()}
        pairs = [word for pair in changes.items() for word in pair]
        words = job(tmp_path / "out", *pairs, flags=flags)
        command.train(default_argument_parser().parse_args(list(map(str, words[2:]))))

    return train


def test_a_second_run_in_a_folder_is_refused_and_leaves_the_first_ones_files(tmp_path, train):
    folder = tmp_path / "out"
    folder.mkdir()
    for name in ("metrics.json", "last_checkpoint"):
        (folder / name).write_text("of the first")
    with only_run_in(folder):
        for flags in ((), ("--eval-only",), ("--resume",)):
            with pytest.raises(UserError, match="another run is at work in OUTPUT_DIR '.*out'"):
                train(flags=flags)
    assert {path.name: path.read_text() for path in folder.iterdir()} == {
        "metrics.json": "of the first",
        "last_checkpoint": "of the first",
    }


def test_what_a_killed_run_left_is_no_hindrance_and_goes(tmp_path):
    (tmp_path / ".lock").touch()
    (tmp_path / ".model_final.pth.12-0123abcd.tmp").touch()
    with (
        only_run_in(tmp_path),
        pytest.raises(UserError, match="held"),
        alone(tmp_path / ".lock", "held"),
    ):
        pass
    assert not list(tmp_path.iterdir())


def test_what_was_evaluated_stays_if_the_record_fails(tmp_path, train, monkeypatch):
    def fails(self):
        raise ZeroDivisionError("a bug in the last step")

    monkeypatch.setattr(refine_trainer.RefineTrainer, "record", fails)
    with pytest.raises(ZeroDivisionError):
        train()
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert set(results["datasets"]["scenes:val+first=2"]["corloc"]) >= {"lost", "refined"}
    assert results["record"] == {}
    assert (tmp_path / "out" / "model_final.pth").is_file()


def test_a_disk_that_is_full_at_the_end_costs_no_weights_and_the_line_says_how_to_go_on(
    tmp_path, train, monkeypatch
):
    replace = atomic.os.replace

    def full(source, target):
        if target.name == "results.json":
            raise OSError(errno.ENOSPC, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(atomic.os, "replace", full)
    with pytest.raises(UserError, match=r"results.json': No space left .*--eval-only writes"):
        train()
    monkeypatch.undo()
    train(flags=("--eval-only",))
    assert json.loads((tmp_path / "out" / "results.json").read_text())["datasets"]


def test_the_record_is_of_the_first_images_that_can_be_read(tmp_path, train, photographs):
    """Damage the first files; the record is then measured on the next images."""
    for path in sorted(photographs.iterdir()):
        (tmp_path / "photographs").mkdir(exist_ok=True)
        (tmp_path / "photographs" / path.name).write_bytes(path.read_bytes())
    for name in ("00.png", "01.png", "02.png"):
        path = tmp_path / "photographs" / name
        path.write_bytes(path.read_bytes()[:200])
    data = f"('folder:{tmp_path / 'photographs'}',)"
    train(DATASETS__TRAIN=data, DATASETS__TEST="()", REFINE__RECORD_IMAGES="3")
    record = json.loads((tmp_path / "out" / "results.json").read_text())["record"]
    assert record["images"] == 3 and record["feature_shift"] >= 0
