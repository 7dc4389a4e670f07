"""Checks before a run writes any file: the device, OUTPUT_DIR, and the input files."""

import argparse
import os
from pathlib import Path

import pytest
from detectron2.utils import comm

from boxrefine_d2.errors import UserError
from boxrefine_d2.training.jobs import known_jobs
from boxrefine_d2.training.run_inputs import check_inputs_stay
from boxrefine_d2.training.setup import load_config, setup

CONFIG = "configs/demo/lost_refine.yaml"


def arguments(*opts: str, **flags: bool) -> argparse.Namespace:
    """Return the arguments of a training command."""
    given = {"resume": False, "eval_only": False} | flags
    return argparse.Namespace(config_file=CONFIG, opts=["MODEL.DEVICE", "cpu", *opts], **given)


@pytest.mark.parametrize("flags", [{}, {"resume": True}, {"eval_only": True}], ids=str)
@pytest.mark.parametrize("device", ["mps", "cuda:63", "nonsense", "meta", "cpu:1", "cuda:-1"])
def test_a_device_that_cannot_be_used_is_said_before_anything_is_written(tmp_path, device, flags):
    if device == "mps" and os.uname().sysname == "Darwin":
        pytest.skip("it can be used here")
    out = tmp_path / "out"
    with pytest.raises(UserError, match=f"device '{device}' (is unknown|cannot be used)"):
        setup(arguments("MODEL.DEVICE", device, "OUTPUT_DIR", str(out), **flags))
    assert not out.exists()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("file", "OUTPUT_DIR .* is a file; a folder is needed"),
        ("file/below", "cannot write OUTPUT_DIR .*: Not a directory"),
        ("x" * 300, "cannot write OUTPUT_DIR .*: File name too long"),
        ("pipe", "OUTPUT_DIR .* is a file; a folder is needed"),
        ("loop/below", "cannot write OUTPUT_DIR .*: Too many levels of symbolic links"),
        ("/proc/x", "cannot write OUTPUT_DIR '/proc/x'"),
        ("", "OUTPUT_DIR '': must be a text that is not empty"),
        (" ", "OUTPUT_DIR ' ': must be a text that is not empty"),
        ("a\0b", r"OUTPUT_DIR 'a\\x00b': has a character that no path"),
        ("\ud800", "OUTPUT_DIR .*: has a character that no path"),
    ],
)
def test_an_output_folder_that_cannot_be_is_a_line(tmp_path, monkeypatch, name, reason):
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("kept")
    os.mkfifo("pipe")
    os.symlink("loop", "loop")
    with pytest.raises(UserError, match=reason):
        setup(arguments("OUTPUT_DIR", name))
    assert Path("file").read_text() == "kept"


def check(cfg_opts, config_file=CONFIG, *, trains=True):
    check_inputs_stay(load_config(CONFIG, cfg_opts), str(config_file), trains=trains)


@pytest.mark.parametrize("key", ["MODEL.WEIGHTS", "MODEL.MAP_NETWORK.WEIGHTS"])
def test_weights_that_the_training_would_write_over_are_refused(tmp_path, key):
    weights = tmp_path / "model_final.pth"
    weights.touch()
    link = tmp_path / "elsewhere.pth"
    link.symlink_to(weights)
    for name in (weights, link, f"{tmp_path}/x/../model_final.pth"):
        opts = [key, str(name), "OUTPUT_DIR", str(tmp_path)]
        with pytest.raises(UserError, match=rf"write over '.*\.pth', which {key} reads; name an"):
            check(opts)
        check(opts, trains=False)  # an evaluation, or a run that continues from it
        check([*opts, "OUTPUT_DIR", str(tmp_path / "other")])


def test_labels_that_an_evaluation_would_write_over_are_refused(tmp_path):
    labels = tmp_path / "inference" / "found.json"
    labels.parent.mkdir()
    labels.touch()
    for spec in (f"scenes:train+pseudo={labels}", f"coco:{labels}:{tmp_path}"):
        for trains in (True, False):
            with pytest.raises(UserError, match=r"found\.json', which DATASETS.TRAIN reads"):
                check(
                    ["DATASETS.TRAIN", f"('{spec}',)", "OUTPUT_DIR", str(tmp_path)], trains=trains
                )
    beside = tmp_path / "labels.json"
    beside.touch()
    spec = f"('scenes:train+pseudo={beside}',)"
    check(["DATASETS.TRAIN", spec, "OUTPUT_DIR", str(tmp_path)])


@pytest.mark.parametrize("name", ["pretrained/dino.safetensors", "old/model_final.pth", "dino.pth"])
def test_weights_that_the_training_does_not_write_are_read_from_output_dir(tmp_path, name):
    weights = tmp_path / name
    weights.parent.mkdir(exist_ok=True)
    weights.touch()
    check(["MODEL.MAP_NETWORK.WEIGHTS", str(weights), "OUTPUT_DIR", str(tmp_path)])


def test_files_of_other_folders_are_not_those_of_a_run(tmp_path):
    for name in ("results.json", "metrics.json", "log.txt", "inference/a.json", "clip/a.json"):
        labels = tmp_path / "old" / name
        labels.parent.mkdir(parents=True, exist_ok=True)
        labels.touch()
        spec = f"('scenes:train+pseudo={labels}',)"
        check(["DATASETS.TRAIN", spec, "OUTPUT_DIR", str(tmp_path)])
        refused = ["DATASETS.TRAIN", spec, "OUTPUT_DIR", str(tmp_path / "old")]
        if name == "clip/a.json":
            check(refused)  # CONFIG trains no CLIP
        else:
            with pytest.raises(UserError, match="which DATASETS.TRAIN reads"):
                check(refused)


PRODUCTS = {
    "SelfDistillation": "map_network.safetensors",
    "MoveTraining": "map_network.safetensors",
    "FoundTraining": "map_network.safetensors",
    "MaskedAutoencoder": "inpainter.safetensors",
    "TrunkDistillation": "trunk.safetensors",
    "HeatmapTraining": "heatmap.safetensors",
    "ClipTraining": "clip",
    "ClassifierTraining": "classifier.safetensors",
    "WeightMapTraining": "weight_map.safetensors",
    "SiameseTraining": "siamese.safetensors",
    "TripletWeightMapTraining": "weight_map.safetensors",
    "SelfDistilledCam": "distilled_heads.safetensors",
}


@pytest.mark.parametrize("name", known_jobs())
def test_the_product_of_a_training_is_no_input_of_it(tmp_path, name):
    (tmp_path / "clip").mkdir()
    weights = {file: tmp_path / file for file in PRODUCTS.values()}
    weights["clip"] = tmp_path / "clip" / "model.safetensors"
    for product, path in weights.items():
        path.touch()
        opts = ["MODEL.META_ARCHITECTURE", name, "OUTPUT_DIR", str(tmp_path)]
        for given in {path, tmp_path / product}:
            opts += ["MODEL.CLIP.WEIGHTS", str(given)]
            if PRODUCTS.get(name) == product:
                with pytest.raises(UserError, match="which MODEL.CLIP.WEIGHTS reads"):
                    check(opts)
            else:
                check(opts)
            check(opts, trains=False)


def test_images_where_a_run_writes_are_no_file_that_it_writes_over(tmp_path, monkeypatch):
    """Accept images in the folder, but refuse annotations, also those of a named data set."""
    (tmp_path / "inference" / "cutouts" / "val").mkdir(parents=True)
    (tmp_path / "labels.json").touch()
    for spec in (
        f"folder:{tmp_path}/inference",
        f"coco:{tmp_path}/labels.json:{tmp_path}/inference",
    ):
        check(["DATASETS.TEST", f"('{spec}',)", "OUTPUT_DIR", str(tmp_path)])
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path / "inference"))
    opts = ["DATASETS.TEST", "('cutouts_val',)", "OUTPUT_DIR", str(tmp_path)]
    check(opts)
    (tmp_path / "inference" / "cutouts" / "val.json").touch()
    with pytest.raises(UserError, match=r"val\.json', which DATASETS.TEST reads"):
        check(opts)


def test_labels_below_the_home_folder_are_known_by_their_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    labels = tmp_path / "run" / "inference" / "found.json"
    labels.parent.mkdir(parents=True)
    labels.touch()
    opts = ["DATASETS.TRAIN", "('coco:~/run/inference/found.json:~',)", "OUTPUT_DIR", "~/run"]
    with pytest.raises(UserError, match=r"found\.json', which DATASETS.TRAIN reads"):
        check(opts)


def test_weights_below_the_home_folder_are_known_by_their_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "model_final.pth").touch()
    opts = ["MODEL.MAP_NETWORK.WEIGHTS", "~/model_final.pth", "OUTPUT_DIR", "~"]
    with pytest.raises(
        UserError, match=r"model_final\.pth', which MODEL.MAP_NETWORK.WEIGHTS reads"
    ):
        check(opts, trains=True)


def test_a_configuration_that_somebody_wrote_stays(tmp_path):
    opts = ["OUTPUT_DIR", str(tmp_path)]
    own = tmp_path / "config.yaml"
    own.write_text("# my notes\n_BASE_: base.yaml\n")
    with pytest.raises(UserError, match=r"its whole configuration over '.*config\.yaml'"):
        check(opts, own)
    own.write_text(load_config(CONFIG, opts).dump())  # a run writes such a file
    check(opts, own)
    (tmp_path / "mine.yaml").write_text("SEED: 1")
    check(opts, tmp_path / "mine.yaml")


def seed_of(*opts: str, **flags: bool) -> int:
    """Return the seed with which a run begins, is resumed or is evaluated."""
    return setup(arguments(*opts, **flags)).SEED


def test_a_seed_of_minus_1_is_drawn_and_kept_by_the_run(tmp_path):
    opts = ["SEED", "-1", "OUTPUT_DIR", str(tmp_path)]
    drawn = seed_of(*opts)
    assert 0 <= drawn < 2**31
    assert f"SEED: {drawn}\n" in (tmp_path / "config.yaml").read_text()
    assert seed_of(*opts, resume=True) == seed_of(*opts, eval_only=True) == drawn
    assert seed_of(*opts, "SEED", "3", resume=True) == 3
    assert seed_of(*opts) not in (drawn, 3)  # a new run; equal by chance once in 2**30 runs
    (tmp_path / "config.yaml").write_text("SEED: [")
    assert 0 <= seed_of(*opts, resume=True) != drawn


def test_all_ranks_have_the_seed_that_the_main_process_drew(tmp_path, monkeypatch):
    monkeypatch.setattr(comm, "all_gather", lambda seed: [7, seed])
    assert seed_of("SEED", "-1", "OUTPUT_DIR", str(tmp_path)) == 7
