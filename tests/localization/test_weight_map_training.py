"""Both methods of the weight map: losses against plain sums, the part that learns, mistakes."""

import pytest
import torch
from detectron2.utils.events import EventStorage

from boxrefine_d2.errors import UserError
from boxrefine_d2.files.safetensors_file import safetensors_bytes
from boxrefine_d2.localization import classifier_training, siamese_training  # noqa: F401
from boxrefine_d2.localization.class_trainer import ClassTrainer
from boxrefine_d2.localization.masking import soft_cross_entropy
from boxrefine_d2.localization.training_data import hold_out
from boxrefine_d2.localization.weight_map_trainers import TripletWeightMapTrainer, WeightMapTrainer
from boxrefine_d2.localization.weight_map_training import (
    TripletWeightMapTraining,
    WeightMapTraining,
)
from boxrefine_d2.networks.image_classifier import new_classifier
from boxrefine_d2.networks.padding import normalise_and_pad
from boxrefine_d2.networks.weight_map import WeightMapForm, new_weight_map
from boxrefine_d2.training.setup import load_config
from tests.localization.class_folders import class_folders

FORM = WeightMapForm("resnet_mini", widths=(256, 16, 16, 8, 8))
GREY = 127.5  # of 255, the colour that a map of 0 shows


def parts(**changes):
    """Return the parts that both methods share, on networks with random weights."""
    return {
        "weight_map": new_weight_map(FORM, "random", seed=1),
        "classifier": new_classifier("resnet_mini", "random:2", 3, seed=3, classes=tuple("abc")),
        "area_weight": 0.5,
        "masked_value": "grey",
        "weight_decay": 0.0,
        "cam_of_known_class": True,
        "autocast": False,
    } | changes


def method_1():
    model = WeightMapTraining(discrepancy=soft_cross_entropy, **parts())
    model.classifier.eval().requires_grad_(False)
    return model.train()


def method_2(**changes):
    embedding = new_classifier("resnet_mini", "random:4", 5, seed=5)
    weights = {"inner_weight": 2.0, "outer_weight": 3.0, "margin": 1.0} | changes
    model = TripletWeightMapTraining(
        embedding=embedding.eval().requires_grad_(False), **weights, **parts(classifier=None)
    )
    return model.train()


def image(seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (3, 32, 32), dtype=torch.uint8, generator=generator)


def inputs(count=3):
    return [{"image": image(place), "image_label": place % 3} for place in range(count)]


def triplets(count=2):
    roles = ("anchor", "positive", "negative")
    return [
        {role: {"image": image(10 * number + place)} for place, role in enumerate(roles)}
        for number in range(count)
    ]


def seen_through(pixels, heatmap):
    """Return an image of which the map leaves a share of the colours, normalised, (1, 3, H, W)."""
    mixed = heatmap * pixels.float() + (1 - heatmap) * GREY
    return normalise_and_pad([mixed], 1)


@pytest.fixture
def storage():
    with EventStorage() as events:
        yield events


def test_method_1_is_the_cross_entropy_of_what_the_map_shows(storage):
    model, batch = method_1(), inputs()
    losses = model(batch)
    with torch.no_grad():
        maps = model.maps_of(model.images_of(batch))
        terms = []
        for x, heatmap in zip(batch, maps, strict=True):
            predicted = []
            for pixels in (normalise_and_pad([x["image"]], 1), seen_through(x["image"], heatmap)):
                features = model.classifier.trunk(pixels)[0]
                scores = model.classifier.head(features.mean(dim=(1, 2)))
                predicted.append(scores.softmax(dim=0).tolist())
            whole, seen = predicted
            logs = torch.tensor(seen).log().tolist()
            terms.append(-sum(p * log for p, log in zip(whole, logs, strict=True)))
    assert losses["loss_classifier"].item() == pytest.approx(sum(terms) / 3, rel=1e-4)
    assert losses["loss_area"].item() == pytest.approx(0.5 * maps.mean().item(), rel=1e-5)
    assert storage.latest()["mean_map"][0] == pytest.approx(maps.mean().item(), rel=1e-5)


def test_method_1_reads_no_label(storage):
    labelled = method_1()(inputs())
    unlabelled = method_1()([{"image": x["image"]} for x in inputs()])
    assert labelled == unlabelled


def test_method_2_is_two_triplets_and_the_area_of_the_anchors(storage):
    model, batch = method_2(), triplets()
    losses = model(batch)
    images = [x[role]["image"] for role in ("anchor", "positive", "negative") for x in batch]
    with torch.no_grad():
        maps = model.maps_of(normalise_and_pad(images, 1))

        def embedded(pixels):
            return model.embedding.head(model.embedding.trunk(pixels)[0].mean(dim=(1, 2)))

        def gap(near, far):
            return max(float((near - far).pow(2).sum().sqrt()), 0)

        shown = [embedded(seen_through(p, m)) for p, m in zip(images, maps, strict=True)]
        inner = outer = 0.0
        for number in range(2):
            whole = embedded(normalise_and_pad([images[number]], 1))
            hidden = embedded(seen_through(images[number], 1 - maps[number]))
            anchor, positive, negative = shown[number], shown[2 + number], shown[4 + number]
            inner += max(gap(whole, anchor) - gap(whole, hidden) + 1, 0) / 2
            outer += max(gap(anchor, positive) - gap(anchor, negative) + 1, 0) / 2
    assert losses["loss_inner"].item() == pytest.approx(2 * inner, rel=1e-4)
    assert losses["loss_outer"].item() == pytest.approx(3 * outer, rel=1e-4)
    assert losses["loss_area"].item() == pytest.approx(0.5 * maps[:2].mean().item(), rel=1e-5)
    assert maps[:2].mean().item() != pytest.approx(maps.mean().item(), rel=1e-4)


@pytest.mark.parametrize(("build", "batch"), [(method_1, inputs), (method_2, triplets)])
def test_g_learns_and_the_frozen_network_stays(storage, build, batch):
    model = build()
    frozen = model.classifier or model.embedding
    assert model.map_network.training
    assert not any(module.training for module in frozen.modules())
    before = {name: value.clone() for name, value in frozen.state_dict().items()}
    own = {name: value.clone() for name, value in model.map_network.state_dict().items()}
    optimizer = torch.optim.SGD(model.parameter_groups(), lr=0.1)
    sum(model(batch()).values()).backward()
    first = model.map_network.encoder.stem.conv1.weight
    assert first.grad.abs().sum() > 0
    assert all(p.grad is not None for p in model.map_network.parameters())
    assert all(p.grad is None for p in frozen.parameters())
    optimizer.step()
    after = frozen.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    changed = model.map_network.state_dict()
    assert not torch.equal(changed["encoder.stem.conv1.weight"], own["encoder.stem.conv1.weight"])


@pytest.mark.parametrize("term", ["inner_weight", "outer_weight"])
def test_each_triplet_reaches_g(storage, term):
    model = method_2(**({"inner_weight": 0.0, "outer_weight": 0.0} | {term: 1.0}))
    losses = model(triplets())
    (losses["loss_inner"] + losses["loss_outer"]).backward()
    assert model.map_network.encoder.stem.conv1.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("build", [method_1, method_2])
def test_a_checkpoint_omits_the_frozen_network(build):
    model = build()
    state = model.state_dict()
    assert {name.partition(".")[0] for name in state} == {"map_network"}
    assert model.load_state_dict(state).missing_keys == []
    del state["map_network.decoder.0.0.weight"]
    missing = build().load_state_dict(state, strict=False).missing_keys
    assert missing == ["map_network.decoder.0.0.weight"]


def test_answers_have_classes_only_from_a_classifier():
    batch = inputs()
    with_classes = method_1().eval()(batch)
    without = method_2().eval()(batch)
    for output in with_classes:
        answer = output["answer"]
        assert set(answer.heatmaps) == {"weight_map", "cam"}
        assert sorted(answer.labels) == [0, 1, 2] and 0 < answer.score <= 1
    for output in without:
        assert set(output["answer"].heatmaps) == {"weight_map"}
        assert output["answer"].labels is None


def test_a_tenth_is_held_out_by_the_seed():
    records = [{"image_id": place} for place in range(50)]
    learnt, held = hold_out(records, 0.1, 7)
    assert len(held) == 5 and learnt + held != records
    assert sorted(record["image_id"] for record in learnt + held) == list(range(50))
    for part in (learnt, held):
        assert [r["image_id"] for r in part] == sorted(r["image_id"] for r in part)
    assert hold_out(records, 0.1, 7) == (learnt, held)
    assert hold_out(records, 0.1, 8) != (learnt, held)
    assert [len(part) for part in hold_out(records[:2], 0.1, 0)] == [1, 1]
    assert [len(part) for part in hold_out(records[:2], 0.9, 0)] == [1, 1]
    assert hold_out(records, 0.0, 0) == (records, [])
    with pytest.raises(UserError, match="nothing can be held out of 1 image.*HOLD_OUT 0"):
        hold_out(records[:1], 0.1, 0)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return class_folders(
        tmp_path_factory.mktemp("folders") / "classes", ("blue", "green", "red"), 2
    )


@pytest.fixture
def config(folders):
    """A function from a config and its changes to the settings of a training on class folders."""

    def load(name, changes):
        settings = {
            "MODEL.DEVICE": "cpu",
            "MODEL.CLASSIFIER.TRUNK": "resnet_mini",
            "MODEL.CLASSIFIER.WEIGHTS": "random",
            "WEIGHT_MAP.ENCODER": "resnet_mini",
            "WEIGHT_MAP.ENCODER_WEIGHTS": "random",
            "WEIGHT_MAP.EMBEDDING_WEIGHTS": "random",
            "DATASETS.TRAIN": f"('classes:{folders}',)",
            "DATASETS.TEST": "()",
            "INPUT.CLASSIFIED.CROP": "64",
            "SOLVER.IMS_PER_BATCH": "2",
        } | changes
        return load_config(
            f"configs/{name}.yaml", [str(part) for pair in settings.items() for part in pair]
        )

    return load


def classifier_file(path, classes):
    network = new_classifier("resnet_mini", "random:0", len(classes), seed=0, classes=classes)
    path.write_bytes(safetensors_bytes(network.state_dict(), network.file_facts()))
    return path


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (("blue", "green"), "has 3 classes, and the classifier 2"),
        (("blue", "red", "green"), "class 1 is 'green', and the classifier calls it 'red'"),
    ],
)
def test_a_classifier_of_other_classes_is_refused(tmp_path, config, classes, message):
    file = classifier_file(tmp_path / "classifier.safetensors", classes)
    cfg = config("weight_map_1", {"MODEL.CLASSIFIER.WEIGHTS": file})
    with pytest.raises(UserError, match=message):
        WeightMapTrainer.build_model(cfg)


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("weight_map_1", {"MODEL.CLASSIFIER.WEIGHTS": ""}, "WEIGHTS is empty: method I needs"),
        ("weight_map_1", {"MODEL.CLASSIFIER.WEIGHTS": "no.safetensors"}, "no.safetensors"),
        (
            "weight_map_2",
            {"WEIGHT_MAP.EMBEDDING_WEIGHTS": ""},
            "EMBEDDING_WEIGHTS is empty: method II needs",
        ),
        (
            "weight_map_1",
            {"INPUT.CLASSIFIED.CROP": "72"},
            "CROP 72 is no multiple of the cells of resnet_mini, 16 pixels.*such as 80",
        ),
        ("weight_map_1", {"WEIGHT_MAP.ENCODER": "vgg16"}, "vgg16.*resnet18"),
    ],
)
def test_mistakes_are_one_line(config, name, changes, message):
    trainer = TripletWeightMapTrainer if name == "weight_map_2" else WeightMapTrainer
    with pytest.raises(UserError, match=message):
        trainer.build_model(config(name, changes))


@pytest.mark.parametrize("name", ["weight_map_classifier", "weight_map_siamese"])
def test_a_crop_that_a_transformer_cannot_read_is_one_line(config, name):
    changes = {"MODEL.CLASSIFIER.TRUNK": "dino_mini", "MODEL.CLASSIFIER.TRUNK_WEIGHTS": "random"}
    cfg = config(name, changes | {"INPUT.CLASSIFIED.CROP": "72"})
    with pytest.raises(UserError, match="CROP 72 is no multiple of the cells of dino_mini, 16"):
        ClassTrainer.build_model(cfg)


def test_early_stopping_without_images_is_refused(config, tmp_path):
    cfg = config("weight_map_1", {"WEIGHT_MAP.HOLD_OUT": "0", "OUTPUT_DIR": tmp_path})
    with pytest.raises(UserError, match="EARLY_STOP inside_share has no images.*choose none"):
        WeightMapTrainer(cfg)


def test_triplets_of_one_class_are_refused(config, folders):
    data = f"('classes:{folders}+classes=red',)"
    cfg = config("weight_map_2", {"DATASETS.TRAIN": data, "WEIGHT_MAP.HOLD_OUT": "0"})
    with pytest.raises(UserError, match="triplets need images of two classes.* have 1"):
        TripletWeightMapTrainer.build_mapper(cfg)


def test_a_loss_that_is_no_number_is_one_line(config, tmp_path):
    trainer = WeightMapTrainer(config("weight_map_1", {"OUTPUT_DIR": tmp_path}))
    with torch.no_grad():
        trainer.network.map_network.decoder[0][0].weight.fill_(torch.nan)
    with pytest.raises(UserError, match="broke down at iteration 0.*lower SOLVER.BASE_LR"):
        trainer.train()
