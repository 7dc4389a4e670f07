"""Every command of the README, the tutorials and the guides runs, in the order of its page.

A command runs as it stands, except for `short_commands.short`. These tests take minutes, and
`make commands` runs them; `make test` does not.
"""

import json
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image

from boxrefine_d2 import cli
from boxrefine_d2.data import load_spec, read_image
from boxrefine_d2.networks import build_backbone
from tests.page_commands import blocks_of, commands_of

from .short_commands import SHORT, short

pytestmark = pytest.mark.commands
ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs/tutorials").glob("*.md")),
    *sorted((ROOT / "docs/guides").glob("*.md")),
]
# The first words of commands that cannot run here, and why.
NOT_RUN = {
    "describe photo.jpg --output what.png --config-file": "the official CLIP and BLIP are not here",
    "convert grounding-checkpoint": "no network of the papers' code is here",
    "edit agree --input absorption.json --output judged.json": "h learned two steps here",
    "edit agree --input absorption.json --output confirmed.json": "the detector did, too",
    "pipeline configs/pipelines/demo.yaml": "its trainings take minutes; `make demo` runs them",
}


@pytest.fixture(scope="session")
def reader_s_files(tmp_path_factory) -> Path:
    """Return a folder with what the pages assume: images, labels, predictions, official files."""
    folder = tmp_path_factory.mktemp("reader")
    images, annotations = [], []
    (folder / "PHOTOS").mkdir()
    for number, record in enumerate(load_spec("scenes:val+first=8").records, start=1):
        name = "photo.jpg" if number == 1 else f"photo_{number}.jpg"
        Image.fromarray(read_image(record["file_name"])).resize((160, 120)).save(
            folder / "PHOTOS" / name
        )
        images.append({"id": number, "file_name": name, "height": 120, "width": 160})
        box = {"bbox": [40, 30, 60, 50], "area": 3000, "iscrowd": 0}
        annotations.append(box | {"id": number, "image_id": number, "category_id": 1})
    categories = [{"id": 1, "name": "object"}]
    labels = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "LABELS.json").write_text(json.dumps(labels))
    for name in ("photo.jpg", "one.jpg", "two.jpg"):
        shutil.copy(folder / "PHOTOS/photo.jpg", folder / name)
    discover = ["discover", "--data", f"folder:{folder}/PHOTOS", "--backbone", "dino_mini"]
    discover += ["--num-workers", "0", "--set", "max_objects=2", "--method", "lost"]
    assert cli.main([*discover, "--output", str(folder / "boxes.json")]) == 0
    for copy in ("detections.json", "masks.json", "best.json"):
        shutil.copy(folder / "boxes.json", folder / copy)
    official = folder / "torch/hub/checkpoints"
    official.mkdir(parents=True)
    for name, file in (
        ("dino_vits16", "dino_deitsmall16_pretrain.pth"),
        ("dino_resnet50", "dino_resnet50_pretrain.pth"),
    ):
        torch.save(build_backbone(name, "random:0").state_dict(), official / file)
    return folder


@pytest.fixture
def reader(reader_s_files, tmp_path, monkeypatch) -> Path:
    """Return a copy of the reader's folder, as the working directory."""
    folder = tmp_path / "reader"
    shutil.copytree(reader_s_files, folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("TORCH_HOME", str(folder / "torch"))
    return folder


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_commands_of_a_page_run(page, reader, capsys):
    for plan in blocks_of(page, "yaml"):
        if plan.startswith("# plan.yaml"):
            changes = " ".join(f"{key} {value}" for key, value in SHORT.items())
            (reader / "plan.yaml").write_text(plan.replace("OUTPUT_DIR", f"{changes} OUTPUT_DIR"))
    for verb, words in commands_of(page):
        line = " ".join([verb, *words])
        if any(line.startswith(start) for start in NOT_RUN):
            continue
        code = cli.main([*verb.split(), *short(verb, words)])
        assert code == 0, f"boxrefine {line}: {capsys.readouterr().err[-500:]}"


def test_each_command_that_is_not_run_is_on_a_page():
    lines = [" ".join([verb, *words]) for page in PAGES for verb, words in commands_of(page)]
    for start in NOT_RUN:
        assert any(line.startswith(start) for line in lines), start
