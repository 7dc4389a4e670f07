"""Tests that run every block of docs/design/extending.md on a folder of images."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from boxrefine_d2.files.shipped import shipped_configs

PAGE = Path(__file__).parents[2] / "docs" / "design" / "extending.md"
BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)


def blocks(language: str) -> list[str]:
    return [text for kind, text in BLOCK.findall(PAGE.read_text()) if kind == language]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A folder with the page's files and images.

    scenes.json has one box in each of three scenes, and a second box in the first scene.
    """
    folder = tmp_path_factory.mktemp("extending")
    for text in (*blocks("python"), *blocks("yaml")):
        name = re.match(r"# (\S+)\n", text)[1]
        (folder / name).write_text(text.replace("CONFIGS", str(shipped_configs())))
    (folder / "PHOTOS").mkdir()
    rng = np.random.default_rng(0)
    for index in range(4):
        pixels = rng.integers(0, 120, (48, 64, 3), dtype=np.uint8)
        pixels[8:32, 16:48] += 100
        Image.fromarray(pixels).save(folder / "PHOTOS" / f"{index}.png")
    entries = [
        {"image_id": image, "category_id": 1, "bbox": [1, 1, 9, 9], "score": 1}
        for image in (1, 1, 2, 3)
    ]
    (folder / "scenes.json").write_text(json.dumps(entries))
    return folder


def test_every_command_of_the_page_runs_with_the_promised_result(workplace):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    outputs = {}
    for command in blocks("sh"):
        words = [sys.executable, *shlex.split(command.replace("\\\n", " "))[1:]]
        done = subprocess.run(
            words, cwd=workplace, capture_output=True, text=True, env=environment, check=False
        )
        assert done.returncode == 0, f"{command}{done.stderr[-2000:]}"
        outputs[command.split()[2], len(outputs)] = done.stdout
    boxes = json.loads((workplace / "boxes.json").read_text())
    assert boxes["info"]["parameters"] == {"share": 0.7} and len(boxes["images"]) == 4
    assert json.loads((workplace / "edges.json").read_text())["info"]["backbone"] == "edges"
    for run in ("brightest", "edges"):
        results = (workplace / "output" / run / "results.json").read_text()
        assert float(re.search(r'"weight_distance": ([\d.e-]+)', results)[1]) > 0, run
    scores = next(text for (verb, _), text in outputs.items() if verb == "evaluate")
    assert re.search(r"many +33\.33 %", scores)
    assert (workplace / "output/names/names.txt").read_text() == "".join(
        f"{index}.png {len([a for a in boxes['annotations'] if a['image_id'] == index + 1])}\n"
        for index in range(4)
    )
    assert (workplace / "output/colours/colour.safetensors").is_file()


def test_the_package_does_not_know_the_page_s_extensions():
    from boxrefine_d2.config import boxrefine_cfg
    from boxrefine_d2.training.jobs import known_jobs

    assert "MeanColour" not in known_jobs() and "COLOURS" not in boxrefine_cfg()
