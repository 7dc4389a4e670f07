"""Every shipped yaml file merges, holds no unknown or inert key, and builds on the CPU."""

from pathlib import Path

import pytest
import yaml

from boxrefine_d2.config import boxrefine_cfg
from boxrefine_d2.data import parse_spec
from boxrefine_d2.errors import UserError
from boxrefine_d2.files.safetensors_file import safetensors_bytes
from boxrefine_d2.files.shipped import find_config, shipped_configs
from boxrefine_d2.localization.class_trainer import ClassTrainer
from boxrefine_d2.networks.image_classifier import new_classifier
from boxrefine_d2.refinement.phased_trainer import PhasedTrainer
from boxrefine_d2.refinement.phases import PhaseSchedule
from boxrefine_d2.training.jobs import trainer_for
from boxrefine_d2.training.setup import load_config
from boxrefine_d2.workflow import plan_of_file

PIPELINES = sorted(shipped_configs().glob("pipelines/*.yaml"))
CONFIGS = sorted(set(shipped_configs().rglob("*.yaml")) - set(PIPELINES))
JOBS = [path for path in CONFIGS if "base" not in path.parts]


def name(path: Path) -> str:
    return str(path.relative_to(shipped_configs()))


def leaves(node, prefix=""):
    for key, value in node.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{key}.")
        elif key not in ("_BASE_", "VERSION"):
            yield prefix + key


def value_of(cfg, key):
    for part in key.split("."):
        cfg = cfg[part]
    return cfg


def test_configs_are_found():
    known = {"lost_refine.yaml", "lost_refine_release.yaml", "region_refine.yaml"}
    assert known <= {name(path) for path in CONFIGS}


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    """File of an untrained classifier."""
    path = tmp_path_factory.mktemp("networks") / "classifier.safetensors"
    network = new_classifier("resnet18", "random", 3, seed=0, classes=("a", "b", "c"))
    path.write_bytes(safetensors_bytes(network.state_dict(), network.file_facts()))
    return path


@pytest.mark.parametrize("path", JOBS, ids=name)
def test_a_config_merges_and_builds_on_cpu(path, classifier):
    untrained = [
        "MODEL.MAP_NETWORK",
        "MODEL.MAP_DETECTOR",
        "MODEL.CLIP",
        "MODEL.HEATMAP",
        "PRETRAIN.INPAINTER",
        "PRETRAIN.MOVE.DISCRIMINATOR",
        "MODEL.CLASSIFIER",
    ]
    weights = [part for node in untrained for part in (f"{node}.WEIGHTS", "random")]
    # a captioner with random weights finds no phrases
    weights += ["MODEL.HEATMAP.ENCODER", "random", "MODEL.CAPTIONER.NAME", "phrases"]
    weights += ["MODEL.CLASSIFIER.TRUNK_WEIGHTS", "random"]
    weights += ["WEIGHT_MAP.ENCODER_WEIGHTS", "random", "WEIGHT_MAP.EMBEDDING_WEIGHTS", "random"]
    opts = ["MODEL.DEVICE", "cpu", "MODEL.WEIGHTS", "", *weights]
    cfg = load_config(str(path), opts)
    for spec in (*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST):
        parse_spec(spec)
    if cfg.MODEL.MAP_NETWORK.NAME == "classifier":  # its file states its form
        cfg.MODEL.MAP_NETWORK.WEIGHTS = str(classifier)
    job = trainer_for(cfg)
    if issubclass(job, ClassTrainer):  # it reads the classes of the data
        cfg.DATASETS.TRAIN, cfg.DATASETS.TEST = ("kinds:train+first=24",), ()
    cfg.freeze()
    model = job.build_model(cfg)
    if not job.learns:
        return
    job.build_mapper(cfg)
    optimizer = job.build_optimizer(cfg, model)
    if not issubclass(job, PhasedTrainer):
        scale = cfg.SOLVER.IMS_PER_BATCH / (cfg.SOLVER.REFERENCE_BATCH or cfg.SOLVER.IMS_PER_BATCH)
        rate = cfg.SOLVER.BASE_LR * scale
        rates = {rate, rate * cfg.SOLVER.PREDICTOR_LR_FACTOR}
        assert {group["lr"] for group in optimizer.param_groups} == rates
        return
    assert [group["lr"] for group in optimizer.param_groups] == [
        cfg.SOLVER.MAP_NETWORK_LR,
        cfg.SOLVER.BASE_LR,
    ]
    schedule = PhaseSchedule.from_config(cfg)
    phases = {schedule(iteration) for iteration in range(cfg.SOLVER.MAX_ITER)}
    assert phases == ({"detector", "refine"} if cfg.REFINE.WARMUP_ITERS else {"refine"})


@pytest.mark.parametrize("path", CONFIGS, ids=name)
def test_a_child_states_only_changed_values(path):
    content = yaml.safe_load(path.read_text())
    base = boxrefine_cfg()
    if "_BASE_" in content:
        base.merge_from_file(str(path.parent / content["_BASE_"]))
    cfg = load_config(str(path), [])
    for key in leaves(content):
        assert value_of(cfg, key) != value_of(base, key), f"{key} is inert"


@pytest.mark.parametrize("path", PIPELINES, ids=name)
def test_a_pipeline_runs_tools_on_shipped_configs(path):
    tools = Path(__file__).parents[1] / "tools"
    for stage in plan_of_file(path, {}):
        tool, *words = stage.command
        assert (tools / tool).is_file()
        if "--config-file" in words:
            place = words.index("--config-file") + 1
            opts = words[place + 1 :]
            while opts and (opts[0].startswith("--") or opts[0].isdigit()):
                opts.pop(0)
            load_config(words[place], opts)


def test_a_shipped_config_is_found_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_config("configs/lost_refine.yaml") == shipped_configs() / "lost_refine.yaml"
    with pytest.raises(
        UserError, match=r"no config file lost\.yml; shipped: configs/.*lost_refine\.yaml"
    ):
        find_config("lost.yml")


@pytest.mark.parametrize(
    ("opts", "message"),
    [
        (["SOLVER.BASE_LRR", "1"], "BASE_LRR"),
        (["SOLVER.MAX_ITER", "many"], "MAX_ITER"),
        (["SOLVER.MAX_ITER"], "SOLVER.MAX_ITER"),
    ],
)
def test_wrong_options_are_refused_in_one_line(opts, message):
    with pytest.raises(UserError, match=message) as caught:
        load_config("configs/lost_refine.yaml", opts)
    assert "\n" not in str(caught.value)


def test_release_profile_has_the_published_values():
    cfg = load_config("configs/lost_refine_release.yaml", [])
    assert cfg.MODEL.CRITERION.CLASS_WEIGHT == 0.1
    assert (cfg.SOLVER.BASE_LR, cfg.SOLVER.MAP_NETWORK_LR, cfg.SOLVER.IMS_PER_BATCH) == (
        1e-5,
        1e-5,
        16,
    )
    assert (cfg.REFINE.REG_ON, cfg.REFINE.REG_REDUCTION) == ("cls", "mean")
    assert cfg.MODEL.MAP_DETECTOR.NUM_BOXES == 10


def test_release_profile_of_grounding_has_the_values_of_the_released_code():
    """There are 25 epochs of 277 iterations, the first ten of h; h would return at epoch 40."""
    cfg = load_config("configs/grounding_refine_release.yaml", [])
    phases = PhaseSchedule.from_config(cfg)
    assert cfg.SOLVER.MAX_ITER == 25 * 277
    for epoch, phase in ((0, "detector"), (9, "detector"), (10, "refine"), (24, "refine")):
        assert phases(277 * epoch) == phase
    assert phases(277 * 40) == "detector"
    paper = load_config("configs/grounding_refine.yaml", [])
    for part in (cfg.GROUNDING, paper.GROUNDING):
        weights = (part.AREA_WEIGHT, part.RELEVANCE_WEIGHT, part.BACKGROUND_WEIGHT)
        assert (*weights, part.FOREGROUND_WEIGHT) == (1, 64, 2, 1)
    assert (cfg.GROUNDING.SIMILARITY, paper.GROUNDING.SIMILARITY) == ("all_pairs", "matched")


def test_paper_profile_has_the_published_values():
    cfg = load_config("configs/lost_refine.yaml", [])
    weights = cfg.MODEL.CRITERION
    assert (weights.CLASS_WEIGHT, weights.L1_WEIGHT, weights.GIOU_WEIGHT) == (2, 5, 2)
    assert (cfg.SOLVER.BASE_LR, cfg.SOLVER.MAP_NETWORK_LR, cfg.SOLVER.IMS_PER_BATCH) == (
        1e-5,
        5e-7,
        36,
    )
    assert (cfg.REFINE.REG_ON, cfg.REFINE.REG_REDUCTION) == ("cls", "sum")
    assert cfg.MODEL.MAP_NETWORK.NAME == "dino_vits16"
