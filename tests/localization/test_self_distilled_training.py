"""Training and evaluation of SD-CAM: losses and maps by plain formulas, and whole runs."""

import json
import math

import numpy as np
import pytest
import scipy.linalg
import torch
from detectron2.utils.events import EventStorage
from PIL import Image
from torch.testing import assert_close

from boxrefine_d2.errors import UserError
from boxrefine_d2.localization.class_trainer import ClassTrainer
from boxrefine_d2.localization.self_distilled_cam import SelfDistilledCam
from boxrefine_d2.localization.training_data import records_of
from boxrefine_d2.networks.build import DINO_MINI
from boxrefine_d2.networks.distilled_heads import read_heads
from boxrefine_d2.training.setup import load_config
from tests.localization.class_folders import class_folders
from tests.tool_modules import tool

SIDE = 64
SHORT = {
    "MODEL.DEVICE": "cpu",
    "INPUT.CLASSIFIED.RESIZE": 80,
    "INPUT.CLASSIFIED.CROP": SIDE,
    "INPUT.CLASSIFIED.TEST_RESIZE": SIDE,
    "INPUT.CACHE_GIB": 0.0,
    "DISCOVERY.SGRM.STEPS": 2,
    "SOLVER.IMS_PER_BATCH": 2,
    "SOLVER.WARMUP_ITERS": 0,
    "SOLVER.MAX_ITER": 4,
    "SOLVER.CHECKPOINT_PERIOD": 2,
    "DATALOADER.NUM_WORKERS": 0,
}
TABLE_1 = [
    "tokencut_above_mean",
    "tokencut_orientation_above_mean",
    "tokencut_arm_orientation_above_mean",
    "tokencut_orientation_sgrm",
    "tokencut_arm_sgrm",
    "tokencut_arm_orientation_sgrm",
]


@pytest.fixture(scope="module")
def colours(tmp_path_factory):
    return class_folders(tmp_path_factory.mktemp("colours"))


def settings(colours, changes) -> list[str]:
    data = f"('classes:{colours}',)"
    pairs = SHORT | {"DATASETS.TRAIN": data, "DATASETS.TEST": data} | changes
    return [str(part) for pair in pairs.items() for part in pair]


def built(colours, **changes) -> SelfDistilledCam:
    config = "configs/demo/lcar.yaml"
    return ClassTrainer.build_model(load_config(config, settings(colours, changes)))


def batch():
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (3, 3, SIDE, SIDE), generator=generator, dtype=torch.uint8)
    return [
        {"image": image, "image_label": label}
        for image, label in zip(images, (0, 1, 1), strict=True)
    ]


def softmax(logits, temperature=1.0):
    powers = [math.exp(z / temperature) for z in logits]
    return [power / sum(powers) for power in powers]


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
@pytest.mark.parametrize(("with_cls", "mlp_block"), [(True, True), (False, False)])
def test_losses_by_the_formulas(colours, alpha, with_cls, mlp_block):
    node = "SELF_DISTILLED_CAM"
    changes = {f"{node}.ALPHA": alpha, f"{node}.TEMPERATURE": 2.0}
    changes |= {f"{node}.WITH_CLS": with_cls, f"{node}.MLP_BLOCK": mlp_block}
    model, inputs = built(colours, **changes, **{"SOLVER.AMP.ENABLED": False}).train(), batch()
    heads = model.map_network
    with EventStorage(), torch.no_grad():
        losses = model(inputs)
        tokens = heads.transformer.forward_tokens(model.images_of(inputs)).double()
        mean = tokens[:, 1:].mean(dim=1)
        read = torch.cat([tokens[:, 0], mean], dim=1) if with_cls else mean
        teacher = heads.teacher.double()(read).tolist()
        student = heads.student.double()(mean).tolist()
    assert len(heads.teacher) == (3 if mlp_block else 1)
    labels = [x["image_label"] for x in inputs]
    own = [
        -sum(math.log(softmax(z)[y]) for z, y in zip(logits, labels, strict=True)) / 3
        for logits in (teacher, student)
    ]
    divergence = 0.0
    for z_t, z_s in zip(teacher, student, strict=True):
        pairs = zip(softmax(z_t, 2), softmax(z_s, 2), strict=True)
        divergence += sum(p * math.log(p / q) for p, q in pairs) / 3
    assert losses["loss_teacher"].item() == pytest.approx(own[0], rel=1e-4)
    assert losses["loss_student"].item() == pytest.approx(alpha * own[1], rel=1e-4)
    expected = (1 - alpha) * divergence
    assert losses["loss_distillation"].item() == pytest.approx(expected, rel=1e-3, abs=1e-7)


def test_both_heads_learn_at_once_and_the_transformer_never(colours):
    model = built(colours).train()
    assert not model.map_network.transformer.training
    with EventStorage():
        sum(model(batch()).values()).backward()
    learning = {name for name, value in model.named_parameters() if value.grad is not None}
    assert {name.split(".")[1] for name in learning} == {"teacher", "student"}
    grouped = {id(p) for group in model.parameter_groups() for p in group["params"]}
    assert grouped == {id(p) for name, p in model.named_parameters() if name in learning}


@pytest.mark.parametrize("resize", [SIDE, SIDE + 16])
def test_inputs_that_come_back_are_read_once(colours, resize, monkeypatch):
    cfg = load_config(
        "configs/demo/lcar.yaml", settings(colours, {"INPUT.CLASSIFIED.RESIZE": resize})
    )
    model, mapper = ClassTrainer.build_model(cfg).train(), ClassTrainer.build_mapper(cfg)
    reader, read = model.map_network.tokens, []
    monkeypatch.setattr(
        model.map_network, "tokens", lambda images: read.append(len(images)) or reader(images)
    )
    records = records_of(cfg.DATASETS.TRAIN)
    inputs = [mapper(records[position % 6], position) for position in range(60)]
    with EventStorage():
        first = [model(inputs[start : start + 6]) for start in range(0, 60, 6)]
        count = sum(read)
        again = model(inputs[:6])
    views = {(x["file_name"], x["frame"]) for x in inputs}
    assert count == (len(views) if resize == SIDE else 60)
    assert sum(read) == count + (0 if resize == SIDE else 6)
    assert again["loss_teacher"].equal(first[0]["loss_teacher"])
    held = sum(row.untyped_storage().nbytes() for (row,) in model._pooled._rows.values())
    assert held == (len(views) * 2 * 192 * 4 if resize == SIDE else 0)  # two tokens of float32


def test_the_coarse_map_is_the_second_eigenvector_with_the_sign_of_tokencut(colours):
    model, inputs = built(colours).eval(), batch()
    answers = [output["answer"] for output in model(inputs)]
    with torch.no_grad():
        keys = model.map_network.transformer(model.images_of(inputs), "key")
    for answer, tokens in zip(answers, keys.tokens().double(), strict=True):
        unit = tokens / tokens.norm(dim=1, keepdim=True)
        weights = np.where((unit @ unit.T).numpy() > 0.05, 1.0, 1e-5)
        degrees = np.diag(weights.sum(axis=1))
        vector = scipy.linalg.eigh(degrees - weights, degrees)[1][:, 1]
        largest = vector[np.abs(vector).argmax()]
        vector = vector if largest > vector.mean() else -vector
        cells = torch.from_numpy((vector - vector.min()) / np.ptp(vector)).view(1, 1, 4, 4)
        expected = torch.nn.functional.interpolate(
            cells, size=(SIDE, SIDE), mode="bilinear", align_corners=True
        )
        assert_close(answer.heatmaps["tokencut"].double(), expected[0, 0], atol=1e-3, rtol=0)


@pytest.mark.parametrize(("choice", "label"), [("known", 1), ("predicted", 0)])
def test_cam_is_the_students_map_of_the_chosen_class(colours, choice, label):
    model = built(colours, **{"LOCALIZATION.CAM_CLASS": choice}).eval()
    heads, x = model.map_network, batch()[1]
    with torch.no_grad():
        heads.teacher[-1].weight.zero_()
        heads.teacher[-1].bias.copy_(torch.tensor([2.0, 1.0]))  # it predicts the class 0
        [output] = model([x])
        tokens = heads.transformer.forward_tokens(model.images_of([x]))[0, 1:]
        cells = (tokens @ heads.student.weight[label]).view(1, 1, 4, 4)
        cells = (cells - cells.min()) / (cells.max() - cells.min())
        expected = torch.nn.functional.interpolate(cells, size=(SIDE, SIDE), mode="bilinear")
    answer = output["answer"]
    assert_close(answer.heatmaps["cam"], expected[0, 0], atol=1e-5, rtol=0)
    assert answer.labels == [0, 1]
    assert answer.score == pytest.approx(1 / (1 + math.exp(-1)))


def run(output, colours, *flags, config="configs/demo/lcar.yaml", **changes):
    """Run the command, and return its exit code."""
    words = ["--config-file", config, *flags]
    return tool("train_net").main(words + settings(colours, {"OUTPUT_DIR": output} | changes))


def test_a_run_writes_the_boxes_of_every_source(tmp_path, colours):
    assert run(tmp_path, colours) == 0
    (results,) = json.loads((tmp_path / "results.json").read_text())["datasets"].values()
    assert set(results) == {*TABLE_1, "cam"}
    wanted = {f"gt_loc_{iou}" for iou in (50, 70, 80, 90)} | {"top1_cls", "top1_loc"}
    assert all(wanted <= set(of_source) for of_source in results.values())
    (inference,) = (tmp_path / "inference").iterdir()
    for name in results:
        entries = json.loads((inference / name / "localization.json").read_text())
        assert [entry["image_id"] for entry in entries] == [1, 2, 3, 4, 5, 6]
        assert np.load(inference / name / entries[0]["heatmap"])["map"].shape == (SIDE, SIDE)
    heads = read_heads(tmp_path / "distilled_heads.safetensors")
    assert heads.form.classes == ("blue", "red")
    assert heads.transformer.weights_info.source == "dino_mini.safetensors"
    whole = torch.load(tmp_path / "model_final.pth", weights_only=True)["model"]
    assert_close(heads.student.weight, whole["map_network.student.weight"], atol=1e-3, rtol=0)


@pytest.mark.parametrize("resize", [SIDE, SIDE + 16])
def test_a_run_resumes_to_the_same_bits(tmp_path, colours, resize):
    changes = {"DATASETS.TEST": "()", "INPUT.CLASSIFIED.RESIZE": resize}
    assert run(tmp_path, colours, **changes) == 0
    whole = torch.load(tmp_path / "model_final.pth", weights_only=True)["model"]
    (tmp_path / "model_final.pth").unlink()
    (tmp_path / "model_0000003.pth").unlink()
    (tmp_path / "last_checkpoint").write_text("model_0000001.pth")
    assert run(tmp_path, colours, "--resume", **changes) == 0
    resumed = torch.load(tmp_path / "model_final.pth", weights_only=True)["model"]
    assert resumed.keys() == whole.keys()
    assert not [name for name in whole if not whole[name].equal(resumed[name])]


@pytest.mark.parametrize("name", ["lcar_cub", "lcar_ilsvrc"])
def test_the_configs_of_the_paper_take_two_steps(tmp_path, colours, name):
    changes = {
        "MODEL.MAP_NETWORK.NAME": "dino_mini",
        "SOLVER.MAX_ITER": 2,
        "LOCALIZATION.SOURCES": "[['cam']]",
    }
    assert run(tmp_path, colours, config=f"configs/{name}.yaml", **changes) == 0
    heads = read_heads(tmp_path / "distilled_heads.safetensors")
    assert heads.form.mlp_block == (name == "lcar_cub")


def test_a_plain_image_is_one_superpixel_which_is_counted(tmp_path, colours, caplog):
    plain = class_folders(tmp_path / "plain", count=1)
    for path in plain.glob("*/*.png"):
        Image.new("RGB", (72, 56), (90, 90, 90)).save(path)
    changes = {"DATASETS.TEST": f"('classes:{plain}',)", "OUTPUT_DIR": tmp_path / "out"}
    changes["LOCALIZATION.SOURCES"] = "[['tokencut','arm','sgrm']]"
    cfg = load_config("configs/demo/lcar.yaml", settings(colours, changes))
    results = ClassTrainer.evaluate(cfg, ClassTrainer.build_model(cfg))
    assert results
    [path] = (tmp_path / "out" / "inference").glob("*/tokencut_arm_sgrm/metrics.json")
    assert (
        json.loads(path.read_text())["images_by_reason"]["one superpixel, no votes for sgrm"] == 2
    )
    assert "2 of 2 images: one superpixel" in caplog.text


def with_data(colours, key, folder):
    return built(colours, **{f"DATASETS.{key}": f"('classes:{folder}',)"})


def test_bad_data_is_one_line(tmp_path, colours):
    more = class_folders(tmp_path / "more", names=("blue", "green", "red"))
    with pytest.raises(UserError, match="has the classes blue, green, red, and .* blue, red; name"):
        with_data(colours, "TEST", more)
    one = {"DATASETS.TRAIN": f"('classes:{colours}+first=2',)"}
    with pytest.raises(UserError, match="all images have one class"):
        built(colours, **one)
    with pytest.raises(UserError, match="CROP 60 is no multiple of the cells of dino_mini, 16"):
        built(colours, **{"INPUT.CLASSIFIED.CROP": 60})
    with pytest.raises(UserError, match="dino_resnet50 has no tokens; name a transformer"):
        built(
            colours,
            **{"MODEL.MAP_NETWORK.NAME": "dino_resnet50", "MODEL.MAP_NETWORK.WEIGHTS": "random"},
        )
    with pytest.raises(UserError, match="ALPHA 1.5"):
        built(colours, **{"SELF_DISTILLED_CAM.ALPHA": 1.5})


def test_a_checkpoint_of_other_classes_is_one_line(tmp_path, colours, capsys):
    weights = tmp_path / "two.pth"
    torch.save({"model": built(colours).state_dict()}, weights)
    more = class_folders(tmp_path / "more", names=("blue", "green", "red"))
    assert run(tmp_path / "out", more, "--eval-only", **{"MODEL.WEIGHTS": weights}) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert "(2, 384) in the file and (3, 384) in the model" in line


def test_a_file_without_heads_is_one_line():
    with pytest.raises(UserError, match="holds no heads of SD-CAM"):
        read_heads(DINO_MINI)
