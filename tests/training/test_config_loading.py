"""Configuration files are read as data, and a fault in one is reported in one line."""

from pathlib import Path

import pytest
from detectron2.config import get_cfg

from boxrefine_d2.config import boxrefine_cfg
from boxrefine_d2.config.checks import leaves
from boxrefine_d2.errors import UserError
from boxrefine_d2.files.set_values import parameters_of
from boxrefine_d2.files.shipped import shipped_configs
from boxrefine_d2.grounding.grounding_command import changed_config
from boxrefine_d2.report.run_folder import read_finished
from boxrefine_d2.training.command import check_command
from boxrefine_d2.training.setup import load_config
from boxrefine_d2.workflow import plan_of_file

from .damaged_configs import (
    CODE,
    DAMAGED,
    IMPOSSIBLE,
    bad_pairs,
    bad_words,
    keys,
    mutated,
    write_damaged,
)

CONFIG = "configs/demo/lost_refine.yaml"
LONGEST = 700  # characters of a line


def line_of(config: str | Path, opts: list[str] | None = None) -> str:
    """Return the message for a configuration that must be refused."""
    with pytest.raises(UserError) as caught:
        load_config(str(config), opts or [])
    assert "\n" not in str(caught.value) and len(str(caught.value)) < LONGEST
    return str(caught.value)


@pytest.fixture(params=CODE, ids=list(CODE))
def code(request, tmp_path):
    """Yield YAML that would make the file `mark`; check at the end that it does not exist."""
    mark = tmp_path / "mark"
    yield CODE[request.param].format(mark=mark)
    assert not mark.exists()


def refusal(code: str) -> str:
    """Return the part of the message that names the tag."""
    return "the tag !mine" if "!mine" in code else "the tag !!python/"


@pytest.mark.parametrize("way", ["file", "base", "base of a base", "run folder", "device command"])
def test_code_in_a_configuration_runs_nowhere(tmp_path, code, way):
    (tmp_path / "code.yaml").write_text(code)
    (tmp_path / "base.yaml").write_text("_BASE_: code.yaml")
    (tmp_path / "child.yaml").write_text("_BASE_: base.yaml")
    (tmp_path / "config.yaml").write_text(code)
    (tmp_path / "results.json").write_text("{}")
    with pytest.raises(UserError) as caught:
        if way == "run folder":
            read_finished(tmp_path)
        elif way == "device command":
            changed_config(str(tmp_path / "code.yaml"), [], "cpu")
        else:
            name = {"file": "code", "base": "base", "base of a base": "child"}[way]
            load_config(str(tmp_path / f"{name}.yaml"), [])
    assert refusal(code) in str(caught.value)
    assert ("config.yaml" if way == "run folder" else "code.yaml") in str(caught.value)


def test_code_in_a_pipeline_file_runs_nowhere(tmp_path, code):
    (tmp_path / "plan.yaml").write_text(code)
    with pytest.raises(UserError, match=r"plan\.yaml") as caught:
        plan_of_file(tmp_path / "plan.yaml", {})
    assert refusal(code) in str(caught.value)


def test_code_in_a_value_runs_nowhere(tmp_path):
    for code in ("!!python/object/apply:os.getpid []", "__import__('os').getpid()"):
        assert "SEED" in line_of(CONFIG, ["SEED", code])
        with pytest.raises(UserError, match="SEED"):
            changed_config(CONFIG, [f"SEED={code}"], "cpu")
    with pytest.raises(UserError, match=r"--set k_patches.*the tag !!python/object/apply:os"):
        parameters_of(["k_patches=!!python/object/apply:os.getpid []"])


def test_every_damaged_file_is_a_line_with_its_name(tmp_path):
    files = write_damaged(tmp_path)
    assert len(files) > len(DAMAGED)
    for name, path in files.items():
        # the message names the base that is damaged
        assert path.name in line_of(path) or "base" in name, name


def test_a_shipped_file_with_seeded_faults_is_read_or_a_line(tmp_path):
    base = shipped_configs() / "base" / "cad.yaml"
    text = (shipped_configs() / "demo" / "cad.yaml").read_text()
    text = text.replace("../base/cad.yaml", str(base))
    read = 0
    for content in mutated(text, seed=0, count=150):
        (tmp_path / "m.yaml").write_bytes(content)
        try:
            load_config(str(tmp_path / "m.yaml"), [])
            read += 1
        except UserError as error:
            assert "\n" not in str(error) and len(str(error)) < LONGEST
    assert 0 < read < 75


def test_words_that_are_no_pairs_are_a_line():
    for words in bad_words():
        line_of(CONFIG, words)


def test_no_key_has_what_no_key_can_have():
    texts = {key for key, value in leaves(boxrefine_cfg()) if isinstance(value, str)}
    for number, key in enumerate(keys()):
        value = IMPOSSIBLE[number % len(IMPOSSIBLE)]
        if key not in texts:  # these keys accept nearly any text
            assert key in line_of(CONFIG, [key, value])


def test_seeded_pairs_are_taken_or_a_line_that_names_the_key():
    taken = 0
    for key, value in bad_pairs(seed=1, each=1):
        try:
            load_config(CONFIG, [key, value])
            taken += 1
        except UserError as error:
            assert key in str(error) and "\n" not in str(error) and len(str(error)) < LONGEST
    assert 0 < taken < len(keys()) / 2


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("SOLVER.CHECKPOINT_PERIOD", "0", "must be at least 1"),
        ("LOG_PERIOD", "0", "must be at least 1"),
        ("SOLVER.MAX_ITER", "-5", "must be at least 1"),
        ("SOLVER.IMS_PER_BATCH", "0", "must be at least 1"),
        ("TEST.IMS_PER_BATCH", "0", "must be at least 1"),
        ("DATALOADER.NUM_WORKERS", "-1", "must be at least 0 and at most 1024"),
        ("SEED", "-2", "must be at least -1"),
        ("SEED", "99999999999", "must be from -2147483647 to 2147483647"),
        ("SOLVER.LR_SCHEDULER_NAME", "Cosine", "one of 'WarmupMultiStepLR', 'WarmupCosineLR'"),
        ("SOLVER.WARMUP_METHOD", "quadratic", "one of 'linear', 'constant'"),
        ("SOLVER.STEPS", "(200, 100)", "strictly rising"),
        ("SOLVER.MAP_NETWORK_BETAS", "(0.9,)", "must be 2 values, each at least 0, below 1"),
        ("SOLVER.MAP_NETWORK_BETAS", "(0.9, 1.0)", "must be 2 values, each at least 0, below 1"),
        ("SOLVER.BASE_LR", "nan", "must be a number"),
        ("SOLVER.BASE_LR", "1e999", "must be a finite number"),
        ("SOLVER.BASE_LR", "-1e-3", "must be from 0 to 1e+30"),
        ("INPUT.CROP_AREA", "(0.5,)", "must be () or 2 values, rising"),
        ("INPUT.CROP_AREA", "(1.0, 0.9)", "must be () or 2 values, rising"),
        ("INPUT.SQUARE_SIZE", "0", "must be at least 1 and at most 16384"),
        ("MODEL.PIXEL_MEAN", "(1, 2)", "must be 3 values"),
        ("MODEL.MASK_ON", "1", "must be True or False"),
        ("MODEL.WEIGHTS", "None", "must be a text"),
        ("DATASETS.TRAIN", "scenes:train", "must be a tuple"),
        ("DATASETS.TRAIN", "('',)", "a dataset spec such as 'folder:DIR'"),
        ("OUTPUT_DIR", "", "a text that is not empty"),
        ("DISCOVERY.LOST.K_PATCHES", "0", "must be at least 1"),
    ],
)
def test_the_line_names_the_key_the_value_and_what_is_allowed(key, value, allowed):
    line = line_of(CONFIG, [key, value])
    assert line.startswith(key) and allowed in line
    assert value.strip("()").split(",")[0] in line.replace("0.001", "1e-3").replace("inf", "1e999")


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("SOLVER.BASE_LR", "1", 1.0),
        ("SOLVER.BASE_LR", "1e-3", 1e-3),
        ("OUTPUT_DIR", "2024", "2024"),
        ("OUTPUT_DIR", "'a b'", "a b"),
        ("INPUT.CROP_AREA", "[0.5, 1]", (0.5, 1)),
        ("MODEL.ANCHOR_GENERATOR.SIZES", "((32, 64),)", [(32, 64)]),
        ("SOLVER.WEIGHT_DECAY_BIAS", "None", None),
        ("SOLVER.WEIGHT_DECAY_BIAS", "0.1", 0.1),
        ("DATASETS.TRAIN", "('a', 'b')", ("a", "b")),
    ],
)
def test_what_is_meant_is_taken(key, text, value):
    found = load_config(CONFIG, [key, text])
    for part in key.split("."):
        found = found[part]
    assert found == value and type(found) is type(value)


def test_no_default_of_detectron2_is_refused(tmp_path):
    """Read a file that Detectron2 itself writes for a run."""
    cfg = get_cfg()
    cfg.MODEL.DEVICE, cfg.OUTPUT_DIR = "cpu", "output"
    path = str(tmp_path / "config.yaml")
    Path(path).write_text(cfg.dump())
    cfg.merge_from_file(path)
    found = dict(leaves(load_config(path, [])))
    assert {key: found[key] for key, _ in leaves(cfg)} == dict(leaves(cfg))


def test_the_home_folder_is_meant(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mine.yaml").write_text("SEED: 7\nMODEL: {CLIP: {WEIGHTS: ~/clip}}")
    given = {
        "OUTPUT_DIR": "~/runs",
        "MODEL.WEIGHTS": "~/d.pth",
        "MODEL.MAP_NETWORK.WEIGHTS": "~/f.pth",
        "MODEL.HEATMAP.ENCODER": "~/e.pth",
        "PRETRAIN.INPAINTER.WEIGHTS": "random:3",
    }
    cfg = load_config("~/mine.yaml", [word for pair in given.items() for word in pair])
    assert (7, f"{tmp_path}/runs") == (cfg.SEED, cfg.OUTPUT_DIR)
    assert (f"{tmp_path}/d.pth", f"{tmp_path}/clip") == (cfg.MODEL.WEIGHTS, cfg.MODEL.CLIP.WEIGHTS)
    assert f"{tmp_path}/f.pth" == cfg.MODEL.MAP_NETWORK.WEIGHTS
    assert f"{tmp_path}/e.pth" == cfg.MODEL.HEATMAP.ENCODER
    assert cfg.PRETRAIN.INPAINTER.WEIGHTS == "random:3"


@pytest.mark.parametrize("name", ["x" * 300, "a\0b", "", "/dev/null/x"])
def test_a_file_that_cannot_be_is_a_line(name):
    with pytest.raises(UserError, match="no config file .*shipped: |is a folder"):
        load_config(name, [])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--config-file", CONFIG, "MODEL.DEVICE", "nonsense"], "device 'nonsense' cannot be used"),
        (["--config-file", CONFIG, "SOLVER.MAX_ITER", "0"], "SOLVER.MAX_ITER 0: must be"),
        (["--config-file", "nowhere.yaml"], "no config file nowhere.yaml"),
        (["--config-file", CONFIG, "--nonsense"], "unrecognized arguments"),
    ],
)
def test_a_command_is_checked_before_it_runs(words, message):
    check_command(["--config-file", CONFIG, "--resume", "OUTPUT_DIR", "/x/y"])
    with pytest.raises(UserError, match=message):
        check_command(words)


def test_numbers_of_set_are_numbers():
    assert parameters_of(["a=1e-5", "b=1E+3", "c=2", "d=true", "e=x1e5", "f=-2e3"]) == {
        "a": 1e-5,
        "b": 1000.0,
        "c": 2,
        "d": True,
        "e": "x1e5",
        "f": -2000.0,
    }
    for text in ("[" * 3000, "9" * 5000, "&a [*a]", "!!timestamp x", "'"):
        with pytest.raises(UserError, match="--set k"):
            parameters_of([f"k={text}"])
