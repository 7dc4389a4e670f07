"""tools/convert_dino_resnet.py: the detectors start from the file that it writes."""

import pickle

import numpy as np
import pytest
import safetensors
import torch
import torchvision
from torch import nn
from torch.testing import assert_close

from boxrefine_d2.detectors.cad_trainer import CADTrainer
from boxrefine_d2.networks.weights import file_sha256
from boxrefine_d2.training.checkpoint import SafeCheckpointer
from boxrefine_d2.training.setup import load_config
from tests.tool_modules import tool

IMAGES = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def main():
    return tool("convert_dino_resnet").main


@pytest.fixture(scope="module")
def source() -> nn.Module:
    """Return torchvision's network in eval mode, with random weights, norms and statistics."""
    generator = torch.Generator().manual_seed(0)
    network = torchvision.models.resnet50(weights=None).eval().requires_grad_(False)
    for part in network.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, generator=generator)
        elif isinstance(part, nn.BatchNorm2d):
            for name, low, high in (
                ("weight", 0.3, 0.8),
                ("bias", -0.3, 0.3),
                ("running_mean", -0.3, 0.3),
                ("running_var", 0.5, 2.0),
            ):
                getattr(part, name).uniform_(low, high, generator=generator)
    return network


@pytest.fixture(scope="module")
def files(main, source, tmp_path_factory):
    """Write the network's file in the form of DINO's, in PyTorch's cache, and convert it.

    Yields: end of a file name -> path. The files take 100 MB each and are removed afterwards.
    """
    folder = tmp_path_factory.mktemp("weights")
    cached = folder / "hub" / "checkpoints" / "dino_resnet50_pretrain.pth"
    cached.parent.mkdir(parents=True)
    state = source.state_dict()
    torch.save({k: v for k, v in state.items() if not k.startswith("fc.")}, cached)
    made = {"pth": cached} | {end: folder / "new" / f"r50.{end}" for end in ("safetensors", "pkl")}
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("TORCH_HOME", str(folder))
        assert main(["--output", str(made["safetensors"])]) == 0
    assert main(["--input", str(cached), "--output", str(made["pkl"])]) == 0
    yield made
    for path in made.values():
        path.unlink()


def detector(config: str) -> nn.Module:
    cfg = load_config(config, ["MODEL.DEVICE", "cpu", "MODEL.WEIGHTS", ""])
    return CADTrainer.build_model(cfg).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def maps(source) -> dict[str, torch.Tensor]:
    x = source.maxpool(source.relu(source.bn1(source.conv1(IMAGES))))
    outputs = {}
    for stage in (1, 2, 3, 4):
        x = outputs[f"res{stage + 1}"] = getattr(source, f"layer{stage}")(x)
    return outputs


@pytest.mark.parametrize("end", ["safetensors", "pkl"])
def test_a_c4_detector_starts_from_it_res5_in_the_heads(files, maps, end):
    model = detector("configs/base/cad.yaml")
    SafeCheckpointer(model).load(str(files[end]))
    features = model.backbone(IMAGES)["res4"]
    assert_close(features, maps["res4"], atol=1e-5, rtol=0)
    *blocks, norm = model.roi_heads.res5
    for block in blocks:
        features = block(features)
    assert len(blocks) == 3
    assert_close(features, maps["res5"], atol=1e-5, rtol=0)
    assert_close(norm.weight, torch.ones(2048))  # the extra norm keeps its initial weights


@pytest.mark.parametrize("end", ["safetensors", "pkl"])
def test_an_fpn_detector_starts_from_it(files, maps, end):
    model = detector("configs/cutler_mask.yaml")
    SafeCheckpointer(model).load(str(files[end]))
    features = model.backbone.bottom_up(IMAGES)
    for name, expected in maps.items():
        assert_close(features[name], expected, atol=1e-5, rtol=0)


def test_the_pickle_has_the_form_of_files_that_detectron2_publishes(files, source):
    content = pickle.loads(files["pkl"].read_bytes())
    assert set(content) == {"model", "matching_heuristics", "__author__"}
    assert content["matching_heuristics"] is True
    arrays = content["model"]
    assert all(isinstance(x, np.ndarray) and x.dtype == np.float32 for x in arrays.values())
    kept = [name for name in source.state_dict() if "num_batches" not in name and "fc." not in name]
    assert len(arrays) == len(kept) == 265
    weight = source.layer4[0].downsample[1].running_var
    assert np.array_equal(arrays["res5.0.shortcut.norm.running_var"], weight.numpy())


def test_the_safetensors_file_names_its_source(files):
    with safetensors.safe_open(files["safetensors"], "pt") as file:
        metadata = file.metadata()
        assert len(file.keys()) == 265
        assert file.get_tensor("stem.conv1.norm.weight").dtype == torch.float32
    assert metadata["source"] == "dino_resnet50_pretrain.pth"
    assert metadata["source_sha256"] == file_sha256(files["pth"])
    assert metadata["version"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "the following arguments are required: --output"),
        ("--output r50.pth", "--output 'r50.pth': its name must end in .safetensors or .pkl"),
        ("--input none.pth --output o.pkl", "no weights file at none.pth"),
        ("--input random:0 --output o.pkl", "no weights file at random:0"),
        ("--input text.pth --output o.pkl", "weights file text.pth is refused"),
        (
            "--input other.pth --output o.pkl",
            "other.pth is not of dino_resnet50: parameters 265 mis",
        ),
        ("--input folder --output o.pkl", "weights file 'folder' is a folder; name a file"),
    ],
)
def test_mistakes_exit_with_2_and_one_line(main, tmp_path, monkeypatch, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.pth").write_text("hello")
    (tmp_path / "folder").mkdir()
    torch.save({"stem.conv1.weight": torch.zeros(64, 3, 7, 7)}, tmp_path / "other.pth")
    assert main(words.split()) == 2
    captured = capsys.readouterr()
    assert message in captured.err and captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    assert not (tmp_path / "o.pkl").exists() and not (tmp_path / "r50.pth").exists()
